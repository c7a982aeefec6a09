"""Splitting at necks against h-maxima by reconstruction, and disks whose necks are known."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from jaxnuc.postprocess import label_components, relabel, split_at_necks

SQUARE = np.ones((3, 3))
FLOOR = -50.0  # below the logarithm of all distances


def disks(*places, shape=(60, 120)):
    """The union of disks of (row, col, radius)."""
    rows, cols = np.indices(shape)
    return np.any([(rows - r) ** 2 + (cols - c) ** 2 <= s**2 for r, c, s in places], axis=0)


def literal(mask, neck, smoothing):
    """A watershed of the whole image from the h-maxima of the logarithm of the distance."""
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), smoothing)
    parts, number = ndimage.label(mask)
    markers = np.zeros(mask.shape, np.int32)
    for part in range(1, number + 1):
        own = parts == part
        height = np.where(own, np.log(distance, where=own, out=np.zeros(mask.shape)), FLOOR)
        lowered = reconstruction(np.maximum(height + np.log(neck), FLOOR), height)
        maxima = local_maxima(np.pad(lowered, 1, constant_values=FLOOR))[1:-1, 1:-1]
        plateaus = ndimage.label(maxima, SQUARE)[0]
        markers += np.where(plateaus, plateaus + markers.max(), 0)
    return watershed(-distance, markers, mask=mask)


@pytest.mark.parametrize("seed", range(3))
def test_equals_h_maxima_of_the_logarithm(seed):
    rng = np.random.default_rng(seed)
    places = np.column_stack([rng.uniform(0, 100, (40, 2)), rng.uniform(4, 10, 40)])
    mask = disks(*places, shape=(100, 100))
    number = []
    for neck in (0.5, 0.7, 0.9, 0.97):
        found, expected = split_at_necks(mask.astype(float), neck=neck), literal(mask, neck, 1.0)
        np.testing.assert_array_equal(found > 0, mask)
        # The same pixels are together, under other ids.
        pairs = np.unique(np.stack([found[mask], expected[mask]]), axis=1)
        assert pairs.shape[1] == found.max() == expected.max()
        number.append(found.max())
    assert label_components(mask, connectivity=1).max() <= number[0] < number[2] < number[3]
    assert number == sorted(number)


@pytest.mark.parametrize("scale", [1, 3])
def test_the_width_of_the_neck_decides_at_every_size(scale):
    """Disks of radius 10 whose centers are 2a apart have a passage of width 2 sqrt(100 - a^2)."""
    for half, width in ((6, 0.8), (8, 0.6), (9, np.sqrt(0.19))):
        middle, radius = 60 * scale, 10 * scale
        places = (
            (30 * scale, middle - half * scale, radius),
            (30 * scale, middle + half * scale, radius),
        )
        mask = disks(*places, shape=(60 * scale, 120 * scale)).astype(float)
        below, above = (split_at_necks(mask, neck=width + d, smoothing=0.5) for d in (-0.12, 0.12))
        assert (below.max(), above.max()) == (1, 2), half
        np.testing.assert_array_equal(np.unique(above[:, :middle]), [0, 1])
        np.testing.assert_array_equal(np.unique(above[:, middle + 1 :]), [0, 2])


def test_one_that_the_border_cuts_stays_one():
    mask = disks((30, 0, 14), (30, 60, 9), shape=(60, 90))
    found = split_at_necks(mask.astype(float))
    np.testing.assert_array_equal(found, label_components(mask))
    whole = np.ones((8, 9))
    np.testing.assert_array_equal(split_at_necks(whole), whole)
    tall = disks((0, 20, 12), (0, 36, 12), shape=(12, 60)).astype(float)  # halves of two disks
    assert split_at_necks(tall).max() == 2


def test_ids_are_one_to_n_and_tiny_ones_stay():
    mask = np.zeros((20, 20))
    mask[2, 2] = mask[5:7, 5:7] = mask[10:17, 8:17] = 1
    found = split_at_necks(mask)
    np.testing.assert_array_equal(np.unique(found), [0, 1, 2, 3])
    np.testing.assert_array_equal(found, relabel(found))
    assert found.dtype == np.int32


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (4, 4)])
def test_nothing_to_split(shape):
    np.testing.assert_array_equal(split_at_necks(np.zeros(shape)), np.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"neck": 0.0}, "neck=0.0 must be above 0 and at most 1"),
        ({"neck": 1.5}, "neck=1.5 must be"),
        ({"smoothing": -1.0}, "smoothing=-1.0 px is negative"),
        ({"threshold": 2.0}, "threshold"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        split_at_necks(np.zeros((4, 4)), **arguments)


def test_a_contour_across_a_wide_neck_separates_and_takes_no_pixels():
    """A bar with a contour across its middle; the distances equal the mean of two, literally."""
    mask = np.zeros((30, 80))
    mask[5:25, 5:75] = 1.0
    contour = np.zeros_like(mask)
    contour[:, 39:41] = 0.9
    assert split_at_necks(mask).max() == 1
    found = split_at_necks(mask, contour_probability=contour, contour_share=0.6)
    assert found.max() == 2
    np.testing.assert_array_equal(found > 0, mask > 0)
    assert set(np.unique(found[:, :39])) == {0, found[10, 20]}
    assert set(np.unique(found[:, 41:])) == {0, found[10, 60]}
    # A contour that is hardly probable, or does not count, changes nothing.
    assert split_at_necks(mask, contour_probability=contour / 2).max() == 1
    assert split_at_necks(mask, contour_probability=contour, contour_share=0).max() == 1


def test_distances_are_the_mean_of_those_to_background_and_contours():
    rng = np.random.default_rng(3)
    places = np.column_stack([rng.uniform(0, 100, (30, 2)), rng.uniform(5, 10, 30)])
    mask = disks(*places, shape=(100, 100))
    contour = ndimage.gaussian_filter(rng.random((100, 100)), 3) > 0.53
    distance = 0.3 * ndimage.distance_transform_edt(mask)
    distance += 0.7 * ndimage.distance_transform_edt(mask & ~contour)
    smooth = ndimage.gaussian_filter(distance, 1.5) * mask
    # With neck=1 every maximum is a nucleus.
    maxima = local_maxima(np.pad(smooth, 1))[1:-1, 1:-1] & mask
    found = split_at_necks(
        mask.astype(float),
        neck=1,
        smoothing=1.5,
        contour_probability=contour.astype(float),
        contour_share=0.7,
    )
    assert found.max() == ndimage.label(maxima, SQUARE)[1]


def test_refuses_a_share_that_is_none():
    with pytest.raises(ValueError, match="contour_share"):
        split_at_necks(np.ones((3, 3)), contour_share=1.5)
