"""Star-convex polygons against shapely and a literal greedy suppression."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnuc.postprocess.polygon_nms import detect_polygons, non_maximum_suppression
from jaxnuc.postprocess.polygons import (
    candidates_from_maps,
    intersection_areas,
    polygon_areas,
)

CASES = [
    "robust_grid1_rays32",
    "robust_grid2_rays32",
    "robust_grid1_rays64_border",
    "robust_sparse_rays32",
    "border_frame",
    "no_candidate",
]


def shapes(points, distances):
    """The polygons as shapely geometries, (x, y) = (col, row)."""
    angles = 2 * np.pi * np.arange(distances.shape[1]) / distances.shape[1]
    d = np.maximum(distances, 1e-3)
    x, y = points[:, 1:] + d * np.cos(angles), points[:, :1] + d * np.sin(angles)
    return shapely.polygons(np.stack([x, y], axis=-1))


def literal_suppression(points, distances, scores, thresh):
    """One candidate after the other, each against all that come after it."""
    polygons = shapes(points, distances)
    areas = shapely.area(polygons)
    order = sorted(range(len(points)), key=lambda i: (-scores[i], i))
    by = np.full(len(points), -2)
    kept = []
    for rank, i in enumerate(order):
        if by[i] >= 0:
            continue
        by[i] = -1
        kept.append(i)
        rest = [j for j in order[rank + 1 :] if by[j] == -2]
        overlaps = shapely.area(shapely.intersection(polygons[i], polygons[rest]))
        for j, overlap in zip(rest, overlaps, strict=True):
            if overlap / min(areas[i], areas[j]) > thresh:
                by[j] = i
    return kept, by


def crowded_candidates(n, n_rays, seed=0, nuclei=None, radius=12.0, grid=2):
    """Candidates near the centers of nuclei on a jittered lattice: points, distances, scores.

    Each nucleus has n / nuclei candidates (100 by default) on grid points about its center, whose
    polygons are its outline up to 3 % noise; scores fall with the distance from the center.
    """
    rng = np.random.default_rng(seed)
    nuclei = nuclei or max(n // 100, 1)
    side = int(np.ceil(np.sqrt(nuclei)))
    lattice = np.stack(np.divmod(np.arange(nuclei), side), axis=1)
    centers = (lattice + 1) * 2.1 * radius + rng.normal(0, radius / 6, (nuclei, 2))
    angles = 2 * np.pi * np.arange(n_rays) / n_rays
    axis, stretch = rng.uniform(0, np.pi, (nuclei, 1)), rng.uniform(0, 0.25, (nuclei, 1))
    outline = 1 + stretch * np.cos(2 * (angles - axis))
    outline *= radius * rng.uniform(0.8, 1.2, (nuclei, 1))
    own = rng.permutation(np.arange(n) % nuclei)
    points = np.round((centers[own] + rng.normal(0, radius / 3, (n, 2))) / grid) * grid
    away = points - centers[own]
    distances = outline[own] - away[:, :1] * np.sin(angles) - away[:, 1:] * np.cos(angles)
    distances = np.maximum(distances * rng.normal(1, 0.03, distances.shape), 1.0)
    scores = np.exp(-(away**2).sum(axis=1) / radius**2 * 3) * rng.uniform(0.9, 1, n)
    return points, distances, scores


@st.composite
def polygons(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, n_rays = draw(st.integers(1, 40)), draw(st.integers(3, 33))
    points = rng.uniform(0, draw(st.sampled_from([3, 15, 60])), (n, 2))
    if draw(st.booleans()):
        points = points.round()
    spread = draw(st.sampled_from([0, 0.1, 0.5, 2]))
    distances = 5 * np.exp(rng.normal(0, spread, (n, n_rays)))
    if draw(st.booleans()):
        distances = distances.round()
    scores = rng.random(n).round(draw(st.sampled_from([0, 1, 9])))
    return points, distances, scores


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(polygons())
def test_areas_are_those_of_shapely(case):
    points, distances, _ = case
    distances = np.maximum(distances, 1e-3)
    geometry = shapes(points, distances)
    np.testing.assert_allclose(polygon_areas(distances), shapely.area(geometry), rtol=1e-10)
    first, second = (i.ravel() for i in np.indices((len(points), len(points))))
    exact = shapely.area(shapely.intersection(geometry[first], geometry[second]))
    areas = intersection_areas(points, distances, first, second)
    np.testing.assert_allclose(areas, exact, rtol=1e-9, atol=1e-9 * max(1, exact.max()))


@pytest.mark.parametrize("n_rays", [3, 4, 5, 8, 32])
def test_degenerate_pairs(n_rays):
    """Equal polygons, centers on vertices and on edges, edges along rays."""
    reach = np.full(n_rays, 2.0)
    angle = 2 * np.pi / n_rays
    ahead = np.array([np.sin(angle), np.cos(angle)])
    shifts = np.array(
        [[0, 0], [0, 2], [0, -2], [0, 4], [0, 1], [2, 0], 2 * ahead, ahead, -2 * ahead, [0, 1e-17]]
    )
    points, distances = np.vstack([[0, 0], shifts]), np.tile(reach, (len(shifts) + 1, 1))
    first = np.zeros(len(shifts), int)
    second = np.arange(len(shifts)) + 1
    geometry = shapes(points, distances)
    exact = shapely.area(shapely.intersection(geometry[0], geometry[1:]))
    for a, b in ((first, second), (second, first)):
        np.testing.assert_allclose(
            intersection_areas(points, distances, a, b), exact, rtol=0, atol=1e-12
        )


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(polygons(), st.sampled_from([0.05, 0.3, 0.4, 0.5, 0.77]))
def test_suppression_is_the_literal_greedy_one(case, thresh):
    kept, by = literal_suppression(*case, thresh)
    result = non_maximum_suppression(*case, nms_thresh=thresh)
    assert result.kept.tolist() == kept
    assert result.suppressed_by.tolist() == by.tolist()


@pytest.mark.parametrize("saturated", [False, True])
def test_crowded_nuclei(saturated):
    points, distances, scores = crowded_candidates(900, 32, nuclei=25)
    if saturated:  # equal scores: the order of the candidates counts
        scores = np.ones_like(scores)
    kept, by = literal_suppression(points, distances, scores, 0.4)
    result = non_maximum_suppression(points, distances, scores, nms_thresh=0.4)
    assert result.kept.tolist() == kept
    assert result.suppressed_by.tolist() == by.tolist()
    assert 20 <= len(kept) <= 40


def test_polygons_of_very_unequal_sizes():
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 300, (400, 2))
    distances = np.where(rng.random((400, 1)) < 0.05, 150.0, 4.0) * rng.uniform(0.8, 1, (400, 16))
    scores = rng.random(400)
    kept, by = literal_suppression(points, distances, scores, 0.3)
    result = non_maximum_suppression(points, distances, scores, nms_thresh=0.3)
    assert result.kept.tolist() == kept
    assert result.suppressed_by.tolist() == by.tolist()


def test_one_polygon_far_larger_than_the_image():
    # Of 40,000 others it overlaps all and, of the lowest score, suppresses none.
    points = np.stack(np.divmod(np.arange(40_000), 200), axis=1) * 5
    distances, scores = np.full((40_000, 8), 2.4), np.linspace(1, 0.5, 40_000)
    distances[-1] = 1e6
    result = non_maximum_suppression(points, distances, scores, nms_thresh=0.4)
    np.testing.assert_array_equal(result.kept, np.arange(39_999))
    assert result.suppressed_by[-1] == 0
    # Of the highest, it suppresses all.
    result = non_maximum_suppression(points, distances, scores[::-1], nms_thresh=0.4)
    assert result.kept.tolist() == [39_999]


def test_candidates_of_one_center():
    distances = np.array([3.0, 5.0, 1.0])[:, None].repeat(8, axis=1)
    result = non_maximum_suppression(np.ones((3, 2)), distances, np.ones(3), nms_thresh=0.9)
    assert result.suppressed_by.tolist() == [-1, 0, 0]


def test_spikes():
    """Long and thin polygons, the boxes of which have next to no area."""
    rng = np.random.default_rng(4)
    points, distances = rng.integers(0, 200, (300, 2)), np.full((300, 8), 1e-3)
    distances[np.arange(300), rng.integers(0, 8, 300)] = 1e4
    scores = rng.random(300)
    kept, by = literal_suppression(points, distances, scores, 0.3)
    result = non_maximum_suppression(points, distances, scores, nms_thresh=0.3)
    assert result.kept.tolist() == kept
    assert result.suppressed_by.tolist() == by.tolist()


def test_thresholds_of_zero_and_one():
    points, distances = np.array([[0, 0], [0, 0], [0, 4], [0, 6]]), np.full((4, 4), 2.0)
    scores = np.array([4, 3, 2, 1])
    # The third touches the first in a point, which is no overlap; the fourth overlaps the third.
    zero = non_maximum_suppression(points, distances, scores, nms_thresh=0)
    assert zero.suppressed_by.tolist() == [-1, 0, -1, 2]
    assert len(non_maximum_suppression(points, distances, scores, nms_thresh=1).kept) == 4


@pytest.mark.parametrize("n", [20_000, 100_000])
@pytest.mark.parametrize("ordered", [False, True])
def test_many_nuclei_that_all_survive(n, ordered):
    side = int(np.ceil(np.sqrt(n)))
    points = np.stack(np.divmod(np.arange(n), side), axis=1) * 5
    scores = np.ones(n) if ordered else np.random.default_rng(0).random(n)
    result = non_maximum_suppression(points, np.full((n, 8), 2.6), scores, nms_thresh=0.4)
    assert (result.suppressed_by == -1).all()
    np.testing.assert_array_equal(result.kept, np.argsort(-scores, kind="stable"))


def test_many_candidates_of_few_nuclei():
    points, distances, scores = crowded_candidates(20_000, 32)
    result = non_maximum_suppression(points, distances, scores, nms_thresh=0.4)
    assert 190 <= len(result.kept) <= 230
    assert (scores[result.suppressed_by] >= scores)[result.suppressed_by >= 0].all()
    assert (result.suppressed_by[result.kept] == -1).all()


def maps(arrays, case):
    return arrays[f"nms__{case}__prob"], arrays[f"nms__{case}__dist_f16"].astype(np.float32)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("thresh", [0.3, 0.4])
def test_reference_survivors(golden, case, thresh):
    arrays, facts = golden("stardist")
    expected = facts["nms"][case]
    grid = expected["grid"]
    # The number in the file includes those at the border.
    candidates = candidates_from_maps(*maps(arrays, case), grid=grid, prob_thresh=0.5, border=0)
    assert len(candidates.points) == expected["candidates"]
    assert candidates.distances.shape[1] == expected["n_rays"]
    found = detect_polygons(*maps(arrays, case), grid=grid, prob_thresh=0.5, nms_thresh=thresh)
    assert len(found.points) == expected[f"nms_{thresh}"]["survivors"]
    np.testing.assert_array_equal(found.points, arrays[f"nms__{case}__points_{thresh}"])
    np.testing.assert_array_equal(found.scores, arrays[f"nms__{case}__scores_{thresh}"])


@pytest.mark.parametrize(("thresh", "common"), [(0.3, 20), (0.4, 28)])
def test_exact_geometry_where_integers_differ(golden, thresh, common):
    """Crowded, ragged polygons: the reference's integer arithmetic decides otherwise."""
    arrays, facts = golden("stardist")
    numbers = facts["nms"]["stress_grid2_rays32"]
    prob, dist = maps(arrays, "stress_grid2_rays32")
    found = detect_polygons(prob, dist, grid=2, prob_thresh=0.5, nms_thresh=thresh)
    theirs = arrays[f"nms__stress_grid2_rays32__points_{thresh}"]
    assert len(found.points) == numbers[f"nms_{thresh}"]["float_vertices_survivors"]
    assert len(theirs) == numbers[f"nms_{thresh}"]["survivors"]
    ours, scores = (
        dict(zip(map(tuple, points), values, strict=True))
        for points, values in (
            (found.points, found.scores),
            (theirs, arrays[f"nms__stress_grid2_rays32__scores_{thresh}"]),
        )
    )
    shared = set(ours) & set(scores)
    assert len(shared) == common
    assert all(ours[point] == scores[point] for point in shared)
    candidates = candidates_from_maps(prob, dist, grid=2, prob_thresh=0.5)
    kept, _ = literal_suppression(*candidates, thresh)
    np.testing.assert_array_equal(found.points, candidates.points[kept])


def test_candidates_from_maps():
    prob = np.full((7, 9), 0.5)
    prob[3, 4], prob[2, 6], prob[1, 4], prob[3, 7] = 0.7, 0.9, 1.0, 1.0
    dist = np.full((7, 9, 8), -1.0)
    found = candidates_from_maps(prob, dist, prob_thresh=0.5, grid=2)
    assert found.points.tolist() == [[4, 12], [6, 8]]
    assert found.scores.tolist() == [0.9, 0.7]
    assert (found.distances == 1e-3).all()
    everywhere = candidates_from_maps(prob, dist, prob_thresh=0.4, border=0)
    assert len(everywhere.points) == prob.size
    assert not len(candidates_from_maps(prob[:4, :4], dist[:4, :4], prob_thresh=0).points)
    assert not len(candidates_from_maps(prob[:3, :0], dist[:3, :0], prob_thresh=0).points)


def test_inputs_are_left_alone_and_may_be_read_only():
    points, distances, scores = (a[::2] for a in crowded_candidates(200, 8, nuclei=8))
    copies = points.copy(), distances.copy(), scores.copy()
    for array in (points, distances, scores):
        array.flags.writeable = False
    kept = non_maximum_suppression(points, distances, scores, nms_thresh=0.4).kept
    again = non_maximum_suppression(*copies, nms_thresh=0.4).kept
    np.testing.assert_array_equal(kept, again)


def test_refusals():
    prob, dist = np.zeros((4, 5)), np.ones((4, 5, 8))
    bad = dist.copy()
    bad[0, 0, 0] = np.nan
    polygon = np.zeros((2, 2)), np.ones((2, 8)), np.ones(2)
    with pytest.raises(ValueError, match=r"\(4, 5\), dist \(3, 5\)"):
        candidates_from_maps(prob, dist[:3], prob_thresh=0.5)
    with pytest.raises(ValueError, match="dist holds 1 NaN"):
        candidates_from_maps(prob, bad, prob_thresh=0.5)
    with pytest.raises(ValueError, match="prob holds 0 NaN and 20 infinite"):
        candidates_from_maps(prob + np.inf, dist, prob_thresh=0.5)
    with pytest.raises(ValueError, match=r"prob reaches from 1\.1 to 1\.1"):
        candidates_from_maps(prob + 1.1, dist, prob_thresh=0.5)
    with pytest.raises(ValueError, match="prob_thresh nan is not within"):
        candidates_from_maps(prob, dist, prob_thresh=np.nan)
    with pytest.raises(ValueError, match="2 rays"):
        candidates_from_maps(prob, dist[..., :2], prob_thresh=0.5)
    with pytest.raises(ValueError, match="grid 0"):
        candidates_from_maps(prob, dist, prob_thresh=0.5, grid=0)
    with pytest.raises(ValueError, match="border -1"):
        candidates_from_maps(prob, dist, prob_thresh=0.5, border=-1)
    with pytest.raises(ValueError, match=r"2 points.*\(1,\)"):
        non_maximum_suppression(*polygon[:2], np.ones(1), nms_thresh=0.5)
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(1, 8\)"):
        non_maximum_suppression(polygon[0], polygon[1][:1], polygon[2], nms_thresh=0.5)
    with pytest.raises(ValueError, match="scores"):
        non_maximum_suppression(*polygon[:2], np.array([1, np.nan]), nms_thresh=0.5)
    with pytest.raises(ValueError, match=r"nms_thresh 1.5"):
        non_maximum_suppression(*polygon, nms_thresh=1.5)
