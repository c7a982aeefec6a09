"""The vote on the shapes of nuclei against a literal version, one whole image per polygon."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnuc.postprocess import non_maximum_suppression, refine_shapes, render_polygons
from jaxnuc.postprocess.polygon_nms import Suppression


def literal(points, distances, scores, suppression, shape, winner_weight=2.0):
    labels = np.zeros(shape, int)
    for rank in reversed(range(len(suppression.kept))):
        winner = suppression.kept[rank]
        votes, weights = np.zeros(shape), 0.0
        for i in [winner, *np.flatnonzero(suppression.suppressed_by == winner)]:
            weight = winner_weight if i == winner else scores[i]
            votes += weight * (render_polygons(points[i : i + 1], distances[i : i + 1], shape) > 0)
            weights += weight
        labels[votes / weights > 0.5] = rank + 1
    return labels


@pytest.mark.slow
@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 30),
    n_rays=st.integers(3, 33),
    size=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    spread=st.sampled_from([0, 0.1, 0.5, 2]),
    whole=st.booleans(),
    nms_thresh=st.sampled_from([0.0, 0.3, 0.5]),
    winner_weight=st.sampled_from([0.1, 2.0]),
)
def test_equals_the_literal_version(
    seed, n, n_rays, size, spread, whole, nms_thresh, winner_weight
):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-10, 50, (n, 2))
    distances = 6 * np.exp(rng.normal(0, spread, (n, n_rays)))
    if whole:  # vertices and outlines lie on pixel centers
        points, distances = np.round(points), np.round(distances)
    scores = rng.uniform(0, 1, n)
    suppression = non_maximum_suppression(points, distances, scores, nms_thresh=nms_thresh)
    found = refine_shapes(points, distances, scores, suppression, size, winner_weight=winner_weight)
    assert found.dtype == np.int32
    expected = literal(points, distances, scores, suppression, size, winner_weight)
    np.testing.assert_array_equal(found, expected)


def test_alone_a_nucleus_keeps_its_shape():
    points, distances = np.array([[9, 9], [9, 30], [25, 12]]), np.full((3, 32), 6.0)
    suppression = Suppression(np.array([2, 0, 1]), np.full(3, -1))
    found = refine_shapes(points, distances, np.array([0.8, 0.7, 0.9]), suppression, (34, 40))
    expected = render_polygons(points[[2, 0, 1]], distances, (34, 40))
    np.testing.assert_array_equal(found, expected)


def test_an_equal_vote_is_no_majority():
    """Two against one of weight 2: only what all three, or the first and one other, hold."""
    points = np.array([[5, 5], [5, 8], [5, 8]])
    distances, scores = np.full((3, 4), 3.0), np.ones(3)
    suppression = Suppression(np.array([0]), np.array([-1, 0, 0]))
    both = (render_polygons(points[:1], distances[:1], (11, 14)) > 0) & (
        render_polygons(points[1:2], distances[1:2], (11, 14)) > 0
    )
    found = refine_shapes(points, distances, scores, suppression, (11, 14))
    np.testing.assert_array_equal(found, both)
    # The weights of another nucleus, which do not add up exactly, leave no trace.
    rng = np.random.default_rng(0)
    more = np.concatenate([points, rng.uniform(0, 11, (60, 2))])
    two = Suppression(np.array([0, 3]), np.array([-1, 0, 0, -1] + [3] * 59))
    for _ in range(20):
        scores = np.concatenate([np.ones(3), rng.uniform(0, 1, 60)])
        found = refine_shapes(more, np.full((63, 4), 3.0), scores, two, (11, 14))
        np.testing.assert_array_equal(found == 1, both)


def test_very_many_and_very_large_polygons():
    n, side = 20_000, 100
    centers = np.stack(np.divmod(np.arange(n // 2), side), axis=1) * 9 + 4
    points = np.concatenate([centers, centers + np.array([0, 1])])
    distances = np.full((n, 8), 3.0)
    half = np.arange(n // 2)
    suppression = Suppression(half, np.concatenate([np.full(n // 2, -1), half]))
    found = refine_shapes(points, distances, np.full(n, 0.5), suppression, (9 * side, 9 * side))
    expected = render_polygons(centers, distances[: n // 2], (9 * side, 9 * side))
    np.testing.assert_array_equal(found, expected)  # half a vote more counts for nothing
    huge = refine_shapes(
        np.array([[5, 5], [6, 6]]),
        np.array([[1e20] * 32, [2.0] * 32]),
        np.array([0.9, 0.8]),
        Suppression(np.array([0]), np.array([-1, 0])),
        (30, 20),
    )
    assert (huge == 1).all()
    empty = Suppression(np.empty(0, int), np.empty(0, int))
    assert not refine_shapes(np.empty((0, 2)), np.empty((0, 8)), np.empty(0), empty, (3, 2)).any()


def test_refusals():
    points, distances, scores = np.zeros((2, 2)), np.ones((2, 8)), np.ones(2)
    suppression = Suppression(np.array([0]), np.array([-1, 0]))
    with pytest.raises(ValueError, match=r"2 points, but scores of shape \(3,\)"):
        refine_shapes(points, distances, np.ones(3), suppression, (5, 5))
    with pytest.raises(ValueError, match="scores from -1"):
        refine_shapes(points, distances, -scores, suppression, (5, 5))
    with pytest.raises(ValueError, match="winner_weight of 0"):
        refine_shapes(points, distances, scores, suppression, (5, 5), winner_weight=0)
    with pytest.raises(ValueError, match="distances holds 16"):
        refine_shapes(points, distances * np.nan, scores, suppression, (5, 5))
    with pytest.raises(ValueError, match=r"\(5, 5, 3\)"):
        refine_shapes(points, distances, scores, suppression, (5, 5, 3))
