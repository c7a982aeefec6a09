"""HoVer-Net's and StarDist's networks: published counts, sizes, alignment, literal arithmetic."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnuc import models
from jaxnuc.models import hovernet, stardist

SIDE = {"original": 270, "fast": 256, "conic": 256}
THIN = {"width": 8, "units": (1, 1, 1, 1)}
HOVER = {"np": 2, "hv": 2}
STAR = {"prob": 1, "dist": 32}


def abstract(model, height, width=None, batch=1):
    """Shapes of the variables and of the maps, without computing anything."""
    images = jax.ShapeDtypeStruct((batch, height, width or height, 3), jnp.float32)
    maps, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    return variables, maps


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def sizes(model, side):
    return {name: size(part) for name, part in abstract(model, side)[0]["params"].items()}


def randomized(shapes, seed=0):
    """Variables of these shapes: He normal kernels, and norms that are not the identity."""
    rng = np.random.default_rng(seed)

    def leaf(path, shape):
        kind = path[-1]
        if kind == "kernel":
            value = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1]))
        elif kind in ("scale", "var"):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(size=shape) * 0.3
        return value.astype(np.float32)

    flat = flatten_dict(shapes)
    return unflatten_dict({path: leaf(path, x.shape) for path, x in flat.items()})


# --- published counts

DECODERS = {5: "class_decoder", 6: "d1_decoder"}  # of as many classes; one is named as a stage is


@functools.cache
def published_hovernet(mode):
    """Shapes of the parameters with decoders of no class, of 5 and of 6 classes, by part."""
    outputs = HOVER | {"class": 5, "d1": 6}
    model = models.create("hovernet", outputs, "full" if mode == "original" else mode)
    return abstract(model, SIDE[mode])[0]["params"]


@pytest.mark.parametrize(
    ("mode", "classes", "expected"),
    [
        ("original", None, 45_028_676),
        ("original", 5, 54_744_457),
        ("original", 6, 54_744_522),
        ("fast", None, 33_625_412),
        ("fast", 5, 37_639_561),
        ("fast", 6, 37_639_626),
    ],
)
def test_hovernet_total(mode, classes, expected):
    parts = published_hovernet(mode)
    left_out = {decoder for n, decoder in DECODERS.items() if n != classes}
    assert sum(size(part) for name, part in parts.items() if name not in left_out) == expected


def test_the_small_variant_as_published_is_small():
    found = sizes(models.create("hovernet", HOVER, "small_original"), 270)
    assert 300_000 < sum(found.values()) < 2_000_000


def test_hovernet_parts():
    parts = published_hovernet("original")
    found = {k: size(part) for k, part in parts.items() if k not in DECODERS.values()}
    assert found.pop("conv0") + found.pop("conv0_norm") == 9_536
    assert found == {
        "d0": 215_296,
        "d1": 1_218_560,
        "d2": 7_096_320,
        "d3": 14_960_640,
        "conv_bot": 2_097_152,
        "np_decoder": 9_715_586,
        "hv_decoder": 9_715_586,
    }


def test_encoder_of_conic_is_resnet50():
    found = sizes(models.create("hovernet", HOVER, "conic"), 32)
    encoder = [found[k] for k in ("conv0", "conv0_norm", "d0", "d1", "d2", "d3")]
    assert sum(encoder) == 25_557_032 - (2048 + 1) * 1000  # without its classifier
    assert found["np_decoder"] == size(published_hovernet("fast")["np_decoder"])


@pytest.mark.parametrize(
    ("outputs", "arguments", "expected"),
    [
        (STAR, {"in_channels": 1}, 1_406_689),
        (STAR, {"in_channels": 1, "grid": 2}, 1_425_185),
        (STAR, {"variant": "full"}, 1_407_265),
        (STAR, {"grid": 2}, 1_425_761),
        (STAR | {"class": 6}, {"grid": 2}, 1_463_527),
        ({"prob": 1, "dist": 64, "class": 7}, {"variant": "conic"}, 22_771_656),
        ({"prob": 1, "dist": 64, "class": 12}, {"variant": "conic"}, 22_771_821),
    ],
)
def test_stardist_total(outputs, arguments, expected):
    assert sum(sizes(models.create("stardist", outputs, **arguments), 64).values()) == expected


def test_widths_of_stardist():
    def widths(prefix, **arguments):
        outputs = {"prob": 1, "dist": 64, "class": 7}
        variables, _ = abstract(models.create("stardist", outputs, **arguments), 32)
        kernels = flatten_dict(variables["params"], sep="/").items()
        return [v.shape[-2:] for k, v in kernels if re.match(prefix + ".*kernel", k)]

    assert widths("down") == [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    assert widths("middle") == [(128, 256), (256, 128)]
    assert widths("up2") == [(256, 128), (128, 64)]
    assert widths("up1") == [(128, 64), (64, 32)]
    assert widths("up0") == [(64, 32), (32, 32)]
    assert widths("(class_)?features") == [(32, 128), (32, 128)]
    narrow = [(256, 32), (32, 32), (256, 32), (32, 32), (32, 32)]  # the third is the shortcut
    assert sorted(widths("prob_block", variant="conic")) == sorted(narrow)
    assert sorted(widths("class_block", variant="conic")) == sorted(narrow)
    wide = [(256, 64), (64, 64), (256, 64), (64, 64), (64, 64)]
    assert sorted(widths("dist_block", variant="conic")) == sorted(wide)


def test_hovernet_has_a_decoder_for_each_map():
    one, three = ({f"map{i}": 3 for i in range(n)} for n in (1, 3))
    fast = lambda outputs: sizes(models.create("hovernet", outputs, "fast", **THIN), 96)
    extra = fast(three).keys() - fast(one).keys()
    assert extra == {"map1_decoder", "map2_decoder"}


# --- what the first phase of training leaves alone


def test_frozen_first_names_the_pretrained_units():
    leaves = flatten_dict(published_hovernet("original"), sep="/")
    trained = {k for k in leaves if not re.search(hovernet.FROZEN_FIRST, k)}
    decoders = {k for k in leaves if re.match("(np|hv|class|d1)_decoder/", k)}
    assert decoders < trained
    assert trained - decoders == {
        "conv0/kernel",
        "conv0_norm/scale",
        "conv0_norm/bias",
        "d0/shortcut/kernel",
        "d0/closing_norm/scale",
        "d0/closing_norm/bias",
        "conv_bot/kernel",
    }
    frozen = leaves.keys() - trained
    assert {"/".join(k.split("/")[:2]) for k in frozen} == {
        *(f"d{level}/{part}" for level in (1, 2, 3) for part in ("shortcut", "closing_norm")),
        *(f"d{level}/unit{i}" for level, n in enumerate((3, 4, 6, 3)) for i in range(n)),
    }
    residual_d0 = 215_296 - 64 * 256 - 2 * 256
    assert size([leaves[k] for k in frozen]) == residual_d0 + 1_218_560 + 7_096_320 + 14_960_640


# --- sizes


@functools.cache
def thin_hovernet(mode):
    model = models.create("hovernet", {"np": 1}, mode=mode, **THIN)
    variables, _ = abstract(model, 96 + model.margin)
    return model, variables, jax.jit(lambda v, images: model.apply(v, images)["np"])


@pytest.mark.parametrize(
    ("mode", "side", "expected"),
    [
        ("original", 270, 80),
        ("fast", 256, 164),
        ("original", 278, 88),
        ("fast", 264, 172),
        ("original", 194, 4),
        ("fast", 96, 4),
        ("original", 318, 128),
    ],
)
def test_hovernet_takes_its_margin(mode, side, expected):
    model, variables, apply = thin_hovernet(mode)
    assert side - model.margin == expected
    images = jax.ShapeDtypeStruct((2, side, side + 64, 3), jnp.float32)
    found = jax.eval_shape(apply, variables, images)
    assert found == jax.ShapeDtypeStruct((2, expected, expected + 64, 1), jnp.float32)


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (50, 101)])
def test_conic_takes_any_size(shape):
    model = models.create("hovernet", HOVER, "conic", **THIN)
    assert model.margin == 0
    assert abstract(model, *shape)[1]["hv"].shape == (1, *shape, 2)


@pytest.mark.parametrize("grid", [1, 2, 4])
@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (50, 101)])
def test_stardist_rounds_up_to_its_grid(grid, shape):
    model = models.create("stardist", STAR | {"class": 3}, grid=grid, base=2)
    _, maps = abstract(model, *shape)
    on_grid = tuple(-(-side // grid) for side in shape)
    assert {k: m.shape for k, m in maps.items()} == {
        name: (1, *on_grid, channels) for name, channels in {**STAR, "class": 3}.items()
    }


@pytest.mark.parametrize(
    ("name", "arguments", "side", "message"),
    [
        ("hovernet", {}, 256, r"side of 256 .* takes 190 .* nearest: 254 or 258"),
        ("hovernet", {}, 271, r"nearest: 270 or 274"),
        ("hovernet", {"mode": "fast"}, 257, r"side of 257 .* takes 92 .* nearest: 256 or 260"),
        ("hovernet", {"mode": "fast"}, 92, r"(?m)at least 4; nearest: 96$"),
        ("hovernet", {"mode": "fast"}, 64, r"(?m)at least 4; nearest: 96$"),
        ("hovernet", {"mode": "slow"}, 256, r"mode='slow'; known: original, fast, conic"),
        ("hovernet", {"width": 12}, 270, r"width=12 must be a positive multiple of 8"),
        ("hovernet", {"units": (3, 4)}, 270, r"units=\(3, 4\) must be 4 numbers"),
        ("stardist", {"grid": 3}, 64, r"grid=3; known: 1, 2, 4"),
        ("stardist", {"in_channels": 2}, 64, r"in_channels=2; known: 1 .*, 3"),
        ("stardist", {"n_depth": 0}, 64, r"n_depth=0 must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(name, arguments, side, message):
    with pytest.raises(ValueError, match=message):
        abstract(models.create(name, {"a": 1}, **arguments), side)


# --- HoVer-Net's alignment


def rows_seen(row, mode, path):
    """First and last row of the image that a row of the map sees by way of one skip or `bottom`.

    The published graph with one residual unit a group, from the map back to the image.
    """
    kernel = {"original": 5, "fast": 3}[mode]
    crop = {"original": {"d0": 92, "d1": 36, "d2": 0}, "fast": {"d0": 46, "d1": 18, "d2": 0}}[mode]
    low, high = row - kernel // 2, row + kernel // 2  # u1 is padded
    convolutions = {"d0": 5, "d1": 9, "d2": 0}  # of the stage below: the first and the dense ones
    halved = 0
    for skip in ("d0", "d1", "d2"):
        if path == skip:
            low, high = low + crop[skip], high + crop[skip]
            break
        low, high = low // 2, high // 2 + convolutions[skip] * (kernel - 1)
        halved += 1
    for _ in range(halved):  # 3x3 of stride 2, padded below only
        low, high = 2 * low, 2 * high + 2
    low, high = low - 1, high + 1  # the unit of d0
    return (low, high + 6) if mode == "original" else (low - 3, high + 3)


@pytest.mark.parametrize("mode", ["original", "fast"])
def test_an_impulse_arrives_where_it_should(mode):
    """Skips and upsampled maps lie on each other: the rows that a pixel changes by each path."""
    side, impulses = {"original": (254, (30, 100, 150, 224)), "fast": (160, (20, 60, 100, 140))}[
        mode
    ]
    _, shapes, apply = thin_hovernet(mode)
    # Every convolution an average, every norm the identity, all without offset: nothing cancels.
    constant = {"kernel": lambda s: 1 / np.prod(s[:-1]), "scale": lambda s: 1, "var": lambda s: 1}
    averages = {
        path: np.full(x.shape, constant.get(path[-1], lambda s: 0)(x.shape), np.float32)
        for path, x in flatten_dict(shapes).items()
    }
    images = np.zeros((len(impulses), side, side, 3), np.float32)
    for image, row in zip(images, impulses, strict=True):
        image[row, side // 2] = 1e10
    label_set = {"d0": ("u2_out",), "d1": ("u3_out",), "d2": ("conv_bot",), "bottom": ()}
    open_paths = []
    informative = set()
    for path, closed in label_set.items():
        open_paths.append(path)
        variables = unflatten_dict(
            {k: np.zeros_like(v) if set(closed) & set(k) else v for k, v in averages.items()}
        )
        response = apply(variables, images)[..., 0]
        for row, image in zip(impulses, response, strict=True):
            rows = range(len(image))
            seen = [[rows_seen(o, mode, p) for p in open_paths] for o in rows]
            expected = [any(low <= row <= high for low, high in spans) for spans in seen]
            assert np.any(image > 0, axis=1).tolist() == expected, (path, row)
            if 0 < sum(expected) < len(expected):
                informative.add(path)
    assert informative == set(label_set)


def test_shifting_the_image_shifts_the_maps():
    _, shapes, apply = thin_hovernet("fast")
    variables = randomized(shapes)
    images = np.random.default_rng(1).uniform(size=(1, 168, 168, 3)).astype(np.float32)
    maps = np.asarray(apply(variables, images[:, :160, :160]))
    shifted = np.asarray(apply(variables, images[:, 8:, 8:]))
    inner = slice(24, 44)  # what the padding of the encoder does not reach
    moved = slice(32, 52)
    scale = maps.std()
    assert scale > 0.01
    np.testing.assert_allclose(
        shifted[:, inner, inner], maps[:, moved, moved], atol=1e-4 * scale, rtol=0
    )
    assert np.abs(shifted - maps)[:, inner, inner].max() > 0.1 * scale


def test_windows_begin_at_the_same_pixel_whatever_the_size():
    """A side of 164 is 41 in d2, which TensorFlow would pad otherwise than the 40 of 160."""
    _, shapes, apply = thin_hovernet("fast")
    variables = randomized(shapes)
    images = np.random.default_rng(2).uniform(size=(1, 164, 164, 3)).astype(np.float32)
    even, odd = (np.asarray(apply(variables, images[:, :n, :n])) for n in (160, 164))
    assert odd.shape[1] == even.shape[1] + 4 == 164 - 92
    inner = slice(0, 44)
    np.testing.assert_allclose(
        odd[:, inner, inner], even[:, inner, inner], atol=1e-4 * odd.std(), rtol=0
    )


# --- the units against literal versions


def literal_conv(x, parameters, stride=1, pads=(0, 0)):
    """(H, W, C) by (K, K, C, F), pixel by pixel."""
    kernel = np.asarray(parameters["kernel"], np.float64)
    x = np.pad(x, (pads, pads, (0, 0)))
    k = len(kernel)
    rows, columns = ((n - k) // stride + 1 for n in x.shape[:2])
    y = np.zeros((rows, columns, kernel.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            window = x[i * stride : i * stride + k, j * stride : j * stride + k]
            y[i, j] = np.einsum("abc,abcf->f", window, kernel)
    return y + parameters.get("bias", 0)


def literal_norm(x, variables, name):
    p, s = variables["params"][name], variables["batch_stats"][name]
    return (x - s["mean"]) / np.sqrt(s["var"] + 1e-5) * p["scale"] + p["bias"]


def relu(x):
    return np.maximum(x, 0)


def filled(module, x):
    shapes = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, False), x)
    return randomized(shapes)


def literal_bottleneck(x, variables, stride, preactivated, first, pads):
    p = variables["params"]
    norm = lambda y, name: literal_norm(y, variables, name)
    y = x if first or not preactivated else relu(norm(x, "norm0"))
    y = relu(norm(literal_conv(y, p["conv1"]), "norm1"))
    y = relu(norm(literal_conv(y, p["conv2"], stride, pads), "norm2"))
    y = literal_conv(y, p["conv3"])
    return y if preactivated else norm(y, "norm3")


@pytest.mark.parametrize(
    ("stride", "preactivated", "first", "side", "pads"),
    [
        (1, True, False, 5, (1, 1)),
        (1, True, True, 5, (1, 1)),
        (2, True, True, 6, (0, 1)),
        (2, True, True, 5, (0, 2)),
        (2, False, True, 6, (1, 1)),
        (1, False, False, 5, (1, 1)),
    ],
)
def test_bottleneck(stride, preactivated, first, side, pads):
    module = hovernet.Bottleneck(3, stride, preactivated, first)
    x = np.random.default_rng(0).normal(size=(1, side, side, 12)).astype(np.float32)
    variables = filled(module, x)
    assert ("norm0" in variables["params"]) == (preactivated and not first)
    expected = literal_bottleneck(x[0], variables, stride, preactivated, first, pads)
    assert len(expected) == -(-side // stride)
    found = jax.jit(module.apply, static_argnums=2)(variables, x, False)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_strided_convolutions_pad_even_sides_as_tensorflow_does():
    module = hovernet.Bottleneck(2, 2, preactivated=True, first=True)
    x = np.random.default_rng(0).normal(size=(1, 8, 6, 4)).astype(np.float32)
    variables = filled(module, x)
    p = variables["params"]
    y = relu(literal_norm(literal_conv(x[0], p["conv1"]), variables, "norm1"))
    same = nn.Conv(2, (3, 3), 2, "SAME", use_bias=False)  # JAX has taken its meaning over
    y = same.apply({"params": p["conv2"]}, y[None].astype(np.float32))[0]
    expected = literal_conv(relu(literal_norm(y, variables, "norm2")), p["conv3"])
    found = jax.jit(module.apply, static_argnums=2)(variables, x, False)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("preactivated", [True, False])
def test_residual_group(preactivated):
    module = hovernet.ResidualGroup(2, 2, 2, preactivated)
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 5)).astype(np.float32)
    variables = filled(module, x)
    p = variables["params"]
    unit = lambda y, i, stride, pads: literal_bottleneck(
        y, {k: v[f"unit{i}"] for k, v in variables.items()}, stride, preactivated, i == 0, pads
    )
    shortcut = literal_conv(x[0], p["shortcut"], 2)
    if preactivated:
        y = shortcut + unit(x[0], 0, 2, (0, 1))
        y = y + unit(y, 1, 1, (1, 1))
        expected = relu(literal_norm(y, variables, "closing_norm"))
    else:
        y = relu(literal_norm(shortcut, variables, "shortcut_norm") + unit(x[0], 0, 2, (1, 1)))
        expected = relu(y + unit(y, 1, 1, (1, 1)))
    found = jax.jit(module.apply, static_argnums=2)(variables, x, False)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("padding", "pads"), [("VALID", (0, 0)), ("SAME", (1, 1))])
def test_dense_block(padding, pads):
    module = hovernet.DenseBlock(2, growth=8, kernel=3, padding=padding)
    x = np.random.default_rng(0).normal(size=(1, 7, 7, 6)).astype(np.float32)
    variables = filled(module, x)
    p = variables["params"]
    y = x[0]
    for i in range(2):
        z = relu(literal_norm(y, variables, f"unit{i}_norm1"))
        z = relu(literal_norm(literal_conv(z, p[f"unit{i}_conv1"]), variables, f"unit{i}_norm2"))
        kernel = p[f"unit{i}_conv2"]["kernel"]
        assert z.shape[-1] == 32
        assert kernel.shape == (3, 3, 8, 8)
        groups = [  # channels 8 g to 8 g + 7 make the features 2 g and 2 g + 1
            literal_conv(
                z[..., 8 * g : 8 * g + 8], {"kernel": kernel[..., 2 * g : 2 * g + 2]}, 1, pads
            )
            for g in range(4)
        ]
        y = y[1:-1, 1:-1] if padding == "VALID" else y
        y = np.concatenate([y, *groups], axis=-1)
    expected = relu(literal_norm(y, variables, "closing_norm"))
    found = jax.jit(module.apply, static_argnums=2)(variables, x, False)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_grouped_convolution_is_flax_grouped_convolution():
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 16)).astype(np.float32)
    ours = hovernet.GroupedConv(8, 5, 4, "VALID")
    theirs = nn.Conv(8, (5, 5), padding="VALID", feature_group_count=4, use_bias=False)
    variables = ours.init(jax.random.key(0), x)
    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), atol=1e-5)


def test_hovernet_kernels_are_he_normal_by_fan_out():
    kernel = hovernet.GroupedConv(32, 5, 4).init(jax.random.key(0), jnp.zeros((1, 9, 9, 128)))
    spread = float(kernel["params"]["kernel"].std())
    assert spread == pytest.approx(np.sqrt(2 / (25 * 32)), rel=0.02)


# --- StarDist against a literal version


def literal_stardist(image, params, heads):
    """One level, grid 2, one residual block a head."""
    conv = lambda x, name: literal_conv(x, params[name], 1, (1, 1))
    twice = lambda x, name: relu(conv(relu(conv(x, f"{name}_conv1")), f"{name}_conv2"))

    def pool(x):
        h, w = (range(0, n, 2) for n in x.shape[:2])
        return np.array([[x[i : i + 2, j : j + 2].max(axis=(0, 1)) for j in w] for i in h])

    skip = twice(pool(twice(image, "grid0")), "down0")
    h, w, _ = skip.shape
    below = twice(pool(skip), "middle")
    above = np.array([[below[i // 2, j // 2] for j in range(w)] for i in range(h)])
    x = twice(np.concatenate([above, skip], axis=-1), "up0")
    maps = {}
    for name in heads:
        y = relu(conv(x, "class_features" if name == "class" else "features"))
        block = params[f"{name}_block0"]
        z = literal_conv(
            relu(literal_conv(y, block["Conv_0"], 1, (1, 1))), block["Conv_1"], 1, (1, 1)
        )
        z = relu(z + literal_conv(y, block["Conv_2"]))
        maps[name] = literal_conv(z, params[f"{name}_head"])
    return maps


def test_stardist_is_its_literal_version():
    outputs = {"prob": 1, "dist": 5, "class": 3}
    model = stardist.Model(outputs, grid=2, n_depth=1, base=4, features=6, head_blocks=1)
    image = np.random.default_rng(0).uniform(size=(9, 6, 3)).astype(np.float32)
    variables = randomized(abstract(model, 9, 6)[0])
    found = jax.jit(model.apply)(variables, image[None])
    expected = literal_stardist(image, variables["params"], outputs)
    for name in outputs:
        assert np.abs(expected[name]).max() > 0.01
        np.testing.assert_allclose(found[name][0], expected[name], atol=1e-4)


def test_normalized_stardist_is_the_plain_one_with_other_kernels():
    arguments = {"grid": 2, "n_depth": 1, "base": 4, "features": 6}
    normed = stardist.Model(STAR, batch_norm=True, **arguments)
    variables = randomized(abstract(normed, 16)[0])
    params, statistics = dict(variables["params"]), variables["batch_stats"]
    assert {name.split("_")[0] for name in statistics} == {"grid0", "down0", "middle", "up0"}
    for name, running in statistics.items():
        norm, conv = params.pop(name), name.replace("norm", "conv")
        factor = norm["scale"] / np.sqrt(running["var"] + 1e-5)
        bias = (params[conv]["bias"] - running["mean"]) * factor + norm["bias"]
        params[conv] = {"kernel": params[conv]["kernel"] * factor, "bias": bias}
    images = np.random.default_rng(0).uniform(size=(1, 16, 16, 3)).astype(np.float32)
    found = jax.jit(normed.apply)(variables, images)
    expected = stardist.Model(STAR, **arguments).apply({"params": params}, images)
    for name in STAR:
        assert np.abs(expected[name]).max() > 0.01
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
    _, updated = normed.apply(variables, images, train=True, mutable=["batch_stats"])
    assert len(jax.tree.leaves(updated)) == 2 * len(statistics) == 16


def test_grey_network_sees_the_mean_of_the_colors():
    model = stardist.Model({"prob": 1}, n_depth=1, base=2, features=3, in_channels=1)
    variables = randomized(abstract(model, 8)[0])
    images = np.random.default_rng(0).uniform(size=(1, 8, 8, 3)).astype(np.float32)
    gray = np.broadcast_to(images.mean(axis=-1, keepdims=True), images.shape)
    found = model.apply(variables, images)["prob"]
    np.testing.assert_allclose(found, model.apply(variables, gray)["prob"], atol=1e-5)
    assert np.ptp(found) > 0


def test_stardist_kernels_are_glorot_uniform():
    model = stardist.Model({"prob": 1}, n_depth=1, base=16, features=32)
    init = lambda key: model.init(key, jnp.zeros((1, 8, 8, 3)))["params"]["features"]
    layer = jax.jit(init)(jax.random.key(0))
    kernel = np.asarray(layer["kernel"])  # 3x3, 16 to 32
    limit = np.sqrt(6 / (9 * (16 + 32)))
    assert 0.98 * limit < np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    assert not np.any(layer["bias"])
