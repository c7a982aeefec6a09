"""Non-maximum suppression of star-convex polygons."""

from typing import NamedTuple

import numpy as np

from jaxnuc.postprocess.checks import within
from jaxnuc.postprocess.polygons import (
    StarPolygons,
    candidates_from_maps,
    checked_polygons,
    intersection_areas,
    polygon_areas,
    ray_directions,
)

_NOISE = 1e-9  # an overlap of no more is rounding: polygons that touch


class Suppression(NamedTuple):
    """The result of a non-maximum suppression.

    Attributes:
      kept: (K,) int64 indices of the survivors, the highest score first.
      suppressed_by: (N,) int64 index of the survivor that suppressed each candidate, the one with
        the highest score where there are several; -1 for the survivors.
    """

    kept: np.ndarray
    suppressed_by: np.ndarray


def non_maximum_suppression(
    points: np.ndarray, distances: np.ndarray, scores: np.ndarray, *, nms_thresh: float
) -> Suppression:
    """Greedy suppression: each survivor removes the lower-scoring candidates it overlaps.

    In descending order of score, a candidate survives unless its overlap with a survivor, the
    area of their intersection over the smaller one's area, exceeds the threshold. Of equal scores
    the lower index comes first. The geometry is exact, on vertices in floating point.

    The reference truncates the vertices to integers and rounds the corners of intersections to
    integers as well. For smooth polygons that are well apart or well on top of each other both
    give the same survivors; of crowded, ragged ones of a few pixels a fifth may be others.

    Time and memory are linear in candidates and in pairs that share a cell of a grid about as
    large as a polygon: all candidates that come first in all their cells survive in any case,
    and are handled together.

    Args:
      points: (N, 2) centers (row, col) in pixels.
      distances: (N, R) vertex distances in pixels; those below 1e-3 are set to it.
      scores: (N,).
      nms_thresh: in [0, 1]; the overlap above which the lower score is suppressed.

    Raises:
      ValueError: shapes that do not agree, NaN or infinite values, a threshold outside [0, 1].

    Example:
      >>> points, distances = np.array([[9, 9], [9, 10], [9, 30]]), np.full((3, 32), 5.0)
      >>> kept, suppressed_by = non_maximum_suppression(
      ...     points, distances, np.array([0.6, 0.9, 0.7]), nms_thresh=0.4
      ... )
      >>> kept, suppressed_by
      (array([1, 2]), array([ 1, -1, -1]))

    References:
      Schmidt et al., "Cell Detection with Star-Convex Polygons", MICCAI 2018, section 2.2.
    """
    points, distances = checked_polygons(points, distances)
    scores = np.asarray(scores)
    if scores.shape != points.shape[:1]:
        raise ValueError(f"{len(points)} points, but scores of shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinite values")
    within(nms_thresh, "nms_thresh")
    suppressed_by = np.full(len(points), -1, np.int64)
    if not len(points):
        return Suppression(np.empty(0, np.int64), suppressed_by)
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    by = _suppress(points[order], distances[order], max(float(nms_thresh), _NOISE))
    suppressed_by[order] = np.where(by < 0, -1, order[by])
    return Suppression(order[by < 0], suppressed_by)


def detect_polygons(
    prob: np.ndarray,
    dist: np.ndarray,
    *,
    prob_thresh: float,
    nms_thresh: float,
    grid: int = 1,
    border: int = 2,
) -> StarPolygons:
    """The polygons of a network's maps after non-maximum suppression, the most probable first.

    Arguments and errors are those of `candidates_from_maps`, and `nms_thresh` in [0, 1]: the
    overlap (intersection over the smaller area) above which the lower probability is suppressed. Of
    equal ones the first in raster order stays.
    """
    found = candidates_from_maps(prob, dist, prob_thresh=prob_thresh, grid=grid, border=border)
    kept = non_maximum_suppression(*found, nms_thresh=nms_thresh).kept
    return StarPolygons(*(values[kept] for values in found))


class _Lists(NamedTuple):
    """Lists, none of them empty, in one array: `values[starts[i] : starts[i + 1]]`."""

    starts: np.ndarray
    values: np.ndarray

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The lists `rows`, joined; for each value its place in `rows`; where each list starts."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        starts = np.cumsum(lengths) - lengths
        owners = np.repeat(np.arange(len(rows)), lengths)
        positions = np.arange(len(owners)) + (self.starts[rows] - starts)[owners]
        return self.values[positions], owners, starts


class _Grid(NamedTuple):
    """The cells of a grid that the polygons' bounding boxes meet; no other cell is stored."""

    members: _Lists  # of each cell, in ascending order
    cells: _Lists  # of each polygon
    corners: np.ndarray  # (2, N) row and column of each polygon's first cell
    places: np.ndarray  # (2, cells) row and column of each cell


def _suppress(points: np.ndarray, distances: np.ndarray, thresh: float) -> np.ndarray:
    """(N,) the survivor that suppresses each polygon, -1 for survivors; in order of precedence."""
    number = len(points)
    areas = polygon_areas(distances)
    rows, cols = (distances * step for step in ray_directions(distances.shape[1]))
    low, high = (rows.min(axis=1), cols.min(axis=1)), (rows.max(axis=1), cols.max(axis=1))
    boxes = points.T + np.array([low, high])  # (2, 2, N): lowest and highest, row and column
    # What overlaps also does so after it is clipped to the box of the centers, beyond which a few
    # huge polygons would make the cells of the grid larger than all others together.
    grid = _grid(np.clip(boxes, points.min(axis=0)[:, None], points.max(axis=0)[:, None]))
    by = np.full(number, number)  # `number` while undecided
    first = np.empty(grid.places.shape[1], np.int64)  # of each cell, the first undecided member
    changed = np.arange(len(first))
    while True:
        members, _, starts = grid.members.take(changed)
        undecided = np.where(by[members] == number, members, number)
        first[changed] = np.minimum.reduceat(undecided, starts)
        nominees = np.unique(first[changed])
        nominees = nominees[nominees < number]
        if not nominees.size:
            return by
        # A polygon that is first in all its cells meets no undecided one before it.
        cells, owners, starts = grid.cells.take(nominees)
        leads = np.logical_and.reduceat(first[cells] == nominees[owners], starts)
        survivors = nominees[leads]
        by[survivors] = -1

        winners, rivals = _rivals(grid, boxes, areas * thresh, survivors, by)
        smaller = np.minimum(areas[winners], areas[rivals])
        overlaps = intersection_areas(points, distances, winners, rivals) / smaller
        # 1 is the most there is; rounding must not lift equal polygons above a threshold of 1.
        over = np.minimum(overlaps, 1) > thresh
        suppressed = np.unique(rivals[over & (by[rivals] == number)])
        np.minimum.at(by, rivals[over], winners[over])
        decided = np.concatenate([survivors, suppressed])
        changed = np.unique(grid.cells.take(decided)[0])


def _rivals(
    grid: _Grid, boxes: np.ndarray, least: np.ndarray, survivors: np.ndarray, by: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs (winners, rivals) of new survivors and later polygons that they may suppress.

    Rivals are undecided, or suppressed by a later survivor: the first one counts. Pairs are left
    out whose boxes share no more than the `least` area (N,) of either.
    """
    cells, owners, _ = grid.cells.take(survivors)
    rivals, visits, _ = grid.members.take(cells)
    winners = survivors[owners[visits]]
    later = by[rivals] > winners
    winners, rivals, cells = winners[later], rivals[later], cells[visits[later]]
    # Two boxes may share several cells: the pair is taken from the first one only.
    corner = np.maximum(grid.corners[:, winners], grid.corners[:, rivals])
    once = (corner == grid.places[:, cells]).all(axis=0)
    winners, rivals = winners[once], rivals[once]
    low, high = boxes
    sides = np.minimum(high[:, winners], high[:, rivals])
    sides -= np.maximum(low[:, winners], low[:, rivals])
    shared = sides.clip(0).prod(axis=0)
    near = shared > np.minimum(least[winners], least[rivals])
    return winners[near], rivals[near]


def _grid(boxes: np.ndarray) -> _Grid:
    # Cells as large as the root mean square of the boxes' longer sides: boxes of any sizes and
    # shapes meet about four on average.
    side = np.sqrt(((boxes[1] - boxes[0]).max(axis=0) ** 2).mean()) or 1  # 0: one center for all
    origin = boxes[0].min(axis=1, keepdims=True)
    corners, ends = np.floor((boxes - origin) / side).astype(np.int64)
    heights, widths = ends - corners + 1
    starts = np.append(0, np.cumsum(heights * widths))
    polygons = np.repeat(np.arange(boxes.shape[2]), heights * widths)
    within = np.arange(starts[-1]) - starts[polygons]
    rows = corners[0, polygons] + within // widths[polygons]
    cols = corners[1, polygons] + within % widths[polygons]
    stride = cols.max() + 1
    keys, cells = np.unique(rows * stride + cols, return_inverse=True)
    members = polygons[np.argsort(cells, kind="stable")]
    member_starts = np.append(0, np.cumsum(np.bincount(cells)))
    places = np.stack([keys // stride, keys % stride])
    return _Grid(_Lists(member_starts, members), _Lists(starts, cells), corners, places)
