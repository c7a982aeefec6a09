"""Which predicted nucleus belongs to which true one, by the distance of their centroids."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from jaxnuc.metrics.assignment import assign
from jaxnuc.registry import unknown

MATCHINGS = ("assign_then_cut", "cut_then_assign")
_MOST_DISTANCES = 40_000_000


def match_centroids(
    truth: np.ndarray,
    prediction: np.ndarray,
    radius: float = 12.0,
    *,
    matching: str = "assign_then_cut",
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs two sets of points one to one, none further apart than the radius.

    * `"assign_then_cut"`: the assignment of as many points as possible with the least total
      distance, over all pairs; those beyond the radius are dropped afterwards (HoVer-Net's
      evaluation). A far point can so cost two near ones their match. Time and memory grow with the
      product of the two numbers of points.
    * `"cut_then_assign"`: among the pairs within the radius as many as possible, and of those
      assignments the one with the least total distance. Time and memory grow with the pairs within
      the radius.

    Args:
      truth: (T, 2) finite coordinates.
      prediction: (P, 2) finite coordinates.
      radius: in the unit of the coordinates, at least 0; a distance of exactly the radius counts.
      matching: `"assign_then_cut"` or `"cut_then_assign"`.

    Returns:
      (M,) int64 positions in `truth`, ascending, and (M,) int64 positions in `prediction`.

    Raises:
      ValueError: coordinates are not of this form, the radius is negative or not finite,
        `matching` is unknown, or there are more than 4e7 pairs to `"assign_then_cut"`.

    Example:
      >>> match_centroids(np.array([[0, 0], [0, 9]]), np.array([[0, 11]]))
      (array([1]), array([0]))

    References:
      Graham et al., HoVer-Net, 2019, section 4.2.
    """
    if matching not in MATCHINGS:
        raise unknown("matching", matching, MATCHINGS)
    if not 0 <= radius < np.inf:
        raise ValueError(f"radius {radius} is not finite and at least 0")
    truth, prediction = _points(truth, "truth"), _points(prediction, "prediction")
    if not len(truth) or not len(prediction):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if matching == "cut_then_assign":
        return _assigned_within(truth, prediction, radius)
    if len(truth) * len(prediction) > _MOST_DISTANCES:
        raise ValueError(
            f"{len(truth)} true and {len(prediction)} predicted nuclei are too many for "
            f"matching='assign_then_cut', which needs all {len(truth) * len(prediction):.1e} "
            "distances at once; match tile by tile, or with matching='cut_then_assign'"
        )
    distances = cdist(truth, prediction)
    rows, columns = linear_sum_assignment(distances)
    near = distances[rows, columns] <= radius
    return rows[near], columns[near]


def _assigned_within(
    truth: np.ndarray, prediction: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    # The tree compares squares; a little more than the radius is asked for, and then cut exactly.
    near = KDTree(truth).sparse_distance_matrix(
        KDTree(prediction), radius * (1 + 1e-9), output_type="ndarray"
    )
    rows, columns, distances = near["i"], near["j"], near["v"]
    kept = distances <= radius
    rows, columns, distances = rows[kept], columns[kept], distances[kept]
    pairs = assign(rows, columns, radius - distances, counted=np.ones(len(rows), bool))
    pairs = pairs[np.argsort(rows[pairs])]
    return rows[pairs].astype(np.int64), columns[pairs].astype(np.int64)


def _points(points: np.ndarray, name: str) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{name} must be (N, 2) coordinates, got shape {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} holds NaN or infinite coordinates")
    return points
