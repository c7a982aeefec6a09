"""Painted polygons against point-in-polygon tests, closed forms and reference label maps."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnuc.postprocess.shape_refinement import render_polygons

CASES = [
    "robust_grid1_rays32",
    "robust_grid2_rays32",
    "robust_grid1_rays64_border",
    "robust_sparse_rays32",
    "stress_grid2_rays32",
    "border_frame",
    "no_candidate",
]


def literal_rendering(points, distances, shape):
    angles = 2 * np.pi * np.arange(distances.shape[1]) / distances.shape[1]
    x, y = points[:, 1:] + distances * np.cos(angles), points[:, :1] + distances * np.sin(angles)
    polygons = shapely.polygons(np.stack([x, y], axis=-1))
    rows, cols = np.indices(shape)
    labels = np.zeros(shape, int)
    for i in reversed(range(len(points))):
        labels[shapely.intersects_xy(polygons[i], cols, rows)] = i + 1
    return labels


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("thresh", [0.3, 0.4])
def test_reference_label_maps(golden, case, thresh):
    arrays, facts = golden("stardist")
    points = arrays[f"nms__{case}__points_{thresh}"]
    labels = arrays[f"nms__{case}__label_{thresh}"]
    on_grid = tuple(points.T // facts["nms"][case]["grid"])
    distances = arrays[f"nms__{case}__dist_f16"][on_grid].astype(np.float32)
    shape = tuple(facts["nms"][case]["shape"])
    found = render_polygons(points, distances, shape)
    np.testing.assert_array_equal(found, labels)
    visible = np.unique(found[found > 0]).size
    assert visible == facts["nms"][case][f"nms_{thresh}"]["objects_in_label"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 12),
    n_rays=st.integers(3, 33),
    size=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    spread=st.sampled_from([0, 0.1, 0.5, 2]),
)
def test_rendering_is_point_in_polygon(seed, n, n_rays, size, spread):
    rng = np.random.default_rng(seed)  # of random numbers, none has an outline on a pixel center
    points = rng.uniform(-10, 50, (n, 2))
    distances = 6 * np.exp(rng.normal(0, spread, (n, n_rays)))
    labels = render_polygons(points, distances, size)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, literal_rendering(points, distances, size))


def test_outline_belongs_to_the_polygon():
    """Squares and diamonds with outlines through pixel centers, in closed form."""
    rows, cols = np.indices((21, 23))
    for radius in range(1, 12):
        diamond = np.abs(rows - 10) + np.abs(cols - 11) <= radius
        square = np.maximum(np.abs(rows - 10), np.abs(cols - 11)) <= radius
        corners = np.where(np.arange(8) % 2, np.sqrt(2), 1) * radius
        for distances, expected in ((np.full(4, float(radius)), diamond), (corners, square)):
            labels = render_polygons([[10, 11]], distances[None], rows.shape)
            np.testing.assert_array_equal(labels, expected)


def test_rendering_of_very_many_and_of_very_large_polygons():
    n, side = 100_000, 317
    points = np.stack(np.divmod(np.arange(n), side), axis=1) * 3 + 1
    labels = render_polygons(points, np.full((n, 4), 1.0), (3 * side, 3 * side))
    assert (np.bincount(labels.ravel())[1:] == 5).all()
    np.testing.assert_array_equal(labels[tuple(points.T)], np.arange(n) + 1)
    assert (render_polygons([[5, 5]], np.full((1, 32), 1e6), (300, 200)) == 1).all()
    assert not render_polygons([[500, 5]], np.full((1, 32), 10.0), (300, 200)).any()
    assert not render_polygons(np.empty((0, 2)), np.empty((0, 32)), (3, 2)).any()


def test_inputs_may_be_read_only_and_not_contiguous():
    points, distances = np.array([[3, 4], [9, 9], [7, 5]])[::-1], np.full((3, 16), 3.0)[:, ::2]
    expected = render_polygons(points.copy(), distances.copy(), (12, 12))
    points.flags.writeable = distances.flags.writeable = False
    np.testing.assert_array_equal(render_polygons(points, distances, (12, 12)), expected)


def test_refusals():
    points, distances = np.zeros((2, 2)), np.ones((2, 8))
    with pytest.raises(ValueError, match="distances holds 16"):
        render_polygons(points, distances * np.inf, (5, 5))
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(1, 8\)"):
        render_polygons(points, distances[:1], (5, 5))
    with pytest.raises(ValueError, match=r"\(5, 5, 3\)"):
        render_polygons(points, distances, (5, 5, 3))


@pytest.mark.parametrize("reach", [1e6, 1e20, 1e30])
def test_a_polygon_far_larger_than_the_image(reach):
    labels = render_polygons(np.array([[2, 3], [4, 4]]), np.array([[1.0] * 4, [reach] * 4]), (7, 9))
    expected = np.full((7, 9), 2)
    expected[2, 2:5] = expected[1:4, 3] = 1
    np.testing.assert_array_equal(labels, expected)
