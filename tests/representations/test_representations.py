"""Targets against reference values, decoding as the inverse of encoding, losses' parts."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnuc import representations
from jaxnuc.data.synthetic import generate
from jaxnuc.metrics import score
from jaxnuc.representations.contour import contour_map

CASES = (
    "touching",
    "border_cut",
    "empty",
    "full",
    "small_objects",
    "ids_above_255",
    "ids_equal_mod_256",
)


@pytest.mark.parametrize("case", CASES)
def test_contour_targets(golden, case):
    arrays, _ = golden("haru_targets")
    maps = representations.create("contour").encode(arrays[f"{case}__label"].astype(np.int32))
    np.testing.assert_array_equal(maps["mask"][..., 0], arrays[f"{case}__mask"])
    np.testing.assert_array_equal(maps["contour"][..., 0], arrays[f"{case}__contour"])


def test_contour_map_equals_its_definition():
    labels = np.random.default_rng(0).integers(0, 3, (9, 11))
    line = np.zeros(labels.shape, bool)
    for y, x in np.argwhere(labels > 0):
        for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = 0 <= ny < 9 and 0 <= nx < 11
            line[y, x] |= inside and labels[ny, nx] != labels[y, x]
    band = np.zeros_like(line)
    for y, x in np.argwhere(line):
        band[y : y + 2, x : x + 2] = True
    np.testing.assert_array_equal(contour_map(labels), band)


def as_logits(targets, channels):
    maps = {k: np.where(v[..., :1], 8.0, -8.0).astype(np.float32) for k, v in targets.items()}
    if channels == 2:
        maps = {k: np.concatenate([-v, v], axis=-1) for k, v in maps.items()}
    return maps


@pytest.mark.parametrize("channels", [1, 2])
def test_contour_decodes_what_it_encodes(channels):
    """From perfect maps all but nuclei too small to hold a seed come back."""
    sample = generate(3, size=192)
    representation = representations.create("contour", channels=channels)
    found = representation.decode(as_logits(representation.encode(sample.instances), channels))
    scores = score(sample.instances, found.instances)
    assert scores.dice == 1
    assert scores.pq > 0.9
    assert len(found.scores) == found.instances.max()
    np.testing.assert_allclose(found.scores, 1, atol=1e-3)


IGNORING = [
    ("binary", {"loss_name": "bce"}),
    ("binary", {"loss_name": "bce_iou"}),
    ("binary", {"loss_name": "bce_dice"}),
    ("contour", {}),
    ("contour", {"channels": 2}),
    ("contour", {"channels": 2, "dice_per_class": True}),
    ("contour", {"form": "paper"}),
]


@pytest.mark.parametrize(("name", "arguments"), IGNORING)
def test_ignored_pixels_are_as_if_they_were_not_there(name, arguments):
    representation = representations.create(name, **arguments)
    rng = np.random.default_rng(0)
    labels = np.zeros((12, 16), np.int32)
    labels[2:6, 1:6], labels[4:11, 9:14] = 1, 2
    ignore = np.zeros(labels.shape, bool)
    ignore[:, 8:] = True
    whole = {k: v[None] for k, v in representation.encode(labels, None, ignore).items()}
    left = {k: v[:, :, :8] for k, v in whole.items() if k != "valid"}
    maps = {
        k: rng.normal(0, 2, (1, 12, 16, c)).astype(np.float32)
        for k, c in representation.outputs.items()
    }

    def total(maps, targets):
        return representation.loss(maps, targets)[0]

    expected = total({k: v[:, :, :8] for k, v in maps.items()}, left)
    found, gradients = jax.value_and_grad(total)(maps, whole)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for gradient in gradients.values():
        assert np.abs(gradient[:, :, :8]).max() > 0
        assert not np.abs(gradient[:, :, 8:]).any()
    everything = total(maps, {k: v for k, v in whole.items() if k != "valid"})
    assert abs(everything - expected) > 1e-4


def test_ssim_takes_ignored_pixels_for_right():
    representation = representations.create("binary", loss_name="bce_ssim_iou")
    labels = np.zeros((16, 16), np.int32)
    labels[4:9, 4:12] = 1
    ignore = np.zeros(labels.shape, bool)
    ignore[:, :6] = True
    targets = {k: v[None] for k, v in representation.encode(labels, None, ignore).items()}
    logits = np.where(labels, 40, -40).astype(np.float32)[None, ..., None]
    wrong = np.where(ignore[None, ..., None], -logits, logits)
    for maps in (logits, wrong):
        loss, parts = representation.loss({"mask": maps}, targets)
        np.testing.assert_allclose(loss, 0, atol=1e-6)
        np.testing.assert_allclose(parts["mask/ssim"], 0, atol=1e-6)


@pytest.mark.parametrize("name", ["binary", "contour"])
def test_a_batch_with_nothing_annotated_has_no_entropy(name):
    representation = representations.create(name)
    targets = representation.encode(np.zeros((8, 8), np.int32), None, np.ones((8, 8), bool))
    maps = {k: np.ones((1, 8, 8, c), np.float32) for k, c in representation.outputs.items()}
    loss, _ = representation.loss(maps, {k: v[None] for k, v in targets.items()})
    np.testing.assert_allclose(loss, 0, atol=1e-6)


@pytest.mark.parametrize(("name", "broken"), [("binary", "mask"), ("contour", "contour")])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_maps_that_are_no_numbers_are_refused(name, broken, value):
    representation = representations.create(name)
    maps = {m: np.zeros((5, 6, 1), np.float32) for m in representation.outputs}
    maps[broken][2, 3] = value
    with pytest.raises(ValueError, match=rf"map '{broken}' holds \d NaN and \d infinite numbers"):
        representation.decode(maps)


def test_a_score_is_the_mean_probability_of_its_nucleus():
    logits = np.random.default_rng(0).normal(0, 2, (20, 30, 1))
    found = representations.create("binary").decode({"mask": logits})
    probability = 1 / (1 + np.exp(-logits[..., 0]))
    expected = [probability[found.instances == i].mean() for i in range(1, len(found.scores) + 1)]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-6)
    assert len(found.scores) == found.instances.max() > 5


def test_binary_decodes_components_above_the_threshold():
    p = np.zeros((8, 8))
    p[:2, :2], p[4:, 4:], p[0, 6] = 0.9, 0.7, 0.9
    logits = np.log((p + 1e-9) / (1 - p + 1e-9))[..., None]
    found = representations.create("binary", min_size=2).decode({"mask": logits})
    expected = np.zeros((8, 8), int)
    expected[:2, :2], expected[4:, 4:] = 1, 2  # the single pixel is under the minimum
    np.testing.assert_array_equal(found.instances, expected)
    np.testing.assert_allclose(found.scores, [0.9, 0.7], rtol=1e-5)
    higher = representations.create("binary", threshold=0.8, min_size=2)
    assert higher.decode({"mask": logits}).instances.max() == 1


def test_seedless_erosion_and_min_size_reach_the_decoding():
    mask = np.zeros((12, 20), bool)
    mask[2:10, 2:10] = True  # 64 px with a seed of 6 x 6
    mask[5, 13:19] = True  # all contour: no seed
    contour = mask.copy()
    contour[3:9, 3:9] = False
    maps = as_logits({"mask": mask[..., None], "contour": contour[..., None]}, 1)

    def count(**arguments):
        return len(representations.create("contour", **arguments).decode(maps).scores)

    assert count() == 2
    assert count(seedless="drop") == 1
    assert count(min_size=7) == 1
    assert count(erosion=3, seedless="drop") == 0  # 6 x 6 vanishes in three erosions


@pytest.mark.parametrize("name", ["binary", "contour"])
def test_side_maps_add_their_losses(name):
    representation = representations.create(name, side_weight=0.5)
    key = jax.random.key(0)
    outputs = representation.outputs
    maps = {k: jax.random.normal(key, (2, 16, 16, c)) for k, c in outputs.items()}
    targets = {k: jnp.ones((2, 16, 16, 1), jnp.uint8) for k in outputs}
    plain, parts = representation.loss(maps, targets)
    assert not any("side" in k for k in parts)
    doubled, parts = representation.loss(
        {**maps, "side": {k: [m] for k, m in maps.items()}}, targets
    )
    np.testing.assert_allclose(doubled, 1.5 * plain, rtol=1e-6)
    np.testing.assert_allclose(parts["side"], 0.5 * plain, rtol=1e-6)


def test_contour_loss_is_its_parts():
    key = jax.random.key(0)
    maps = {k: jax.random.normal(key, (2, 8, 8, 1)) for k in ("mask", "contour")}
    target = (jax.random.uniform(key, (2, 8, 8, 1)) > 0.5).astype(jnp.uint8)
    targets = {"mask": target, "contour": 1 - target}
    for form in ("code", "paper"):
        loss, parts = representations.create("contour", form=form).loss(maps, targets)
        np.testing.assert_allclose(loss, sum(parts.values()), rtol=1e-6)
    p = np.asarray(jax.nn.sigmoid(maps["mask"]), np.float64)
    t = np.asarray(target, np.float64)
    entropy = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum() / 2
    np.testing.assert_allclose(parts["mask/ce"], entropy, rtol=1e-5)
    ratio = 1 - (2 * p * t / (p**2 + t**2)).sum() / 2
    np.testing.assert_allclose(parts["mask/dice"], ratio, rtol=1e-5)


def test_losses_fall_towards_the_truth():
    instances = generate(1, size=64).instances
    for name, arguments in (
        ("binary", {"loss_name": "bce"}),
        ("binary", {"loss_name": "bce_iou"}),
        ("binary", {"loss_name": "bce_dice"}),
        ("binary", {"loss_name": "bce_ssim_iou"}),
        ("contour", {"channels": 1}),
        ("contour", {"channels": 2}),
        ("contour", {"channels": 2, "dice_per_class": True}),
        ("contour", {"channels": 2, "form": "paper"}),
    ):
        representation = representations.create(name, **arguments)
        targets = representation.encode(instances)
        batch = {k: v[None] for k, v in targets.items()}
        right = as_logits(targets, arguments.get("channels", 1))
        values = [
            float(representation.loss({k: s * v[None] for k, v in right.items()}, batch)[0])
            for s in (-1.0, 0.0, 0.3, 1.0)
        ]
        assert values == sorted(values, reverse=True), (name, arguments)


def test_encoding_does_not_import_jax():
    code = (
        "import sys, numpy as np; from jaxnuc import representations as r\n"
        "for n in ('binary', 'contour'): r.create(n).encode(np.eye(8, dtype=np.int32))\n"
        "assert not {'jax', 'flax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("contours", {}, "did you mean 'contour'"),
        ("contour", {"channel": 2}, "did you mean 'channels'"),
        ("contour", {"channels": 3}, "channels=3; known: 1, 2"),
        ("contour", {"form": "book"}, "known: code, paper"),
        ("contour", {"seedless": "no"}, "known: keep, drop"),
        ("binary", {"loss_name": "dice"}, "loss_name='dice'"),
    ],
)
def test_what_does_not_exist_is_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        representations.create(name, **arguments)
