"""Star-convex polygons as a label map, as they are or in the shape that all candidates vote for."""

import numpy as np

from jaxnuc.postprocess.polygon_nms import Suppression
from jaxnuc.postprocess.polygons import checked_polygons, ray_directions

_GROWTH = 1e-9  # of distances, so that a pixel center on an outline lies inside
_NOISE = 1e-9  # of votes; less is rounding
_CHUNK = 1 << 17  # pixels of the winners' boxes at a time


def refine_shapes(
    points: np.ndarray,
    distances: np.ndarray,
    scores: np.ndarray,
    suppression: Suppression,
    shape: tuple[int, int],
    *,
    winner_weight: float = 2.0,
) -> np.ndarray:
    """Paints the survivors of a suppression in the shapes on which the suppressed agree with them.

    At each pixel a survivor and the polygons it suppressed vote whether they hold it; the weight
    of the survivor is `winner_weight`, that of the others their score. The pixels in which the
    weighted mean exceeds 1/2 are the nucleus. Where nuclei overlap the higher score is on top.

    Only where lines of pixels enter and leave polygons is anything added up, once for all polygons
    of a survivor: time is linear in the height of the polygons and the area of the nuclei.

    Args:
      points: (N, 2) centers (row, col) in pixels, of all candidates.
      distances: (N, R) vertex distances in pixels; those below 1e-3 are set to it.
      scores: (N,), not negative.
      suppression: of these candidates, by `non_maximum_suppression`.
      shape: (H, W) of the image.
      winner_weight: above 0.

    Returns:
      (H, W) int32 label map, 0 is background, ids in the order of `suppression.kept` from 1. Ids
      of nuclei without a pixel of their own do not occur.

    Raises:
      ValueError: shapes that do not agree, NaN or infinite values, negative weights, fewer than 3
        rays.

    Example:
      >>> points, distances = np.array([[1, 2], [1, 3], [1, 3]]), np.full((3, 4), 1.2)
      >>> suppression = Suppression(np.array([0]), np.array([-1, 0, 0]))
      >>> refine_shapes(points, distances, np.array([0.9, 0.8, 0.7]), suppression, (3, 5))
      array([[0, 0, 1, 0, 0],
             [0, 1, 1, 1, 0],
             [0, 0, 1, 0, 0]], dtype=int32)
      >>> scores = np.array([3.0, 2.0, 1.0])  # now the suppressed weigh more than the survivor
      >>> refine_shapes(points, distances, scores, suppression, (3, 5))
      array([[0, 0, 0, 1, 0],
             [0, 0, 1, 1, 1],
             [0, 0, 0, 1, 0]], dtype=int32)

    References:
      Weigert and Schmidt, "Nuclei instance segmentation and classification in histopathology
      images with StarDist", ISBIC 2022.
    """
    points, distances = checked_polygons(points, distances)
    scores, (kept, by) = np.asarray(scores, np.float64), suppression
    if not scores.shape == by.shape == points.shape[:1]:
        raise ValueError(
            f"{len(points)} points, but scores of shape {scores.shape} and a suppression of "
            f"{len(by)} candidates"
        )
    if not (np.isfinite(scores).all() and scores.min(initial=0) >= 0 and winner_weight > 0):
        raise ValueError(
            f"scores from {scores.min(initial=0)} to {scores.max(initial=0)} and a winner_weight "
            f"of {winner_weight}; weights must be finite and not negative, the winner's above 0"
        )
    if len(shape) != 2 or min(shape) < 0:
        raise ValueError(f"shape {shape} is not (height, width)")
    labels = np.zeros(shape, np.int32)
    if not len(kept):
        return labels

    # Nuclei in ascending order of score: later assignments win, and the best is painted last.
    nucleus = np.empty(len(by), np.int64)
    nucleus[kept] = np.arange(len(kept))[::-1]
    nucleus = nucleus[np.where(by < 0, np.arange(len(by)), by)]
    order = np.argsort(nucleus, kind="stable")
    nucleus, points, distances = nucleus[order], points[order], distances[order]
    weights = np.where(by < 0, winner_weight, scores)[order]
    starts = np.searchsorted(nucleus, np.arange(len(kept) + 1))

    distances *= 1 + _GROWTH
    sine, cosine = ray_directions(distances.shape[1])
    rows, cols = points[:, :1] + distances * sine, points[:, 1:] + distances * cosine
    boxes = []  # of each nucleus, within the image: first row, last row + 1, first and last column
    for vertices, side in ((rows, shape[0]), (cols, shape[1])):
        low = np.minimum.reduceat(vertices.min(axis=1), starts[:-1])
        high = np.maximum.reduceat(vertices.max(axis=1), starts[:-1])
        boxes += [np.clip(np.ceil(edge), 0, side).astype(np.int64) for edge in (low, high)]
    top, bottom, left, right = boxes
    ends = np.cumsum((bottom - top) * (right - left + 1))
    first = 0
    while first < len(kept):
        done = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, done + _CHUNK, side="right")), first + 1)
        members = slice(starts[first], starts[last])
        _paint(
            labels,
            len(kept) - np.arange(first, last),
            np.stack([side[first:last] for side in boxes]),
            nucleus[members] - first,
            weights[members],
            rows[members],
            cols[members],
        )
        first = last
    return labels


def render_polygons(
    points: np.ndarray, distances: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Paints star-convex polygons, the first on top.

    A pixel belongs to a polygon if its center lies inside or on the outline. Polygons may reach
    beyond the image, also with their centers. Time is linear in the area of the bounding boxes.

    Args:
      points: (N, 2) centers (row, col) in pixels, in descending order of score.
      distances: (N, R) vertex distances in pixels; those below 1e-3 are set to it.
      shape: (H, W) of the image.

    Returns:
      (H, W) int32 label map, 0 is background, the id of a polygon is its position + 1. Ids of
      polygons that are covered by others, or hold no pixel center, do not occur.

    Raises:
      ValueError: shapes that do not agree, NaN or infinite values, fewer than 3 rays.

    Example:
      >>> render_polygons(np.array([[1, 1], [1, 3]]), np.full((2, 4), 1.0), (3, 5))
      array([[0, 1, 0, 2, 0],
             [1, 1, 1, 2, 2],
             [0, 1, 0, 2, 0]], dtype=int32)
    """
    alone = Suppression(np.arange(len(points)), np.full(len(points), -1))
    return refine_shapes(points, distances, np.zeros(len(points)), alone, shape)


def _paint(
    labels: np.ndarray,
    ids: np.ndarray,
    boxes: np.ndarray,
    nucleus: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
    cols: np.ndarray,
) -> None:
    """Paints nuclei (n,) with boxes (4, n): polygons (p, R) vote on the pixels of their nucleus."""
    top, bottom, left, right = boxes
    # The boxes one after the other, each line with room for one pixel more: where polygons end.
    widths = right - left + 1
    sizes = (bottom - top) * widths
    begins = np.cumsum(sizes) - sizes

    # Where each edge meets lines of pixels: a line through a vertex meets one of its two edges.
    n_rays = rows.shape[1]
    row, col = rows.ravel(), cols.ravel()
    row_to, col_to = np.roll(rows, -1, axis=1).ravel(), np.roll(cols, -1, axis=1).ravel()
    limits = top[nucleus].repeat(n_rays), bottom[nucleus].repeat(n_rays)
    upper = np.clip(np.ceil(np.minimum(row, row_to)), *limits).astype(np.int64)
    lower = np.clip(np.ceil(np.maximum(row, row_to)), *limits).astype(np.int64)
    counts = lower - upper
    edge = np.repeat(np.arange(len(row)), counts)
    at = np.arange(len(edge)) + (upper - (np.cumsum(counts) - counts))[edge]
    share = (at - row[edge]) / (row_to[edge] - row[edge])
    crossing = col[edge] + share * (col_to[edge] - col[edge])

    # Where an edge goes to higher rows, the polygon lies at lower columns: a line leaves it there.
    polygon = edge // n_rays
    owner = nucleus[polygon]
    column = np.clip(np.ceil(crossing), left[owner], right[owner]).astype(np.int64) - left[owner]
    place = begins[owner] + (at - top[owner]) * widths[owner] + column
    change = np.where(row_to > row, -1.0, 1.0)[edge] * weights[polygon]
    votes = np.cumsum(np.bincount(place, change, minlength=int(sizes.sum())))

    half = np.bincount(nucleus, weights, minlength=len(ids)) / 2
    pixels = np.flatnonzero(votes > np.repeat(half + _NOISE, sizes))
    owner = np.searchsorted(begins + sizes, pixels, side="right")
    down, along = np.divmod(pixels - begins[owner], widths[owner])
    labels[top[owner] + down, left[owner] + along] = ids[owner]
