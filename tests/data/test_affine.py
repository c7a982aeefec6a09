import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.geometry import Affine

NONE = {"scale": (1, 1), "rotation": 0}


def rng(seed=0):
    return np.random.default_rng(seed)


def blobs(size=61, at=((20, 20), (40, 28)), radius=6):
    row, column = np.mgrid[:size, :size]
    instances = np.zeros((size, size), np.int32)
    for number, (r, c) in enumerate(at, 3):
        instances[np.hypot(row - r, column - c) < radius] = number
    image = np.repeat((instances > 0)[..., None] * np.uint8(200), 3, -1)
    return Sample(image, instances, instances % 3, {"name": "x"}, instances == 4)


def center(instances, number):
    return np.array(ndimage.center_of_mass(instances == number))


def test_no_change_is_the_identity():
    result = Affine(**NONE)(blobs(), rng())
    for name in ("image", "instances", "classes", "ignore"):
        expected = getattr(blobs(), name)
        np.testing.assert_array_equal(getattr(result, name), expected)
        assert getattr(result, name).dtype == expected.dtype


@pytest.mark.parametrize("nearest", [True, False])
def test_all_maps_move_together(nearest):
    transform = Affine((0.8, 1.2), 0.1, 5, 179, 0.05, nearest)
    for seed in range(10):
        result = transform(blobs(), rng(seed))
        np.testing.assert_array_equal(result.classes, result.instances % 3)
        np.testing.assert_array_equal(result.ignore, result.instances == 4)
        inside = ndimage.binary_erosion(result.instances > 0, iterations=2)
        assert (result.image[inside] == 200).all()
        # Resampled at the same places: the image's edge is the maps'.
        same = (result.image[..., 0] > 100) == (result.instances > 0)
        assert same.mean() > 0.99


def test_scale_and_aspect():
    for transform, size in ((Affine((1.5, 1.5), rotation=0), 2.25), (Affine((1, 1), 0.5), 1)):
        for seed in range(5):
            result = transform(blobs(at=((30, 30),)), rng(seed))
            area = (result.instances > 0).sum() / (blobs(at=((30, 30),)).instances > 0).sum()
            assert abs(area / size - 1) < 0.1
            np.testing.assert_allclose(center(result.instances, 3), (30, 30), atol=0.5)


def test_rotation_turns_about_the_middle():
    draws = rng(5)
    draws.uniform(1, 1)
    draws.uniform(0, 0)
    angle = np.radians(draws.uniform(-1, 1, 2)[1] * 90)
    result = Affine((1, 1), rotation=90)(blobs(), rng(5))
    for number, (r, c) in ((3, (20, 20)), (4, (40, 28))):
        x, y = c - 30, r - 30
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ (
            x,
            y,
        )
        found = center(result.instances, number) - 30
        np.testing.assert_allclose(found[::-1], turned, atol=0.5)


def test_translation_is_bounded_and_leaves_black_background():
    for seed in range(10):
        result = Affine((1, 1), rotation=0, translation=0.1)(blobs(), rng(seed))
        moved = center(result.instances, 3) - (20, 20)
        assert (np.abs(moved) <= 0.1 * 61 + 0.5).all()
    white = Sample(np.full((40, 40, 3), 255, np.uint8), np.ones((40, 40), np.int32))
    result = Affine((0.5, 0.5), rotation=0)(white, rng())
    assert (result.image[0] == 0).all()
    assert (result.instances[0] == 0).all()
    assert (result.instances > 0).sum() == 400


def test_is_a_function_of_sample_and_rng():
    assert Affine(p=0)(sample := blobs(), rng()) is sample
    first, again = (Affine()(blobs(), rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.instances, again.instances)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": (1.2, 0.8)}, r"scale=\(1\.2, 0\.8\)"),
        ({"scale": (0, 1)}, "0 < low <= high"),
        ({"aspect": 1}, "aspect=1"),
        ({"shear": 90}, "shear=90"),
        ({"rotation": 200}, "rotation=200"),
        ({"p": 3}, "p=3"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Affine(**arguments)
