"""U-Net, U-Net++, Attention U-Net and AL-Net (adaptive learning): counts, sizes, arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnuc import models
from jaxnuc.models import _blocks, alnet_adaptive
from jaxnuc.models._attention import AttentionGate
from jaxnuc.models._blocks import resize_bilinear
from jaxnuc.models.unet_plus_plus import resize_between_corners

NETWORKS = ("unet", "unet_plus_plus", "attention_unet", "alnet_adaptive")
BASE_16 = {"widths": (16, 32, 64, 128, 256)}
BASE_64 = {"widths": (64, 128, 256, 512, 1024)}


def shapes(name, outputs, size, train=False, **arguments):
    """Shapes and dtypes of variables and maps, without computing anything."""
    model = models.create(name, outputs, **arguments)
    images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)

    def apply(variables, images):
        if not train:
            return model.apply(variables, images)
        rngs = {"dropout": jax.random.key(1)}
        return model.apply(variables, images, train=True, rngs=rngs, mutable=["batch_stats"])[0]

    return variables["params"], jax.eval_shape(apply, variables, images)


def count(name, outputs, size=(64, 64), **arguments):
    params, _ = shapes(name, outputs, size, **arguments)
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def filled(module, *arguments):
    """Variables of a module with random numbers everywhere, statistics too; as NumPy arrays."""
    shape = jax.eval_shape(lambda: module.init(jax.random.key(0), *arguments))
    rng = np.random.default_rng(0)
    draw = lambda s: rng.normal(0, 0.5, s) if len(s) > 1 else rng.uniform(0.2, 1, s)
    return jax.tree.map(lambda x: draw(x.shape).astype(np.float32), shape)


def assert_same(found, expected):
    """Equal up to rounding, and not by being constant everywhere."""
    expected = np.asarray(expected)
    scale = expected.std()
    assert scale > 1e-2
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * max(scale, 1))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("unet", {"variant": "full"}, 31_043_521),
        ("unet_plus_plus", {"variant": "full"}, 9_163_329),
        ("attention_unet", {"variant": "full"}, 8_727_213),
        ("alnet_adaptive", {"variant": "full"}, 8_898_325),
        ("alnet_adaptive", BASE_16, 2_227_341),
        ("alnet_adaptive", BASE_64, 35_571_237),
    ],
)
def test_parameters(name, arguments, expected):
    assert count(name, {"mask": 1}, **arguments) == expected


def test_parameters_of_the_unpadded_unet():
    assert count("unet", {"mask": 2}, (268, 268), variant="valid") == 36_951_490


@pytest.mark.parametrize(
    ("size", "expected"), [((268, 268), (84, 84)), ((248, 312), (64, 128)), ((185, 301), (1, 117))]
)
def test_unpadded_maps_are_smaller_by_the_margin(size, expected):
    _, maps = shapes("unet", {"mask": 2}, size, train=True, variant="valid")
    assert maps["mask"].shape == (2, *expected, 2)
    assert models.create("unet", {"mask": 2}, variant="valid").margin == 184
    assert models.create("unet", {"mask": 2}).margin == 0


@pytest.mark.parametrize("size", [(184, 268), (268, 32)])
def test_images_no_larger_than_the_margin_are_refused(size):
    with pytest.raises(ValueError, match=r"184 px smaller; the nearest side that fits is 185"):
        shapes("unet", {"mask": 1}, size, variant="valid")


def enlarged_block_maxima(image, start, step):
    """Each pixel becomes the maximum of its `step` x `step` block; blocks begin at `start`."""
    h, w = image.shape
    result = np.full((h, w), np.nan)
    for i in range(start, h):
        for j in range(start, w):
            top, left = i - (i - start) % step, j - (j - start) % step
            result[i, j] = image[top : top + step, left : left + step].max()
    return result


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_levels_of_a_unet_meet_pixel_on_pixel(padding, level):
    """Every convolution copies its center, and levels above `level` pass on what comes from it."""
    model = models.create("unet", {"mask": 1}, widths=(1, 1, 1), padding=padding, batch_norm=False)
    image = np.random.default_rng(0).uniform(size=(61, 48)).astype(np.float32)
    images = np.repeat(image[None, ..., None], 3, axis=-1)
    params = jax.tree.map(np.zeros_like, filled(model, images)["params"])
    for name, layers in params.items():
        if name.startswith("double") or name == "mask_head":
            layers["kernel"][:] = 1
        else:
            for layer in layers.values():
                layer["Conv_0"]["kernel"][1, 1, 0] = 1
    for skipped in range(level, 2):  # channel 1 is the skip, channel 0 comes from below
        params[f"up{skipped}"]["ConvNormAct_0"]["Conv_0"]["kernel"][1, 1, :, 0] = (0, 1)
    found = np.asarray(jax.jit(model.apply)({"params": params}, images)["mask"])[0, :, :, 0]

    starts = (0, 2, 6) if padding == "valid" else (0, 0, 0)  # two convolutions a level lose 2 px
    half = 20 if padding == "valid" else 0
    expected = enlarged_block_maxima(image, starts[level], 2**level)
    np.testing.assert_array_equal(found, expected[half : 61 - half, half : 48 - half])


def test_unpadded_maps_do_not_depend_on_the_tile():
    model = models.create("unet", {"mask": 1}, widths=(3, 4), padding="valid")
    images = jax.random.uniform(jax.random.key(1), (1, 40, 40, 3))
    variables = filled(model, images)
    apply = jax.jit(model.apply)
    whole = apply(variables, images)["mask"]
    tile = apply(variables, images[:, 2:, :-2])["mask"]
    assert tile.shape == (1, 22, 22, 1)
    assert_same(tile, whole[:, 2:, :-2])


def test_dropout_is_at_the_bottom_of_a_unet_in_training():
    model = models.create("unet", {"mask": 1}, widths=(2, 4), batch_norm=False, dropout_rate=0.5)
    images = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
    variables = filled(model, images)
    apply = jax.jit(
        lambda v, key: model.apply(v, images, train=True, rngs={"dropout": key})["mask"]
    )
    keys = jax.random.split(jax.random.key(2))
    assert not np.allclose(apply(variables, keys[0]), apply(variables, keys[1]))
    shut = jax.tree.map(lambda x: x, variables)  # nothing passes from below
    shut["params"]["double0"]["kernel"] = jnp.zeros_like(shut["params"]["double0"]["kernel"])
    np.testing.assert_array_equal(apply(shut, keys[0]), apply(shut, keys[1]))


def literal_norm(x, variables, name):
    scale, bias = (variables["params"][name][k] for k in ("scale", "bias"))
    mean, var = (variables["batch_stats"][name][k] for k in ("mean", "var"))
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


@pytest.mark.parametrize("published", [False, True])
def test_attention_gate_equals_its_formula(published):
    """Without biases and last normalization as in AL-Net, with them as in Attention U-Net."""
    gate = AttentionGate(2, use_bias=published, norm_psi=published)
    rng = np.random.default_rng(1)
    x, g = rng.normal(size=(2, 1, 3, 5, 4)).astype(np.float32)
    variables = filled(gate, x, g, False)
    params = variables["params"]
    inner = 0
    for name, y in (("x", x), ("g", g)):
        assert ("bias" in params[f"conv_{name}"]) == published
        y = y @ params[f"conv_{name}"]["kernel"][0, 0] + params[f"conv_{name}"].get("bias", 0)
        inner = inner + literal_norm(y, variables, f"norm_{name}")
    psi = np.maximum(inner, 0) @ params["psi"]["kernel"][0, 0] + params["psi"]["bias"]
    if published:
        psi = literal_norm(psi, variables, "norm_psi")
    assert psi.shape == (1, 3, 5, 1)
    assert psi.std() > 0.1
    assert_same(gate.apply(variables, x, g, False), x / (1 + np.exp(-psi)))


def literal_conv(x, kernel, dilation):
    """`y[i, j] = sum over taps of x[i + a d, j + b d] kernel[a, b]`, zero outside."""
    n, h, w, _ = x.shape
    y = np.zeros((n, h, w, kernel.shape[-1]), np.float32)
    reach = kernel.shape[0] // 2
    for i in range(h):
        for j in range(w):
            for a in range(-reach, reach + 1):
                for b in range(-reach, reach + 1):
                    row, col = i + a * dilation, j + b * dilation
                    if 0 <= row < h and 0 <= col < w:
                        y[:, i, j] += x[:, row, col] @ kernel[a + reach, b + reach]
    return y


@pytest.mark.parametrize(
    ("channels", "dilations", "widths"),
    [(3, (1, 2, 4), (4, 2, 2)), (8, (1, 2, 4, 8), (2, 2, 2, 2))],
)
def test_dilated_block_equals_its_formula(channels, dilations, widths):
    block = alnet_adaptive.DilatedBlock(8, dilations)
    x = np.random.default_rng(1).normal(size=(1, 12, 10, channels)).astype(np.float32)
    variables = filled(block, x, False)
    params = variables["params"]
    first = {kind: tree["conv"] for kind, tree in variables.items()}
    y = literal_conv(x, params["conv"]["Conv_0"]["kernel"], 1)
    y = np.maximum(literal_norm(y, first, "BatchNorm_0"), 0)
    kernels = [params[f"dilated{i}"]["kernel"] for i in range(len(dilations))]
    assert tuple(k.shape[-1] for k in kernels) == widths
    y = [literal_conv(y, k, d) for k, d in zip(kernels, dilations, strict=True)]
    y = literal_norm(np.concatenate(y, axis=-1), variables, "norm")
    assert ("project" in params) == (channels != 8)
    shortcut = x
    if channels != 8:
        shortcut = literal_conv(x, params["project"]["kernel"], 1)
        shortcut = literal_norm(shortcut, variables, "norm_x")
    assert_same(block.apply(variables, x, False), np.maximum(y + shortcut, 0))


def test_alnet_normalizes_colors():
    images = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
    mean, std = (0.7, 0.5, 0.6), (0.1, 0.2, 0.15)
    plain = models.create("alnet_adaptive", {"mask": 1}, widths=(4,))
    given = models.create("alnet_adaptive", {"mask": 1}, widths=(4,), mean=mean, std=std)
    variables = filled(plain, images)
    expected = jax.jit(plain.apply)(variables, (images - jnp.array(mean)) / jnp.array(std))
    found = jax.jit(given.apply)(variables, images)
    assert_same(found["mask"], expected["mask"])


@pytest.mark.parametrize(
    ("before", "after"), [((4, 3), (8, 5)), ((1, 5), (2, 9)), ((3, 3), (3, 6))]
)
def test_enlarging_between_corners_equals_its_formula(before, after):
    x = np.random.default_rng(0).normal(size=(2, *before, 3)).astype(np.float32)
    literal = np.zeros((2, *after, 3))
    for i in range(after[0]):
        for j in range(after[1]):
            row = i * (before[0] - 1) / (after[0] - 1)
            col = j * (before[1] - 1) / (after[1] - 1)
            for r in range(before[0]):
                for c in range(before[1]):
                    weight = max(0, 1 - abs(row - r)) * max(0, 1 - abs(col - c))
                    literal[:, i, j] += weight * x[:, r, c]
    found = np.asarray(jax.jit(resize_between_corners)(x, np.zeros((1, *after, 1))))
    np.testing.assert_allclose(found, literal, atol=1e-5)
    for i, j in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        np.testing.assert_allclose(found[:, i, j], x[:, i, j], atol=1e-5)


@pytest.mark.parametrize(
    ("align_corners", "up"), [(True, resize_between_corners), (False, resize_bilinear)]
)
def test_unet_plus_plus_is_the_published_graph(align_corners, up):
    model = models.create(
        "unet_plus_plus",
        {"mask": 1},
        widths=(2, 3, 4),
        deep_supervision=True,
        align_corners=align_corners,
    )
    images = jax.random.uniform(jax.random.key(1), (1, 33, 46, 3))
    variables = filled(model, images)
    found, stats = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))(
        variables, images
    )
    assert set(stats) == {"batch_stats"}

    params = variables["params"]

    def pool(x):
        h, w = x.shape[1:3]
        x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), constant_values=-jnp.inf)
        return x.reshape(1, -(-h // 2), 2, -(-w // 2), 2, x.shape[-1]).max(axis=(2, 4))

    @jax.jit
    def literal(images):
        def node(i, j, *inputs):
            own = {kind: tree[f"node{i}_{j}"] for kind, tree in variables.items()}
            x = jnp.concatenate(inputs, axis=-1)
            return _blocks.DoubleConv(model.widths[i]).apply(own, x, True, mutable=["batch_stats"])[
                0
            ]

        x00 = node(0, 0, images)
        x10 = node(1, 0, pool(x00))
        x20 = node(2, 0, pool(x10))
        x01 = node(0, 1, x00, up(x10, x00))
        x11 = node(1, 1, x10, up(x20, x10))
        x02 = node(0, 2, x00, x01, up(x11, x00))
        return x01, x02

    x01, x02 = literal(images)
    head = lambda x, name: x @ params[name]["kernel"][0, 0] + params[name]["bias"]
    assert_same(found["mask"], head(x02, "mask_head"))
    (side,) = found["side"]["mask"]
    assert_same(side, head(x01, "mask_side1"))


def test_side_maps_of_unet_plus_plus():
    def maps(train, **arguments):
        outputs = {"mask": 1, "contour": 2}
        return shapes("unet_plus_plus", outputs, (33, 47), train, variant="small", **arguments)[1]

    side = maps(True, deep_supervision=True)["side"]
    assert [m.shape for m in side["mask"]] == [(2, 33, 47, 1)] * 2  # of four levels
    assert [m.shape for m in side["contour"]] == [(2, 33, 47, 2)] * 2
    assert all(m.dtype == jnp.float32 for m in jax.tree.leaves(side))
    assert set(maps(False, deep_supervision=True)) == {"mask", "contour"}
    assert set(maps(True)) == {"mask", "contour"}
    more = count("unet_plus_plus", {"mask": 1}, deep_supervision=True)
    assert more == 9_163_329 + 3 * 33


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("unet", {"padding": "reflect"}, "padding='reflect'; known: same, valid"),
        ("alnet_adaptive", {"widths": (32, 66)}, "66 is no multiple of 4"),
        ("alnet_adaptive", {"dilations": ()}, r"dilations=\(\) has 0 entries; 1 to 4"),
        ("alnet_adaptive", {"bottom_dilations": (1, 2, 3, 4, 5)}, "has 5 entries; 1 to 4"),
    ],
)
def test_what_cannot_be_built_is_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        shapes(name, {"mask": 1}, (32, 32), **arguments)
