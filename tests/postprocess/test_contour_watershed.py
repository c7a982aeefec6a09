"""The watershed from contours against a flooding of one pixel at a time."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jaxnuc.data.synthetic import generate
from jaxnuc.postprocess import grow_from_contours, watershed_from_contours
from jaxnuc.representations.targets.contours import contour_map


def literal(inside, outline, threshold):
    """Meyer's flooding: of all pixels beside a label, the lowest one first."""
    mask, outline = np.pad(inside > threshold, 1), np.pad(outline, 1)
    labels, _ = ndimage.label(mask & (outline <= threshold), np.ones((3, 3)))
    waiting = []

    def push_around(row, col):
        for r, c in ((row - 1, col), (row, col - 1), (row, col + 1), (row + 1, col)):
            if mask[r, c] and not labels[r, c]:
                labels[r, c] = labels[row, col]
                heapq.heappush(waiting, (outline[r, c], r, c))

    for row, col in np.argwhere(labels):
        push_around(row, col)
    while waiting:
        *_, row, col = heapq.heappop(waiting)
        push_around(row, col)
    return labels[1:-1, 1:-1]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.floats(0, 1),
)
def test_equals_flooding_one_pixel_at_a_time(seed, shape, threshold):
    rng = np.random.default_rng(seed)
    inside = rng.random(shape)
    outline = rng.permutation(inside.size).reshape(shape) / inside.size  # no two are equal
    found = watershed_from_contours(inside, outline, threshold)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, literal(inside, outline, threshold))


def test_nuclei_meet_on_the_ridge_and_not_where_growth_would():
    inside = np.ones((5, 12))
    outline = np.zeros((5, 12))
    outline[:, 2:10] = [0.6, 0.6, 0.6, 0.6, 0.7, 0.9, 0.8, 0.6]
    found = watershed_from_contours(inside, outline)
    np.testing.assert_array_equal(found, np.repeat([[1, 2]], [8, 4], axis=1).repeat(5, axis=0))
    grown = grow_from_contours(inside > 0.5, outline > 0.5)
    np.testing.assert_array_equal(grown, np.repeat([[1, 2]], [6, 6], axis=1).repeat(5, axis=0))


def test_nuclei_come_back_whole_and_what_is_all_contour_vanishes():
    labels = generate(1, size=192).instances
    labels[:3] = 0
    labels[0, :9] = labels.max() + 1
    outline = contour_map(labels) > 0
    outline[0, :9] = True
    found = watershed_from_contours(labels > 0, outline)
    assert not found[0].any()
    seeded = [k for k in np.unique(labels)[1:] if (~outline)[labels == k].any()]
    assert set(np.unique(labels[found > 0])) == set(seeded)
    np.testing.assert_array_equal(found > 0, grow_from_contours(labels > 0, outline, "drop") > 0)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (4, 4)])
def test_nothing_to_flood(shape):
    nothing = np.zeros(shape)
    np.testing.assert_array_equal(watershed_from_contours(nothing, nothing), nothing)


@pytest.mark.parametrize(
    ("inside", "outline", "threshold", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), 0.5, r"\(2, 3\), contour_probability \(3, 2\)"),
        (np.full((2, 2), 2.0), np.zeros((2, 2)), 0.5, "mask_probability reaches from 2.0 to 2.0"),
        (np.zeros((2, 2)), np.full((2, 2), np.nan), 0.5, "contour_probability holds 4 NaN"),
        (np.zeros((2, 2)), np.zeros((2, 2)), 1.5, r"threshold 1.5 is not within \[0, 1\]"),
    ],
)
def test_bad_input(inside, outline, threshold, message):
    with pytest.raises(ValueError, match=message):
        watershed_from_contours(inside, outline, threshold)
