import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.geometry import Affine, Rotate

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


@pytest.mark.parametrize("shape", [(61, 61), (40, 73)])
@pytest.mark.parametrize("ignored", [False, True])
def test_rotate_equals_its_definition_pixel_by_pixel(shape, ignored):
    """Each pixel looks back along the turn: outside it is ignored, inside it is what is there."""
    h, w = shape
    image = np.kron(rng(1).integers(0, 256, (6, 8, 3)), np.ones((13, 13, 1)))[:h, :w]
    image = ndimage.gaussian_filter(image, (2, 2, 0)).astype(np.uint8)
    instances = rng(2).integers(0, 9, shape).astype(np.int32)
    ignore = instances == 3 if ignored else None
    result = Rotate(30)(Sample(image, instances, instances % 4, {}, ignore), rng(7))
    draws = rng(7)
    draws.random(2)  # of scale and aspect, which stay as they are
    angle = np.radians(30 * draws.uniform(-1, 1, 2)[1])
    checked = 0
    for row, column in np.ndindex(*shape):
        y, x = row + 0.5 - h / 2, column + 0.5 - w / 2
        r = np.cos(angle) * y - np.sin(angle) * x + h / 2
        c = np.sin(angle) * y + np.cos(angle) * x + w / 2
        if min(abs(r - round(r)), abs(c - round(c))) < 0.01:
            continue  # on the edge of two pixels, where rounding decides
        checked += 1
        at = row, column
        if not (0 <= r < h and 0 <= c < w):
            assert result.ignore[at]
            assert not result.instances[at]
            assert not result.classes[at]
            assert not result.image[at].any()
            continue
        there = int(r), int(c)
        assert result.instances[at] == instances[there]
        assert result.classes[at] == instances[there] % 4
        assert result.ignore[at] == (ignored and instances[there] == 3)
        for channel in range(3):
            expected = ndimage.map_coordinates(
                image[..., channel].astype(float), [[r - 0.5], [c - 0.5]], order=1, mode="nearest"
            )
            assert abs(result.image[at][channel] - expected[0]) < 1.01
    assert checked > 0.95 * h * w


def test_rotations_reach_the_range_and_no_further():
    """An arm from the middle points where it was turned to."""
    instances = np.zeros((101, 101), np.int32)
    instances[50, 60:95] = 1
    angles = []
    for seed in range(200):
        turned = Rotate(20)(Sample(np.zeros((101, 101, 3), np.uint8), instances), rng(seed))
        row, column = center(turned.instances, 1) - 50
        angles.append(np.degrees(np.arctan2(row, column)))
    assert -20.5 < min(angles) < -18
    assert 18 < max(angles) < 20.5
    assert abs(np.mean(angles)) < 3


def test_what_is_beyond_the_image_is_in_all_samples():
    without = Sample(blobs().image, blobs().instances)
    for transform in (Rotate(p=0), Affine(**NONE, ignore=True), Affine(ignore=True, p=0)):
        assert transform.ignores
        assert not transform(without, rng()).ignore.any()
        np.testing.assert_array_equal(transform(blobs(), rng()).ignore, blobs().ignore)
    assert not Affine().ignores


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
    with pytest.raises(ValueError, match="degrees=181: 0 <= degrees <= 180"):
        Rotate(181)
