"""DCAN, Micro-Net and DIST: published counts, sizes, and the networks written out in NumPy."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnuc import models
from jaxnuc.models import micro_net

MAPS = {"mask": 1, "contour": 2}
THIN = {  # the full graphs at hardly any width
    "dcan": {"stages": ((2, 1), (3, 2), (2, 1), (3, 1), (4, 1)), "bottom": 3},
    "micro_net": {"widths": (1, 2, 1, 2), "bottom": 3},
    "dist": {"widths": (2, 1, 2, 1, 2)},
}
SIZE = {"dcan": (64, 64), "micro_net": (64, 64), "dist": (248, 248)}


def abstract(name, outputs, size=None, train=False, **arguments):
    """Variables and maps of a batch of two images, as shapes."""
    model = models.create(name, outputs, **arguments)
    images = jax.ShapeDtypeStruct((2, *(size or SIZE[name]), 3), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    init = functools.partial(model.init_with_output, train=train)
    maps, variables = jax.eval_shape(init, keys, images)
    return variables, maps


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize(
    ("name", "outputs", "published", "small"),
    [
        ("dcan", {"mask": 2, "contour": 2}, 41_463_628, 1_462_536),
        ("micro_net", {"mask": 2}, 192_570_086, 1_698_350),
        ("dist", {"distance": 1}, 9_246_145, 579_889),
    ],
)
def test_parameter_counts(name, outputs, published, small):
    assert count(abstract(name, outputs, variant="full")[0]) == published
    assert count(abstract(name, outputs, variant="small")[0]) == small


def test_sizes_of_the_papers():
    for name, size, expected in (("micro_net", 252, 252), ("dist", 268, 84), ("dcan", 224, 224)):
        maps = abstract(name, {"a": 2}, (size, size), **THIN[name])[1]
        assert maps["a"].shape == (2, expected, expected, 2)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("dcan", (33, 47)),
        *(("micro_net", size) for size in ((61, 62), (65, 253))),
        *(("dist", size) for size in ((185, 186), (193, 268))),
    ],
)
def test_maps_at_many_sizes(name, size, train):
    maps = abstract(name, MAPS, size, train, **THIN[name])[1]
    margin = models.create(name, MAPS).margin
    assert margin == {"dcan": 0, "micro_net": 0, "dist": 184}[name]
    sides = [side - margin for side in size]
    expected = {k: jax.ShapeDtypeStruct((2, *sides, c), jnp.float32) for k, c in MAPS.items()}
    if train and name != "dist":
        expected["side"] = {k: [v] * 3 for k, v in expected.items()}
    assert maps == expected


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("dist", (300, 184), "300 x 184 px does not fit.* nearest side that fits is 185"),
        ("micro_net", (60, 64), "60 x 64 px do not fit.* nearest side that fits is 61"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name, size, message):
    with pytest.raises(ValueError, match=message):
        abstract(name, MAPS, size, **THIN[name])


@pytest.mark.parametrize("name", THIN)
def test_a_map_has_its_own_head_only(name):
    one, both = (abstract(name, maps, **THIN[name])[0]["params"] for maps in ({"a": 1}, MAPS))
    rename = lambda names: {k for k in names if not k.startswith(("a_", "mask_", "contour_"))}
    assert rename(one) == rename(both)
    heads = {"dcan": 3, "micro_net": 4, "dist": 1}[name]
    assert len(one) - len(rename(one)) == heads
    assert len(both) - len(rename(both)) == 2 * heads


def test_auxiliary_branches_of_micro_net_are_as_wide_as_the_maps_together():
    for outputs, width in (({"a": 1}, 2), ({"a": 2}, 2), (MAPS, 3), ({"p": 1, "rays": 32}, 33)):
        params = abstract("micro_net", outputs, **THIN["micro_net"])[0]["params"]
        assert [params[f"branch{i}"]["bias"].shape for i in (1, 2, 3)] == [(width,)] * 3


# --- the networks in NumPy, one image (H, W, C) at a time -----------------------------------------


def conv(x, p):
    """Unpadded convolution."""
    k = p["kernel"]
    n = len(k)
    h, w = x.shape[0] - n + 1, x.shape[1] - n + 1
    taps = itertools.product(range(n), range(n))
    return sum(x[a : a + h, b : b + w] @ k[a, b] for a, b in taps) + p.get("bias", 0)


def padded(x, p):
    r = len(p["kernel"]) // 2
    return conv(np.pad(x, ((r, r), (r, r), (0, 0))), p)


def spread(x, kernel, bias, stride):
    """Transposed convolution: every pixel adds its kernel, `stride` from that of the next one."""
    h, w, _ = x.shape
    n, _, _, c = kernel.shape
    y = np.zeros(((h - 1) * stride + n, (w - 1) * stride + n, c))
    for a, b in itertools.product(range(n), range(n)):
        y[a : a + h * stride : stride, b : b + w * stride : stride] += x @ kernel[a, b]
    return y + bias


def halve(x):
    h, w, c = x.shape
    return x.reshape(h // 2, 2, w // 2, 2, c).max((1, 3))


def relu(x):
    return np.maximum(x, 0)


def normalize(x, p, stats):
    return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * p["scale"] + p["bias"]


def linear(t):
    return relu(1 - abs(t))


def cubic(t):  # Keys, 1981, a = -1/2
    t = abs(t)
    return np.where(
        t < 1, 1.5 * t**3 - 2.5 * t**2 + 1, np.where(t < 2, (-t + 5) * t**2 / 2 - 4 * t + 2, 0)
    )


def resize(x, height, width, kernel):
    """A weighted mean per output; the weights widen with the factor when shrinking."""
    for axis, new in ((0, height), (1, width)):
        old = x.shape[axis]
        centers = (np.arange(new) + 0.5) * old / new - 0.5
        weights = kernel((np.arange(old) - centers[:, None]) / max(old / new, 1))
        weights /= weights.sum(1, keepdims=True)
        x = np.moveaxis(np.tensordot(weights, x, (1, axis)), 0, axis)
    return x


def random_variables(model, size):
    """Every leaf random, in NumPy: compiling the initialization takes longer than the rest."""
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        if path[-1].key in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        if path[-1].key == "kernel":
            gain = (2 / np.prod(leaf.shape[:-1])) ** 0.5
            return (gain * rng.standard_normal(leaf.shape)).astype(np.float32)
        return rng.uniform(0, 0.3, leaf.shape).astype(np.float32)

    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *size, 3)))
    return jax.tree.map_with_path(fill, shapes)


def random_image(height, width):
    return np.random.default_rng(1).random((1, height, width, 3), dtype=np.float32)


def test_dcan_equals_upsampled_features_under_1x1_convolutions():
    model = models.create("dcan", MAPS, dropout_rate=0.0, **THIN["dcan"])
    images = random_image(64, 96)
    variables = random_variables(model, (64, 96))
    maps = jax.jit(lambda v, x: model.apply(v, x, train=True))(variables, images)

    p = variables["params"]
    x = np.asarray(images[0], np.float64)
    features = []
    for stage, (_, number) in enumerate(THIN["dcan"]["stages"], start=1):
        for i in range(1, number + 1):
            x = relu(padded(x, p[f"conv{stage}_{i}"]))
        features.append(x)
        x = halve(x)
    x = relu(padded(relu(padded(x, p["bottom_1"])), p["bottom_2"]))
    scales = {3: x, 2: features[-1], 1: features[-2]}
    assert [f.shape[:2] for f in scales.values()] == [(2, 3), (4, 6), (8, 12)]
    for name in MAPS:
        each = [conv(resize(f, 64, 96, linear), p[f"{name}_scale{i}"]) for i, f in scales.items()]
        assert min(np.ptp(m) for m in each) > 1e-2
        for found, expected in zip(maps["side"][name], each, strict=True):
            np.testing.assert_allclose(found[0], expected, atol=1e-5)
        np.testing.assert_allclose(maps[name][0], sum(each), atol=1e-5)


def test_micro_net_equals_its_layers_at_252_pixels():
    widths = THIN["micro_net"]["widths"]
    model = models.create("micro_net", MAPS, **THIN["micro_net"])
    images = random_image(252, 252)
    variables = random_variables(model, (252, 252))
    maps = jax.jit(model.apply)(variables, images)

    p, stats = variables["params"], variables["batch_stats"]
    image = np.asarray(images[0], np.float64)
    x, skips = image, []
    for level, side in enumerate((128, 64, 32, 16), start=1):
        q, s = p[f"down{level}"], stats[f"down{level}"]
        halves = []
        for name, y in (("main", x), ("resized", resize(image, side, side, cubic))):
            y = relu(normalize(conv(y, q[f"{name}_1"]), q[f"{name}_norm"], s[f"{name}_norm"]))
            halves.append(relu(conv(y, q[f"{name}_2"])))
        x = np.concatenate([halve(halves[0]), halves[1]], -1)
        skips.append(x)
    assert [s.shape for s in skips] == [
        (side, side, 2 * width) for side, width in zip((124, 60, 28, 12), widths, strict=True)
    ]
    x = relu(conv(relu(conv(x, p["bottom1"])), p["bottom2"]))
    assert x.shape[:2] == (8, 8)

    branches = []
    for level in (4, 3, 2, 1):
        q = p[f"up{level}"]
        x = spread(x, q["double"]["kernel"], q["double"]["bias"], 2)
        x = relu(conv(relu(conv(x, q["conv1"])), q["conv2"]))
        # a convolution is a transposed one with the kernel turned about
        grown = [
            spread(y, k["kernel"][::-1, ::-1], k["bias"], 1)
            for y, k in ((x, q["extend"]), (skips[level - 1], q["extend_skip"]))
        ]
        x = relu(conv(np.concatenate(grown, -1), q["fuse"]))
        assert x.shape[:2] == (256 // 2**level,) * 2
        if level < 4:
            q = p[f"branch{level}_enlarge"]
            y = spread(x, q["kernel"], q["bias"], 2**level)
            branches.append(relu(conv(y, p[f"branch{level}"])))
    for name in MAPS:
        expected = conv(np.concatenate(branches, -1), p[f"{name}_head"])
        assert np.ptp(expected) > 1e-2
        np.testing.assert_allclose(maps[name][0], expected, atol=1e-5)


def test_resized_images_are_bicubic_at_any_size():
    image = np.random.default_rng(0).random((61, 90, 3))
    found = micro_net.shrink(jnp.asarray(image[None], jnp.float32), 9, 47)[0]
    np.testing.assert_allclose(found, resize(image, 9, 47, cubic), atol=1e-5)


@pytest.mark.parametrize("size", [(188, 204), (191, 197)])
def test_levels_of_dist_are_aligned(size):
    """With convolutions that copy their center an output is the maximum of the cell it lies in.

    Only the path through one level is open, so that cells are 2**level pixels wide.
    """
    model = models.create("dist", {"distance": 1}, widths=(1,) * 5)
    images = random_image(*size)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    apply = jax.jit(model.apply)
    for level in range(5):

        def fill(path, leaf, level=level):
            name, last = path[1].key, path[-1].key
            if last == "kernel" and name.startswith(("up", "down")):
                center = np.zeros(leaf.shape, np.float32)
                # of the doubled map and the skip, the first or the second is let through
                center[1, 1, 1 if name == f"up{level}" and leaf.shape[2] == 2 else 0] = 1
                return center
            return np.full(leaf.shape, last in ("kernel", "scale", "var"), np.float32)

        variables = jax.tree.map_with_path(fill, shapes)
        found = np.asarray(apply(variables, images)["distance"][0, ..., 0])

        cell = 2**level
        first = (2 * (cell - 1)) % cell  # where cells begin: 2 pixels of each level above are lost
        expected = np.zeros_like(found)
        for r, c in np.ndindex(expected.shape):  # 92 pixels are missing at either end
            top, left = ((i + 92 - first) // cell * cell + first for i in (r, c))
            expected[r, c] = images[0, top : top + cell, left : left + cell, 0].max()
        np.testing.assert_allclose(found, expected, rtol=1e-3)  # of 18 normalizations by 1 + 1e-5


def test_dist_moves_with_the_image_by_its_stride():
    model = models.create("dist", {"distance": 1}, widths=(4,) * 5)
    image = random_image(220, 220)
    variables = random_variables(model, (220, 220))
    apply = jax.jit(lambda x: model.apply(variables, x)["distance"])
    here = apply(image[:, :204, :204])
    assert here.shape == (1, 20, 20, 1)
    there = apply(image[:, 16:, 16:])
    assert np.ptp(there[:, :4, :4]) > 1e-3
    np.testing.assert_allclose(here[:, 16:, 16:], there[:, :4, :4], atol=1e-5)
    half = apply(image[:, 8:212, 8:212])  # half the stride moves the cells of the deepest level
    assert abs(here[:, 8:, 8:] - half[:, :12, :12]).max() > 1e-3


def test_last_outputs_of_dist_alone_feel_a_side_that_is_odd_at_some_level():
    model = models.create("dist", {"distance": 1}, widths=(4,) * 5)
    image = random_image(204, 188)
    variables = random_variables(model, (204, 188))
    apply = jax.jit(lambda x: model.apply(variables, x)["distance"])
    whole, odd = apply(image), apply(image[:, :201])
    assert odd.shape == (1, 17, 4, 1)
    assert np.ptp(whole) > 1e-2
    np.testing.assert_allclose(odd[:, : 17 - 15], whole[:, : 17 - 15], atol=1e-6)
    np.testing.assert_allclose(odd, whole[:, :17], atol=1e-2)
