"""Outlines of the worst of masks are valid polygons of exactly their pixels."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import shapely
from scipy import ndimage
from skimage.draw import line

from jaxnuc.outputs.outlines import contour, largest_piece, outline
from jaxnuc.postprocess.masks import Mask

Blobs = Callable[[int, int], tuple[Mask, ...]]


def every_small_mask() -> list[Mask]:
    """All 3 x 3 masks, and many 4 x 5 ones: every way in which pixels can meet."""
    bits = np.arange(1, 512)[:, None] >> np.arange(9) & 1
    masks = [Mask(2, 3, m.reshape(3, 3).astype(bool)) for m in bits]
    rng = np.random.default_rng(0)
    return masks + [Mask(0, 0, m) for m in rng.random((1000, 4, 5)) < 0.7 if m.any()]


@pytest.mark.slow
def test_polygons_are_valid_and_exact(blobs: Blobs) -> None:
    holes = 0
    for mask in (*every_small_mask(), *blobs(200, 0)):
        outer, inner = outline(mask)
        polygon = shapely.Polygon(outer[:, ::-1], [ring[:, ::-1] for ring in inner])
        assert shapely.is_valid(polygon), shapely.is_valid_reason(polygon)
        assert polygon.exterior.is_ccw
        assert not any(ring.is_ccw for ring in polygon.interiors)
        holes += len(inner)
        piece = largest_piece(mask.mask)
        rows, cols = np.indices(np.add(mask.mask.shape, 4)) - 1.5
        inside = shapely.contains_xy(polygon, cols + mask.col, rows + mask.row)
        np.testing.assert_array_equal(inside, np.pad(piece, 2))
        assert polygon.area == piece.sum()
    assert holes > 100


def test_the_largest_piece_is_kept() -> None:
    mask = np.array([[1, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0]], bool)
    expected = np.array([[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]], bool)
    np.testing.assert_array_equal(largest_piece(mask), expected)


@pytest.mark.slow
def test_contours_run_through_the_border_pixels(blobs: Blobs) -> None:
    for mask in (*every_small_mask(), *blobs(100, 1)):
        corners = contour(mask)
        drawn = np.zeros(mask.mask.shape, bool)
        for start, stop in pairwise([*corners, corners[0]]):
            step = np.abs(stop - start)
            assert step.min() == 0 or step[0] == step[1] == 1
            drawn[line(*(start - mask[:2]), *(stop - mask[:2]))] = True
        piece = largest_piece(mask.mask)
        outside = np.pad(~piece, 1, constant_values=True)
        labels, _ = ndimage.label(outside)
        near = ndimage.binary_dilation(labels == labels[0, 0])[1:-1, 1:-1]
        np.testing.assert_array_equal(drawn, piece & near)
