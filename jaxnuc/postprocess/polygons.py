"""Star-convex polygons: candidates from a network's maps, areas, areas of intersections."""

from typing import NamedTuple

import numpy as np

from jaxnuc.postprocess.checks import float_map, probability_map, same_size, within

MIN_DISTANCE = 1e-3
_CHUNK = 8192  # vertices at a time; larger temporary arrays leave the cache and cost page faults


class StarPolygons(NamedTuple):
    """Polygons given by a center and the distances of their vertices along equally spaced rays.

    Ray k of R points to the angle 2 pi k / R: row + sin, column + cos.

    Attributes:
      points: (N, 2) centers (row, col) in pixels.
      distances: (N, R) in pixels.
      scores: (N,), higher is better.
    """

    points: np.ndarray
    distances: np.ndarray
    scores: np.ndarray


def candidates_from_maps(
    prob: np.ndarray, dist: np.ndarray, *, prob_thresh: float, grid: int = 1, border: int = 2
) -> StarPolygons:
    """The polygons of all grid points whose probability exceeds a threshold, in raster order.

    Args:
      prob: (h, w) float in [0, 1], object probability on the grid.
      dist: (h, w, R) float distances in pixels (of the image, not of the grid); those below 1e-3
        are set to it.
      prob_thresh: strictly exceeded by a candidate's probability.
      grid: pixels of the image from one grid point to the next, each way.
      border: number of outer rows and columns of the grid without candidates.

    Raises:
      ValueError: shapes that do not agree, NaN or infinite values, a probability or threshold
        outside [0, 1], fewer than 3 rays.

    Example:
      >>> prob = np.array([[0.2, 0.9], [0.5, 0.6]])
      >>> maps = prob, np.full((2, 2, 8), 3.0)
      >>> candidates_from_maps(*maps, prob_thresh=0.5, grid=2, border=0).points
      array([[0, 2],
             [2, 2]])
    """
    prob, dist = probability_map(prob, "prob"), float_map(dist, "dist", (None, None, None))
    same_size(prob, dist, "prob", "dist")
    within(prob_thresh, "prob_thresh")
    if border < 0:
        raise ValueError(f"border {border} is negative; 0 ignores no grid point")
    grid = checked_grid(grid)
    h, w = prob.shape
    inner = prob[border : max(h - border, 0), border : max(w - border, 0)]
    cells = np.argwhere(inner > prob_thresh) + border
    distances = _clipped(dist[cells[:, 0], cells[:, 1]])
    return StarPolygons(cells * grid, distances, prob[cells[:, 0], cells[:, 1]])


def checked_polygons(points: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 2) and distances (N, R) as float64, distances not below 1e-3.

    Raises:
      ValueError: shapes that do not agree, NaN or infinite values, fewer than 3 rays.
    """
    points, distances = np.asarray(points), np.asarray(distances)
    fitting = points.ndim == distances.ndim == 2 and len(points) == len(distances)
    if not fitting or points.shape[1] != 2:
        raise ValueError(
            f"points of shape {points.shape} and distances of shape {distances.shape} do not "
            "agree: they must be (N, 2) and (N, rays)"
        )
    for name, values in (("points", points), ("distances", distances)):
        if not np.isfinite(values).all():
            number = np.count_nonzero(~np.isfinite(values))
            raise ValueError(f"{name} holds {number} NaN or infinite values")
    return points.astype(np.float64), _clipped(distances).astype(np.float64)


def checked_grid(grid: int) -> int:
    """The pixels from one grid point to the next, each way.

    Raises:
      ValueError: no positive integer.
    """
    if not (isinstance(grid, (int, np.integer)) and grid > 0):
        raise ValueError(f"grid {grid} is not a positive integer")
    return int(grid)


def ray_directions(n_rays: int) -> tuple[np.ndarray, np.ndarray]:
    """The steps along each ray: sines (rows) and cosines (columns), each (n_rays,) float64."""
    angles = 2 * np.pi * np.arange(n_rays) / n_rays
    return np.sin(angles), np.cos(angles)


def polygon_areas(distances: np.ndarray) -> np.ndarray:
    """(N,) float64 areas in square pixels of polygons with distances (N, R)."""
    wedge = np.sin(2 * np.pi / distances.shape[1])
    return 0.5 * wedge * (distances * np.roll(distances, -1, axis=1)).sum(axis=1, dtype=np.float64)


def intersection_areas(
    points: np.ndarray, distances: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Exact areas of the intersections of pairs of star-convex polygons.

    Every edge of the second polygon spans a triangle with the first one's center; counted with
    its orientation, these triangles add up to the second polygon. The rays of the first cut them
    into pieces. Within a sector between two rays the gauge of the first polygon (the factor
    that enlarges it to reach a point) is linear, so that the share of a piece inside follows
    from the gauges at its two ends in closed form. Time and memory are linear in pairs times rays.

    Args:
      points: (N, 2) float64 centers (row, col) in pixels.
      distances: (N, R) float64, positive, in pixels.
      first: (P,) positions of polygons.
      second: (P,) positions of the polygons to intersect them with.

    Example:
      >>> points, distances = np.array([[0.0, 0.0], [0.0, 1.0]]), np.ones((2, 4))
      >>> intersection_areas(points, distances, np.array([0, 0]), np.array([0, 1]))
      array([2. , 0.5])
    """
    areas = np.empty(len(first))
    pairs = max(_CHUNK // distances.shape[1], 1)
    for start in range(0, len(first), pairs):
        chunk = slice(start, start + pairs)
        a, b = first[chunk], second[chunk]
        areas[chunk] = _intersection_areas(points[b] - points[a], distances[a], distances[b])
    return areas


def _intersection_areas(shift: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Areas for distances `first` and `second` (P, R), the second center at `shift` (P, 2)."""
    pairs, n_rays = first.shape
    sine, cosine = ray_directions(n_rays)
    row = (shift[:, :1] + second * sine).ravel()
    col = (shift[:, 1:] + second * cosine).ravel()
    inverse = np.reciprocal(first).ravel()
    base = np.repeat(np.arange(pairs) * n_rays, n_rays)
    following = base + np.tile(np.roll(np.arange(n_rays), -1), pairs)

    # The gauge at each vertex of the second polygon: its coordinates along the two rays of its
    # sector, over the first polygon's distances on these rays.
    sector = np.floor(np.arctan2(row, col) * (n_rays / (2 * np.pi))).astype(np.int64)
    sector += n_rays * (sector < 0)
    sector -= n_rays * (sector == n_rays)
    after = sector + 1
    after[after == n_rays] = 0
    along = (col * sine[after] - row * cosine[after]) * inverse[base + sector]
    along += (row * cosine[sector] - col * sine[sector]) * inverse[base + after]
    gauge = along / np.sin(2 * np.pi / n_rays)

    # The rays that each edge crosses, in the order in which it does.
    row_to, col_to = row[following], col[following]
    forward = col * row_to - row * col_to >= 0
    turns = sector[following] - sector
    turns = np.where(forward, turns, -turns)
    turns += n_rays * (turns < 0)
    edge = np.repeat(np.arange(len(row)), turns)
    crossed_before = np.cumsum(turns) - turns
    step = np.arange(len(edge)) - crossed_before[edge]
    ray = sector[edge] + np.where(forward[edge], step + 1, -step)
    ray += n_rays * (ray < 0)
    ray -= n_rays * (ray >= n_rays)
    ray_row, ray_col = sine[ray], cosine[ray]
    start_side = ray_col * row[edge] - ray_row * col[edge]
    end_side = ray_col * row_to[edge] - ray_row * col_to[edge]
    share = _ratio(start_side, start_side - end_side)
    cut_row = row[edge] + share * (row_to[edge] - row[edge])
    cut_col = col[edge] + share * (col_to[edge] - col[edge])
    cut_gauge = (ray_row * cut_row + ray_col * cut_col) * inverse[base[edge] + ray]

    # All corners of the pieces, around each second polygon.
    vertices = np.arange(len(row)) + crossed_before
    crossings = np.arange(len(edge)) + edge + 1
    corner_row, corner_col, corner_gauge = np.empty((3, len(row) + len(edge)))
    corner_row[vertices], corner_row[crossings] = row, cut_row
    corner_col[vertices], corner_col[crossings] = col, cut_col
    # Rounding may leave a gauge below 0, or make an edge along a ray cross others: such pieces
    # have no area, and with shares within [0, 1] they add none.
    corner_gauge[vertices], corner_gauge[crossings] = gauge, np.maximum(cut_gauge, 0)
    starts = vertices[::n_rays]
    neighbor = np.arange(1, len(corner_row) + 1)
    neighbor[np.append(starts[1:], len(corner_row)) - 1] = starts

    doubled = corner_col * corner_row[neighbor] - corner_row * corner_col[neighbor]
    other = corner_gauge[neighbor]
    low, high = np.minimum(corner_gauge, other), np.maximum(corner_gauge, other)
    whole = np.where(high > 1, _ratio(1 - low, high - low), 1)
    inside = whole + (1 - whole) / (np.maximum(low, 1) * np.maximum(high, 1))
    return 0.5 * np.add.reduceat(doubled * inside, starts)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The ratio within [0, 1]; 0 where the denominator is."""
    safe = np.where(denominator == 0, 1, denominator)
    return np.clip(np.where(denominator == 0, 0, numerator / safe), 0, 1)


def _clipped(distances: np.ndarray) -> np.ndarray:
    if distances.shape[-1] < 3:
        raise ValueError(f"{distances.shape[-1]} rays make no polygon; at least 3 are needed")
    return np.maximum(distances, MIN_DISTANCE)
