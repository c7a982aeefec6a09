"""One sparse table of overlaps per image, from which every metric is computed."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ContingencyTable:
    """The areas of two label maps' instances and the pairs of instances that overlap.

    Attributes:
      truth_ids: (T,) ids in the true map, ascending, without the background.
      truth_areas: (T,) int64, pixels.
      prediction_ids: (P,) ids in the predicted map, ascending, without the background.
      prediction_areas: (P,) int64, pixels.
      rows: (N,) int64, position in `truth_ids` of each pair that shares a pixel.
      columns: (N,) int64, position in `prediction_ids`; pairs are sorted by row, then column.
      intersections: (N,) int64, shared pixels, at least 1.
    """

    truth_ids: np.ndarray
    truth_areas: np.ndarray
    prediction_ids: np.ndarray
    prediction_areas: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    intersections: np.ndarray

    @property
    def unions(self) -> np.ndarray:
        """(N,) int64, pixels in either instance of each pair."""
        areas = self.truth_areas[self.rows] + self.prediction_areas[self.columns]
        return areas - self.intersections

    @property
    def iou(self) -> np.ndarray:
        """(N,) float64 in (0, 1], intersection over union of each pair."""
        return self.intersections / self.unions


def contingency_table(truth: np.ndarray, prediction: np.ndarray) -> ContingencyTable:
    """Counts the pixels that each pair of instances shares.

    Args:
      truth: (H, W) integer or bool label map, 0 is background; any non-negative ids.
      prediction: (H, W) label map of the same shape; its dtype may differ.

    Returns:
      The table; its size grows with the instances, not with their product.

    Raises:
      ValueError: shapes differ, a map is not (H, W), not of integers, or holds a negative id.

    Example:
      >>> table = contingency_table(np.array([[1, 1, 0]]), np.array([[0, 7, 7]]))
      >>> table.prediction_ids, table.intersections, table.iou
      (array([7]), array([1]), array([0.33333333]))
    """
    truth = _checked(truth, "truth")
    prediction = _checked(prediction, "prediction")
    if truth.shape != prediction.shape:
        raise ValueError(
            f"truth has shape {truth.shape}, prediction {prediction.shape}; "
            "score both at the same resolution"
        )
    truth_ids, truth_ranks, truth_areas = _ranked(truth.ravel())
    prediction_ids, prediction_ranks, prediction_areas = _ranked(prediction.ravel())

    both = (truth_ranks > 0) & (prediction_ranks > 0)
    n_truth, n_prediction = len(truth_ids), len(prediction_ids)
    codes = (truth_ranks[both] - 1) * n_prediction + (prediction_ranks[both] - 1)
    if n_truth * n_prediction <= truth.size:
        counts = np.bincount(codes)
        pairs = np.flatnonzero(counts)
        intersections = counts[pairs]
    else:  # the product table would be larger than the image
        pairs, intersections = np.unique(codes, return_counts=True)
    rows, columns = np.divmod(pairs, max(n_prediction, 1))
    return ContingencyTable(
        truth_ids, truth_areas, prediction_ids, prediction_areas, rows, columns, intersections
    )


def _checked(labels: np.ndarray, name: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise ValueError(f"{name} must be a label map (H, W), got shape {labels.shape}")
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{name} must hold integer ids, got {labels.dtype}; threshold or label it first"
        )
    if labels.size and labels.min() < 0:
        raise ValueError(
            f"{name} holds the negative id {labels.min()}; set ignored pixels to 0 in both maps"
        )
    return labels


def _ranked(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids without background, rank (from 1; 0 is background) of each pixel, area of each id."""
    if labels.size and labels.max() <= max(labels.size, 65535):
        # A lookup table instead of a sort.
        counts = np.bincount(labels.astype(np.int64, copy=False))
        counts[0] = 0
        ids = np.flatnonzero(counts)
        lookup = np.zeros(len(counts), np.int64)
        lookup[ids] = np.arange(1, len(ids) + 1)
        return ids.astype(labels.dtype), lookup[labels], counts[ids]
    ids, ranks, areas = np.unique(labels, return_inverse=True, return_counts=True)
    if ids.size and ids[0] == 0:
        return ids[1:], ranks, areas[1:]
    return ids, ranks + 1, areas
