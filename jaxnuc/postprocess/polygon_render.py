"""Star-convex polygons painted as a label map."""

import numpy as np

from jaxnuc.postprocess.polygons import checked_polygons, ray_directions

_TOLERANCE = 1e-9  # pixels; a pixel centre that close to an outline is on it
_CHUNK = 1 << 17  # pixels of bounding boxes at a time


def render_polygons(
    points: np.ndarray, distances: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Paints star-convex polygons, the first on top.

    A pixel belongs to a polygon if its centre lies inside or on the outline. Polygons may reach
    beyond the image, also with their centres. Time is linear in the area of the bounding boxes.

    Args:
      points: (N, 2) centres (row, col) in pixels, in descending order of score.
      distances: (N, R) vertex distances in pixels; those below 1e-3 are set to it.
      shape: (H, W) of the image.

    Returns:
      (H, W) int32 label map, 0 is background, the id of a polygon is its position + 1. Ids of
      polygons that are covered by others, or hold no pixel centre, do not occur.

    Raises:
      ValueError: shapes that do not agree, NaN or infinite values, fewer than 3 rays.

    Example:
      >>> render_polygons(np.array([[1, 1], [1, 3]]), np.full((2, 4), 1.0), (3, 5))
      array([[0, 1, 0, 2, 0],
             [1, 1, 1, 2, 2],
             [0, 1, 0, 2, 0]], dtype=int32)
    """
    points, distances = checked_polygons(points, distances)
    if len(shape) != 2 or min(shape) < 0:
        raise ValueError(f"shape {shape} is not (height, width)")
    labels = np.zeros(shape, np.int32)
    sine, cosine = ray_directions(distances.shape[1])
    # Later assignments win: the best polygon comes last.
    ids = np.arange(len(points), 0, -1, dtype=np.int32)
    rows = points[::-1, :1] + distances[::-1] * sine
    cols = points[::-1, 1:] + distances[::-1] * cosine
    whole = np.rint(rows)
    rows = np.where(np.abs(rows - whole) < _TOLERANCE, whole, rows)

    last = np.array(shape) - 1
    low = np.stack([rows.min(axis=1), cols.min(axis=1)], axis=1)
    high = np.stack([rows.max(axis=1), cols.max(axis=1)], axis=1)
    low = np.clip(np.ceil(low - _TOLERANCE), 0, last + 1).astype(np.int64)
    high = np.clip(np.floor(high + _TOLERANCE), -1, last).astype(np.int64)
    seen = (low <= high).all(axis=1)
    rows, cols, ids, low, high = rows[seen], cols[seen], ids[seen], low[seen], high[seen]
    ends = np.cumsum((high - low + 2).prod(axis=1))
    start = 0
    while start < len(ids):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + _CHUNK, side="right")), start + 1)
        chunk = slice(start, stop)
        _paint(labels, ids[chunk], rows[chunk], cols[chunk], low[chunk], high[chunk])
        start = stop
    return labels


def _paint(
    labels: np.ndarray,
    ids: np.ndarray,
    rows: np.ndarray,
    cols: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    """Paints polygons with vertices (n, R) within their boxes of pixels, `low` to `high` (n, 2)."""
    # Each row of each box is a line with room for one pixel more; all lines in one array.
    heights, widths = (high - low + 1).T
    first_lines = np.cumsum(heights) - heights
    owners = np.repeat(np.arange(len(ids)), heights)
    line_widths = widths[owners] + 1
    line_starts = np.cumsum(line_widths) - line_widths

    # Where each edge meets the lines between its ends.
    n_rays = rows.shape[1]
    row_to, col_to = np.roll(rows, -1, axis=1).ravel(), np.roll(cols, -1, axis=1).ravel()
    row, col = rows.ravel(), cols.ravel()
    top = np.maximum(np.ceil(np.minimum(row, row_to)), np.repeat(low[:, 0], n_rays))
    bottom = np.minimum(np.floor(np.maximum(row, row_to)), np.repeat(high[:, 0], n_rays))
    counts = np.where(row == row_to, 0, np.maximum(bottom - top + 1, 0)).astype(np.int64)
    edge = np.repeat(np.arange(len(row)), counts)
    at = top[edge] + np.arange(len(edge)) - (np.cumsum(counts) - counts)[edge]
    share = (at - row[edge]) / (row_to[edge] - row[edge])
    crossing = col[edge] + share * (col_to[edge] - col[edge])

    # Going up in rows, the polygon is on the side of the lower columns: the line leaves it there.
    # A vertex on a line ends one edge and begins another: each counts half, so that the line just
    # above and the line just below are joined, and the outline is part of the polygon.
    leaves = row_to[edge] > row[edge]
    weight = np.where((at == row[edge]) | (at == row_to[edge]), 1, 2)
    column = np.where(leaves, np.floor(crossing + _TOLERANCE) + 1, np.ceil(crossing - _TOLERANCE))
    polygon = edge // n_rays
    column = np.clip(column - low[polygon, 1], 0, widths[polygon]).astype(np.int64)
    line = first_lines[polygon] + at.astype(np.int64) - low[polygon, 0]
    change = np.zeros(line_widths.sum(), np.int16)
    np.add.at(
        change, line_starts[line] + column, np.where(leaves, -weight, weight).astype(np.int16)
    )
    inside = np.cumsum(change, dtype=np.int16) > 0

    painted = np.add.reduceat(inside, line_starts, dtype=np.int64)
    image_rows = low[owners, 0] + np.arange(len(owners)) - first_lines[owners]
    shifts = image_rows * labels.shape[1] + low[owners, 1] - line_starts
    pixels = np.flatnonzero(inside) + np.repeat(shifts, painted)
    labels.reshape(-1)[pixels] = np.repeat(ids[owners], painted)
