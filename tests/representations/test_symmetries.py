"""Turned and mirrored images: what their maps mean, and their average."""

import numpy as np
import pytest
from scipy import ndimage, special

from jaxnuc import representations
from jaxnuc.data.synthetic import generate
from jaxnuc.prediction.symmetries import augmented
from jaxnuc.representations import OutputMap
from jaxnuc.representations.symmetries import ALL, transform, transform_back, undo_rays


def perfect_maps(representation):
    """An oracle whose images are label maps."""

    def maps_of_image(labels):
        targets = representation.encode(labels)
        maps = {}
        for name, channels in representation.outputs.items():
            target = targets[name]
            if representation.output_maps[name].kind != "logits":
                maps[name] = target
            elif channels == 1:
                maps[name] = special.logit(np.clip(target, 1e-4, 1 - 1e-4)).astype(np.float32)
            else:
                maps[name] = np.where(np.arange(channels) == target, 6, -6).astype(np.float32)
        return maps

    return maps_of_image


def same(found, expected, representation, tolerance=1e-4):
    assert found.keys() == expected.keys()
    for name, m in expected.items():
        if representation.output_maps[name].kind == "logits" and m.shape[-1] > 1:
            m = special.log_softmax(m, axis=-1)
        np.testing.assert_allclose(found[name], m, rtol=0, atol=tolerance, err_msg=name)
        assert found[name].dtype == np.float32


@pytest.mark.parametrize("k", ALL)
def test_transforms_are_the_symmetries_of_the_square(k):
    array = np.arange(42).reshape(6, 7)
    literal = np.fliplr(array) if k >= 4 else array
    for _ in range(k % 4):
        literal = literal.T[::-1]  # a quarter turn counter-clockwise
    np.testing.assert_array_equal(transform(array, k), literal)
    np.testing.assert_array_equal(transform_back(transform(array, k), k), array)
    others = [transform(array, i) for i in ALL if i != k]
    assert not any(np.array_equal(transform(array, k), other) for other in others)


class NotTurned(representations.Wrapper):
    """Takes rays for values that do not change when the image is turned."""

    @property
    def output_maps(self):
        maps = self.base.output_maps
        return {**maps, "dist": OutputMap(maps["dist"].channels, "values", "distances")}


@pytest.mark.parametrize("n_rays", [4, 32, 64])
@pytest.mark.parametrize("k", ALL)
def test_rays_of_a_transformed_image(n_rays, k):
    labels = generate(2, size=72).instances[:70]  # not square
    representation = representations.create("stardist", n_rays=n_rays)
    oracle = perfect_maps(representation)
    expected = oracle(labels)
    assert expected["dist"].max() > 5
    # Rays are stepped alike in all directions, so that the tolerance is that of rounding.
    found = augmented(oracle, representation, [k])(labels)
    same(found, expected, representation)
    if k:
        found = augmented(oracle, NotTurned(representation), [k])(labels)
        with pytest.raises(AssertionError, match="dist"):
            same(found, expected, representation)


@pytest.mark.parametrize("k", ALL)
@pytest.mark.parametrize("grid", [2, 4])
@pytest.mark.parametrize("shape", [(64, 64), (61, 66)])
def test_points_of_a_grid_lie_on_the_same_pixels(k, grid, shape):
    labels = np.zeros((80, 80), np.int32)
    labels[6:54, 6:54] = generate(2, size=48).instances
    labels = labels[: shape[0], : shape[1]]  # no nucleus at the border, which is mirrored
    representation = representations.create("stardist", grid=grid)
    oracle = perfect_maps(representation)
    expected = oracle(labels)
    assert expected["dist"].max() > 5
    same(augmented(oracle, representation, [k])(labels), expected, representation)


@pytest.mark.parametrize("k", ALL)
def test_vectors_of_a_transformed_image(k):
    """Up to two pixels over the half extent: the center lies one pixel before the middle."""
    rows, cols = np.indices((60, 70))
    labels = np.zeros((60, 70), np.int32)
    labels[((rows - 20) / 13) ** 2 + ((cols - 22) / 9) ** 2 <= 1] = 1
    labels[((rows - 40) / 8) ** 2 + ((cols - 50) / 15) ** 2 <= 1] = 2
    representation = representations.create("hover")
    oracle = perfect_maps(representation)
    expected = oracle(labels)
    found = augmented(oracle, representation, [k])(labels)
    np.testing.assert_allclose(found["hv"], expected["hv"], rtol=0, atol=2.2 / 8)
    for channel in (0, 1):
        both = np.stack([found["hv"][labels > 0], expected["hv"][labels > 0]])[..., channel]
        assert np.corrcoef(both)[0, 1] > 0.99


def test_distances_of_an_image_and_its_mirror_image_are_averaged():
    representation = representations.create("distance")

    def maps_of_image(image):
        return {"distance": image[..., :1] * np.linspace(0, 1, image.shape[1])[:, None]}

    found = augmented(maps_of_image, representation, [0, 4])(np.full((3, 5, 3), 12.0))
    np.testing.assert_allclose(found["distance"], np.full((3, 5, 1), 6.0), rtol=1e-6)


@pytest.mark.parametrize("name", ["binary", "contour", "distance", "hover", "stardist"])
def test_perfect_maps_stay_perfect(name):
    representation = representations.create(name)
    oracle = perfect_maps(representation)
    labels = generate(1, size=96).instances
    found = augmented(oracle, representation)(labels)
    expected = oracle(labels)
    if name in ("binary", "distance", "stardist"):
        same(found, expected, representation)
    truth, again = representation.decode(expected), representation.decode(found)
    assert np.mean((truth.instances > 0) != (again.instances > 0)) < 0.02
    assert abs(len(truth.scores) - len(again.scores)) <= 1
    assert len(again.scores) > 3


def equivariant(image):
    """Filters that are the same in all directions: the maps turn with the image."""
    gray = image.mean(axis=-1)
    cross = ndimage.generate_binary_structure(2, 1) / 5
    smooth = ndimage.correlate(gray, cross, mode="mirror")
    high = ndimage.maximum_filter(gray, 3, mode="mirror")
    logits = np.stack([smooth, high, smooth * high / 9, high - smooth], axis=-1)
    return {"mask": logits[..., :1], "class": logits, "distance": logits[..., 1:2]}


class Anything(representations.Wrapper):
    """Maps of all kinds."""

    def __init__(self):
        super().__init__(representations.create("binary"))

    @property
    def output_maps(self):
        return {
            "mask": OutputMap(1, "logits", "mask"),
            "class": OutputMap(4, "logits", "classes"),
            "distance": OutputMap(1, "values", "distance"),
        }


@pytest.mark.parametrize("merge", ["mean", "median"])
def test_maps_of_an_equivariant_network_stay_as_they_are(merge):
    image = np.random.default_rng(0).integers(-40, 40, (31, 26, 3)).astype(np.float64)
    expected = equivariant(image)
    found = augmented(equivariant, Anything(), merge=merge)(image)
    np.testing.assert_array_equal(found["distance"], expected["distance"].astype(np.float32))
    same(found, expected, Anything(), 1e-5)  # logits of up to 40, there and back


def test_merging_is_that_of_probabilities():
    rng = np.random.default_rng(0)
    maps = [
        {n: rng.normal(0, 3, (5, 6, c)) for n, c in (("mask", 1), ("class", 4), ("distance", 2))}
        for _ in range(8)
    ]

    def averaged(symmetries, **arguments):
        answers = iter(maps)
        one = lambda image: {n: transform(m, next(ks)) for n, m in next(answers).items()}
        ks = iter([k for k in symmetries for _ in range(3)])
        return augmented(one, Anything(), symmetries, **arguments)(np.zeros((5, 6, 3)))

    for symmetries in (range(8), (0, 2, 4), (5,)):
        used = maps[: len(symmetries)]
        found = averaged(symmetries)
        p = special.expit([m["mask"] for m in used])
        np.testing.assert_allclose(special.expit(found["mask"]), p.mean(axis=0), rtol=1e-5)
        shares = np.mean([special.softmax(m["class"], axis=-1) for m in used], axis=0)
        np.testing.assert_allclose(np.exp(found["class"]), shares, rtol=1e-5)
        mean = np.mean([m["distance"] for m in used], axis=0)
        np.testing.assert_allclose(found["distance"], mean, rtol=1e-5, atol=1e-7)
        found = averaged(symmetries, merge="median")
        np.testing.assert_allclose(special.expit(found["mask"]), np.median(p, axis=0), rtol=1e-5)
        np.testing.assert_allclose(np.exp(found["class"]), shares, rtol=1e-5)


def test_saturated_logits_stay_finite():
    image = np.zeros((4, 4, 3))
    maps = {"mask": np.full((4, 4, 1), 800.0), "class": np.array([[[900.0, -900]]]).repeat(4, 0)}
    maps["class"] = maps["class"].repeat(4, 1)
    maps["distance"] = np.zeros((4, 4, 1))
    found = augmented(lambda image: maps, Anything())(image)
    np.testing.assert_allclose(found["mask"], 800, rtol=1e-6)
    np.testing.assert_allclose(found["class"][0, 0], [0, -1800], rtol=1e-6, atol=1e-6)


def test_refusals():
    with pytest.raises(
        ValueError, match=r"symmetry 1 does not lead .* they are 30; .*4, .*2, 4, 6"
    ):
        undo_rays(np.zeros((2, 2, 30)), 1)
    assert undo_rays(np.zeros((2, 2, 30)), 6).shape == (2, 2, 30)
    with pytest.raises(ValueError, match=r"only the symmetries \[0, 6\]"):
        undo_rays(np.zeros((2, 2, 5)), 4)
    for symmetries in ([], [8], [0, 0], [-1]):
        with pytest.raises(ValueError, match=r"some of 0\.\.7, each at most once"):
            augmented(equivariant, Anything(), symmetries)
    with pytest.raises(ValueError, match="merge='max'; known: mean, median"):
        augmented(equivariant, Anything(), merge="max")
