"""Parameter counts published for, or computed from, each network's reference."""

import functools
from itertools import pairwise

import jax
import jax.numpy as jnp
import pytest

from jaxnuc import models

MASK = {"mask": 1}
BOTH = {"mask": 1, "contour": 1}
SOFTMAX = {"mask": 2, "contour": 2}


@functools.cache
def _params(name, outputs, arguments):
    model = models.create(name, dict(outputs), **dict(arguments))
    side = 64 + model.margin
    image = jnp.zeros((1, side, side, 3))
    return jax.eval_shape(model.init, jax.random.key(0), image)["params"]


def params(name, outputs, **arguments):
    """Shapes of the parameters; each network is traced once."""
    return _params(name, tuple(outputs.items()), tuple(arguments.items()))


def count(name, outputs, **arguments):
    return sum(leaf.size for leaf in jax.tree.leaves(params(name, outputs, **arguments)))


@pytest.mark.parametrize(
    ("name", "outputs", "arguments", "expected"),
    [
        ("harunet", BOTH, {}, 44_069_770),
        ("harunet", SOFTMAX, {}, 44_097_624),
        ("u2net", MASK, {}, 44_009_869),
        ("u2net", MASK, {"variant": "small"}, 1_131_181),
        ("flexible_unet", MASK, {"variant": "neoplastic"}, 31_127_153),
        ("flexible_unet", MASK, {"variant": "base"}, 31_114_865),
        ("flexible_unet", MASK, {"variant": "base", "layers": 8, "kernel": 3}, 124_440_433),
        ("flexible_unet", MASK, {"variant": "base", "layers": 5, "kernel": 3}, 1_941_105),
    ],
)
def test_total(name, outputs, arguments, expected):
    assert count(name, outputs, **arguments) == expected


def test_parts_of_harunet():
    parts = params("harunet", SOFTMAX)
    found = {k: sum(x.size for x in jax.tree.leaves(v)) for k, v in parts.items()}
    stages = {
        "encoder1": 205_504,
        "encoder2": 305_280,
        "encoder3": 1_107_968,
        "encoder4": 3_984_896,
        "encoder5": 10_032_128,
        "encoder6": 10_032_128,
        "decoder5": 12_391_424,
        "decoder4": 4_278_784,
        "decoder3": 1_181_184,
        "decoder2": 323_456,
        "decoder1": 138_880,
    }
    assert {name: found[name] for name in stages} == stages
    gates = [found[f"channel_gate{i}"] + found[f"spatial_gate{i}"] for i in (1, 2, 3, 4)]
    assert gates == [610, 2_146, 8_290, 32_866]
    assert found["channel_gate5"] == 16_384
    heads = [found[f"mask_side{level}"] for level in (6, 5, 4, 3, 2, 1)]
    assert heads == [9_218, 9_218, 4_610, 2_306, 1_154, 1_154]
    assert found["contour_fusion"] == 188


def test_small_harunet_is_built_as_u2net_p():
    assert 1_100_000 < count("harunet", BOTH, variant="small") < 1_250_000


def test_ablation_is_a_matter_of_arguments():
    """Each part of HARU-Net can be left out alone, and takes exactly its parameters with it."""
    full = count("harunet", SOFTMAX)
    attention = 610 + 2_146 + 8_290 + 32_866 + 16_384
    assert full - count("harunet", SOFTMAX, attention="none") == attention
    # One more spatial gate of 7x7 over 2 channels, or none of the four.
    assert count("harunet", SOFTMAX, attention="cbam_everywhere") - full == 98
    assert full - count("harunet", SOFTMAX, attention="channel") == 4 * 98
    # a 1x1 over 12 channels to 2 in place of the squeeze and excitation around it
    assert full - count("harunet", SOFTMAX, fusion="conv") == 2 * (188 - 26)
    assert full - count("harunet", SOFTMAX, fusion="none") == 2 * 188
    branch = 9_218 * 2 + 4_610 + 2_306 + 1_154 * 2 + 188
    assert full - count("harunet", {"mask": 2}) == branch
    assert count("harunet", SOFTMAX, deep_supervision=False) == full


def test_harunet_without_its_parts_is_a_unet():
    arguments = {"attention": "none", "fusion": "none", "deep_supervision": False}
    found = count("harunet", SOFTMAX, block="double_conv", **arguments)
    channels = [3, 64, 128, 256, 512, 512, 512]  # down; up again from twice as many, and two heads
    pairs = [*pairwise(channels)]
    pairs += [(1024, 512), (1024, 256), (512, 128), (256, 64), (128, 64)]
    convs = sum(9 * (a * b + b * b) + 4 * b for a, b in pairs)
    assert found == convs + 2 * (9 * 64 * 2 + 2)
