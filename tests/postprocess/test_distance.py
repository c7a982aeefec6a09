"""The dynamic watershed against closed forms and a literal version."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import reconstruction

from jaxnuc.postprocess.components import label_components
from jaxnuc.postprocess.distance import dynamic_watershed, lower_peaks, regional_maxima
from jaxnuc.postprocess.regions import relabel

SQUARE = np.ones((3, 3), bool)


def literal_reconstruction(levels, depth):
    """Highest level at which each pixel is connected to one `depth` above that level."""
    result = np.zeros_like(levels)
    for level in range(1, int(levels.max(initial=0)) + 1):
        parts, n = ndimage.label(levels >= level, SQUARE)
        tops = ndimage.maximum(levels, parts, np.arange(n + 1)) if n else np.zeros(1)
        result[(parts > 0) & (np.asarray(tops)[parts] >= level + depth)] = level
    return result


def literal_maxima(levels):
    """One plateau after the other."""
    markers = np.zeros(levels.shape, int)
    for level in np.unique(levels[levels > 0])[::-1]:
        parts, n = ndimage.label(levels == level, SQUARE)
        for i in range(1, n + 1):
            around = ndimage.binary_dilation(parts == i, SQUARE)
            if levels[around].max() == level:
                markers[parts == i] = 1
    return ndimage.label(markers, SQUARE)[0]


def literal(distance, threshold=0.5, depth=0, lines=True):
    mask = distance > threshold
    levels = literal_reconstruction(np.floor(np.where(mask, distance, 0)).astype(int), depth)
    labels = np.where(mask, literal_maxima(levels), 0)
    # Higher levels first; of a level the markers in raster order, then in the order of discovery.
    # Behind a lower pass the flood stays at the level of the pass.
    queue = [(-levels[p], 0, n, p) for n, p in enumerate(zip(*np.nonzero(labels), strict=True))]
    heapq.heapify(queue)
    discovered = 0
    while queue:
        level, *_, (row, col) = heapq.heappop(queue)
        for r, c in ((row - 1, col), (row, col - 1), (row, col + 1), (row + 1, col)):
            inside = 0 <= r < mask.shape[0] and 0 <= c < mask.shape[1]
            if inside and mask[r, c] and not labels[r, c]:
                labels[r, c] = labels[row, col]
                discovered += 1
                heapq.heappush(queue, (max(level, -levels[r, c]), 1, discovered, (r, c)))
    if lines:
        padded = np.pad(labels, 1)
        for row, col in zip(*np.nonzero(labels), strict=True):
            ids = set(padded[row : row + 3, col : col + 3].ravel()) - {0}
            if len(ids) > 1:
                labels[row, col] = -1
        labels[labels < 0] = 0
    return relabel(labels)


def discs(*centers, radius=12, shape=(40, 60)):
    """Chessboard distance to the background of the union of discs."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    union = np.zeros(shape, bool)
    for row, col in centers:
        union |= (rows - row) ** 2 + (cols - col) ** 2 < radius**2
    return ndimage.distance_transform_cdt(union, "chessboard").astype(np.float32)


def noisy(seed, shape, spread):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), spread, mode="constant")
    return np.clip(smooth * spread * 9 + 0.5, 0, 20)


def test_overlapping_discs_are_separated_where_they_meet():
    distance = discs((20, 20), (20, 38))
    assert label_components(distance > 0.5).max() == 1
    instances = dynamic_watershed(distance, lines=False)
    np.testing.assert_array_equal(instances > 0, distance > 0.5)
    assert np.unique(instances[:, :29][distance[:, :29] > 0.5]) == 1
    assert np.unique(instances[:, 30:][distance[:, 30:] > 0.5]) == 2

    lines = dynamic_watershed(distance)
    changed = lines != instances
    assert np.unique(lines).tolist() == [0, 1, 2]
    assert changed.any()
    assert not lines[changed].any()
    assert np.ptp(np.nonzero(changed)[1]) <= 2  # the line and one pixel on either side


@pytest.mark.parametrize("lines", [True, False])
def test_depth_merges_shallow_maxima(lines):
    # Two maxima of 9 and 7; the pass between them is 5 high: a dynamic of 2.
    profile = np.array([1, 3, 5, 7, 9, 9, 7, 5, 6, 7, 7, 5, 3, 1])
    distance = np.minimum(profile, np.array([1, 3, 9, 9, 3, 1])[:, None]).astype(float)
    found = [dynamic_watershed(distance, depth=d, lines=lines).max() for d in range(10)]
    assert found == [2, 2, 1, 1, 1, 1, 1, 1, 1, 0]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.sampled_from([0.5, 1, 2]),
    st.sampled_from([0, 0.5, 2.2]),
    st.integers(0, 3),
    st.booleans(),
)
def test_equals_the_literal_version(seed, shape, spread, threshold, depth, lines):
    distance = noisy(seed, shape, spread)
    instances = dynamic_watershed(distance, threshold, depth, lines)
    assert instances.dtype == np.int32
    np.testing.assert_array_equal(instances, literal(distance, threshold, depth, lines))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.tuples(st.integers(1, 20), st.integers(1, 20)), st.integers(1, 6))
def test_regional_maxima(seed, shape, highest):
    levels = np.random.default_rng(seed).integers(0, highest + 1, shape).astype(np.uint8)
    for each in (levels, np.asfortranarray(levels)):
        np.testing.assert_array_equal(regional_maxima(each), literal_maxima(levels))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.tuples(st.integers(1, 20), st.integers(1, 20)), st.integers(0, 9))
def test_lowered_peaks_are_a_reconstruction(seed, shape, depth):
    levels = (noisy(seed, shape, 1) * 2).astype(np.uint8)
    expected = reconstruction(np.maximum(levels, depth) - depth, levels)
    np.testing.assert_array_equal(lower_peaks(levels, depth), expected)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(0, 30), st.integers(0, 30), st.booleans())
def test_a_nucleus_does_not_depend_on_others_elsewhere(seed, down, right, lines):
    distance = noisy(seed, (50, 50), 2)
    alone = dynamic_watershed(distance, depth=1, lines=lines)
    scene = np.zeros((130, 90))
    scene[down : down + 50, right : right + 50] = distance
    scene[82:130, 2:88] = noisy(seed + 1, (48, 86), 2)
    among = dynamic_watershed(scene, depth=1, lines=lines)
    np.testing.assert_array_equal(relabel(among[down : down + 50, right : right + 50]), alone)
    assert set(np.unique(among)) | {0} == set(range(among.max() + 1))
    assert not among[scene <= 0.5].any()


def test_the_clip_at_255_keeps_one_maximum():
    ramp = np.minimum(np.arange(1, 701), np.arange(700, 0, -1)).astype(float)
    assert (dynamic_watershed(np.minimum(ramp, ramp[:40, None] * 20)) == 1).all()


def test_nuclei_without_a_whole_pixel_vanish():
    distance = np.zeros((9, 20))
    distance[2:5, 2:5] = 0.9
    distance[2:5, 12:15] = 1
    instances = dynamic_watershed(distance)
    np.testing.assert_array_equal(instances, distance == 1)


@pytest.mark.slow
def test_a_hundred_thousand_nuclei():
    cell = np.zeros((6, 6), np.float32)
    cell[:5, :5] = [[1, 1, 1, 1, 1], [1, 2, 2, 2, 1], [1, 2, 3, 2, 1], [1, 2, 2, 2, 1], [1] * 5]
    cell[2, 5] = cell[5, 2] = 1  # all are connected
    distance = np.tile(cell, (320, 320))
    for lines, smallest in ((True, 9), (False, 25)):
        instances = dynamic_watershed(distance, lines=lines)
        assert instances.max() == 320 * 320
        assert np.bincount(instances.ravel())[1:].min() >= smallest


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (1, 1), (30, 30)])
@pytest.mark.parametrize("depth", [0, 2])
def test_no_nucleus_and_one_over_the_whole_image(shape, depth):
    assert not dynamic_watershed(np.zeros(shape), depth=depth).any()
    assert not dynamic_watershed(np.full(shape, -5.0), depth=depth).any()
    assert (dynamic_watershed(np.full(shape, 4.7), depth=depth) == 1).all()


@pytest.mark.parametrize("lines", [True, False])
def test_many_maxima_in_any_memory_layout(lines):
    distance = noisy(0, (60, 70), 1)
    expected = dynamic_watershed(distance, lines=lines)
    assert expected.max() > 50
    for each in (np.asfortranarray(distance), distance.repeat(2, 1)[:, ::2]):
        np.testing.assert_array_equal(dynamic_watershed(each, lines=lines), expected)


def test_memory_layouts_and_types():
    distance = discs((20, 20), (20, 38))
    expected = dynamic_watershed(distance)
    distance.flags.writeable = False
    wide = np.zeros((40, 180))
    wide[:, ::3] = distance
    for each in (distance, np.asfortranarray(distance), wide[:, ::3], distance.astype(np.uint8)):
        np.testing.assert_array_equal(dynamic_watershed(each), expected)
    np.testing.assert_array_equal(dynamic_watershed(distance.astype(np.float16)), expected)


@pytest.mark.parametrize(
    ("distance", "arguments", "message"),
    [
        (np.zeros((2, 3, 1)), {}, r"distance must be \(H, W\), got shape \(2, 3, 1\)"),
        (np.full((2, 3), np.nan), {}, "distance holds 6 NaN and 0 infinite"),
        (np.full((2, 3), -np.inf), {}, "distance holds 0 NaN and 6 infinite"),
        (np.zeros((2, 3)), {"threshold": -1}, "threshold -1 is negative"),
        (np.zeros((2, 3)), {"threshold": np.nan}, "threshold nan is negative"),
        (np.zeros((2, 3)), {"depth": 0.5}, "depth 0.5 is not a whole number"),
        (np.zeros((2, 3)), {"depth": -1}, "depth -1 is not a whole number"),
        (np.zeros((2, 3)), {"depth": 255}, "depth 255 is not a whole number of pixels in 0..254"),
    ],
)
def test_bad_input_is_refused(distance, arguments, message):
    with pytest.raises(ValueError, match=message):
        dynamic_watershed(distance, **arguments)
