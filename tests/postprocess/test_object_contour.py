"""Thresholded maps against literal versions, and the dilation of instances against distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jaxnuc.postprocess.object_contour import (
    dilate_instances,
    label_inside_contours,
    label_probability,
)
from jaxnuc.postprocess.regions import relabel

CROSS = ndimage.generate_binary_structure(2, 1)
DIAMOND = ndimage.iterate_structure(CROSS, 3)
shapes = st.tuples(st.integers(1, 20), st.integers(1, 20))


def components(mask, min_size):
    """One component after the other."""
    labels, n = ndimage.label(mask, CROSS)
    for i in range(1, n + 1):
        if (labels == i).sum() < min_size:
            labels[labels == i] = 0
    return relabel(labels)


def literal_dilation(instances, radius):
    """City-block distance of every pixel to every instance; the lowest id of the nearest."""
    ids = np.unique(instances[instances > 0])
    if not ids.size:
        return instances.copy()
    distances = [ndimage.distance_transform_cdt(instances != i, "taxicab") for i in ids]
    nearest = ids[np.argmin(distances, axis=0)]
    return np.where(np.min(distances, axis=0) <= radius, nearest, 0).astype(instances.dtype)


def blurred(seed, shape, spread):
    noise = np.random.default_rng(seed).random(shape)
    smooth = ndimage.gaussian_filter(noise, spread)
    return (smooth - smooth.min()) / (np.ptp(smooth) + 1e-9)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    shapes,
    st.floats(0, 0.3),
    st.integers(0, 5),
    st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.int64, np.uint64, ">i4"]),
)
def test_dilation_gives_pixels_to_the_nearest_instance(seed, shape, covered, radius, dtype):
    rng = np.random.default_rng(seed)
    instances = np.where(rng.random(shape) < covered, rng.integers(1, 9, shape), 0).astype(dtype)
    before = instances.copy()
    dilated = dilate_instances(instances, radius)
    np.testing.assert_array_equal(dilated, literal_dilation(instances, radius))
    np.testing.assert_array_equal(instances, before)
    assert dilated.dtype == np.dtype(dtype).newbyteorder("=")
    # The foreground is that of a binary dilation, and what was labeled keeps its label.
    ball = ndimage.iterate_structure(CROSS, radius) if radius else np.ones((1, 1), bool)
    foreground = ndimage.binary_dilation(instances > 0, ball)
    np.testing.assert_array_equal(dilated > 0, foreground)
    np.testing.assert_array_equal(dilated[instances > 0], instances[instances > 0])


def test_dilation_of_one_pixel_is_a_diamond_of_seven():
    pixel = np.zeros((9, 9), bool)
    pixel[4, 4] = True
    dilated = dilate_instances(pixel, 3)
    np.testing.assert_array_equal(dilated[1:-1, 1:-1], DIAMOND)
    assert dilated.sum() == DIAMOND.sum() == 25


def test_dilation_keeps_large_ids_and_gaps():
    instances = np.zeros((1, 9), np.int64)
    instances[0, [1, 7]] = 2**62, 2**62 - 1
    pixels = instances.copy()
    pixels.flags.writeable = False
    low, high = 2**62 - 1, 2**62
    assert dilate_instances(pixels, 9).tolist() == [[high] * 4 + [low] * 5]
    assert dilate_instances(np.asfortranarray(pixels.T), 9).T.tolist() == [[high] * 4 + [low] * 5]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    shapes,
    st.floats(0.2, 0.9),
    st.integers(0, 12),
    st.integers(0, 2),
)
def test_probability(seed, shape, threshold, min_size, radius):
    probability = blurred(seed, shape, 0.7)
    instances = label_probability(probability, threshold, min_size, radius)
    assert instances.dtype == np.int32
    filled = ndimage.binary_fill_holes(probability > threshold)
    expected = literal_dilation(components(filled, min_size), radius)
    np.testing.assert_array_equal(instances, expected)
    flipped = label_probability(probability[::-1], threshold, min_size, radius)
    np.testing.assert_array_equal(flipped[::-1] > 0, instances > 0)
    assert set(np.unique(instances)) | {0} == set(range(instances.max() + 1))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), shapes, st.sampled_from([0.1, 0.3]), st.integers(0, 3))
def test_object_and_contour(seed, shape, threshold, radius):
    inside, outline = blurred(seed, shape, 1.5), blurred(seed + 1, shape, 1)
    instances = label_inside_contours(inside, outline, threshold, 8, radius)
    expected = literal_dilation(components(inside - outline > threshold, 8), radius)
    for i in range(1, expected.max() + 1):
        # A hole of one instance; none that holds another one, or is closed by others.
        holes, n = ndimage.label(expected == 0)
        for k in range(1, n + 1):
            here = holes == k
            around = ndimage.binary_dilation(here, CROSS) & ~here
            at_border = here.copy()
            at_border[1:-1, 1:-1] = False
            if not at_border.any() and set(expected[around]) == {i}:
                expected[here] = i
    np.testing.assert_array_equal(instances, expected)


def test_contours_separate_and_the_dilation_gives_them_back():
    rows, cols = np.mgrid[:40, :70]
    inside = np.zeros((40, 70))
    outline = np.zeros((40, 70))
    for col in (20, 44):
        radii = np.hypot(rows - 20, cols - col)
        inside[radii < 14] = 1
        outline[np.abs(radii - 14) < 2] = 1
    assert label_probability(inside).max() == 1
    instances = label_inside_contours(inside, outline)
    assert instances.max() == 2
    assert np.unique(instances[:, :32]).tolist() == [0, 1]
    assert np.unique(instances[:, 33:]).tolist() == [0, 2]
    assert ((instances > 0) & (inside > 0)).sum() / (inside > 0).sum() > 0.98


def test_holes_close_before_they_are_labeled_but_after_they_are_dilated():
    probability = np.zeros((11, 11))
    probability[1:10, 1:10] = 1
    probability[3:8, 3:8] = 0
    probability[5, 5] = 1
    assert np.unique(label_probability(probability)[1:10, 1:10]) == 1
    nested = label_inside_contours(probability, np.zeros((11, 11)), min_size=0, radius=0)
    assert nested.max() == 2  # a nucleus in another one's hole stays
    alone = label_inside_contours(probability, np.zeros((11, 11)), radius=0)
    np.testing.assert_array_equal(alone, label_probability(probability))


def test_a_hundred_thousand_nuclei():
    cell = np.zeros((6, 6))
    cell[1:5, 1:5] = 1
    probability = np.tile(cell, (320, 320))
    plain = label_probability(probability)
    np.testing.assert_array_equal(plain, components_of_cells(probability, 6))
    assert (np.bincount(label_probability(probability, radius=1).ravel())[1:] == 32).all()
    instances = label_inside_contours(probability, np.zeros_like(probability), min_size=16)
    assert instances.max() == 320 * 320
    assert (instances > 0).all()


def components_of_cells(mask, side):
    n = mask.shape[1] // side
    rows, cols = np.indices(mask.shape) // side
    return np.where(mask > 0, rows * n + cols + 1, 0)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (1, 1), (30, 30)])
def test_no_nucleus_and_one_over_the_whole_image(shape):
    zeros, ones = np.zeros(shape), np.ones(shape, np.float16)
    assert not label_probability(zeros, radius=1).any()
    assert not label_inside_contours(zeros, zeros).any()
    assert not dilate_instances(zeros.astype(int), 3).any()
    assert (label_probability(ones, min_size=0, radius=1) == 1).all()
    assert (label_inside_contours(ones, zeros, min_size=0) == 1).all()


def test_memory_layouts():
    inside, outline = blurred(0, (40, 50), 2), blurred(1, (40, 50), 1)
    expected = label_inside_contours(inside, outline)
    assert expected.max() > 1
    inside.flags.writeable = False
    wide = np.zeros((40, 100))
    wide[:, ::2] = outline
    other = label_inside_contours(np.asfortranarray(inside), wide[:, ::2])
    np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize(
    ("inside", "outline", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"\(2, 3\), contour_probability \(3, 2\)"),
        (np.zeros((2, 3, 1)), np.zeros((2, 3)), r"object_probability must be \(H, W\)"),
        (np.full((2, 3), np.nan), np.zeros((2, 3)), "object_probability holds 6 NaN"),
        (np.zeros((2, 3)), np.full((2, 3), 2), "contour_probability reaches from 2.0 to 2.0"),
        (np.full((2, 3), -0.1), np.zeros((2, 3)), "object_probability reaches from -0.1 to -0.1"),
    ],
)
def test_bad_maps_are_refused(inside, outline, message):
    with pytest.raises(ValueError, match=message):
        label_inside_contours(inside, outline)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"threshold 127 is not within \[0, 1\]"):
        label_probability(np.zeros((2, 3)), threshold=127)
    with pytest.raises(ValueError, match=r"threshold nan is not within \[-1, 1\]"):
        label_inside_contours(np.zeros((2, 3)), np.zeros((2, 3)), threshold=np.nan)
    with pytest.raises(ValueError, match="radius -1 is negative"):
        label_probability(np.zeros((2, 3)), radius=-1)
    with pytest.raises(ValueError, match="instances must hold integers"):
        dilate_instances(np.zeros((2, 3)), 1)
    with pytest.raises(ValueError, match="instances holds the negative number -4"):
        dilate_instances(np.full((2, 3), -4), 1)


def test_a_radius_beyond_the_image():
    instances = dilate_instances(np.eye(4, 5, dtype=int) * 3, 100_000)
    np.testing.assert_array_equal(instances, np.full((4, 5), 3))
