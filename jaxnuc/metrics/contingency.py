"""One sparse table of overlaps per image, from which every metric is computed."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ContingencyTable:
    """The areas of two sets of instances and the pairs of instances that overlap.

    Attributes:
      truth_ids: (T,) ids in the true map, ascending, without the background.
      truth_areas: (T,) int64, pixels.
      prediction_ids: (P,) ids in the predicted map, ascending, without the background.
      prediction_areas: (P,) int64, pixels.
      rows: (N,) int64, position in `truth_ids` of each pair that shares a pixel.
      columns: (N,) int64, position in `prediction_ids`; pairs are sorted by row, then column.
      intersections: (N,) int64, shared pixels, at least 1.
      truth_pixels: pixels that belong to any true instance.
      prediction_pixels: pixels that belong to any predicted instance.
      shared_pixels: pixels that belong to both. Of label maps, the three are the sums of the areas
        and intersections; of instances that overlap, less.
    """

    truth_ids: np.ndarray
    truth_areas: np.ndarray
    prediction_ids: np.ndarray
    prediction_areas: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    intersections: np.ndarray
    truth_pixels: int
    prediction_pixels: int
    shared_pixels: int

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

    The size of the table grows with the instances, not with their product.

    Args:
      truth: (H, W) integer or bool label map, 0 is background; any non-negative ids.
      prediction: (H, W) of the same shape.

    Raises:
      ValueError: shapes differ, a map is not (H, W), not of integers, or holds a negative id.

    Example:
      >>> table = contingency_table(np.array([[1, 1, 0]]), np.array([[0, 7, 7]]))
      >>> table.prediction_ids, table.intersections, table.iou
      (array([7]), array([1]), array([0.33333333]))
    """
    truth = _label_map(truth, "truth")
    prediction = _label_map(prediction, "prediction")
    if truth.shape != prediction.shape:
        raise ValueError(
            f"truth has shape {truth.shape}, prediction {prediction.shape}; "
            "score both at the same resolution"
        )
    # Only the first pixel of each run along the rows, in which neither map changes, is looked at
    # again: some 20 times fewer than the pixels of a natural image.
    truth, prediction = truth.ravel(), prediction.ravel()
    changes = (truth[1:] != truth[:-1]) | (prediction[1:] != prediction[:-1])
    starts = np.flatnonzero(changes) + 1
    if truth.size:
        starts = np.insert(starts, 0, 0)
    lengths = np.diff(starts, append=truth.size)
    truth_ids, truth_ranks, truth_areas = _ranked(truth[starts], lengths, "truth")
    prediction_ids, prediction_ranks, prediction_areas = _ranked(
        prediction[starts], lengths, "prediction"
    )
    both = np.flatnonzero((truth_ranks > 0) & (prediction_ranks > 0))
    width = max(len(prediction_ids), 1)
    codes = (truth_ranks[both] - 1) * width + (prediction_ranks[both] - 1)
    pairs, intersections = _sums(codes, lengths[both], len(truth_ids) * width)
    rows, columns = np.divmod(pairs, width)
    return ContingencyTable(
        truth_ids=truth_ids,
        truth_areas=truth_areas,
        prediction_ids=prediction_ids,
        prediction_areas=prediction_areas,
        rows=rows,
        columns=columns,
        intersections=intersections,
        truth_pixels=int(truth_areas.sum()),
        prediction_pixels=int(prediction_areas.sum()),
        shared_pixels=int(intersections.sum()),
    )


def _label_map(labels: np.ndarray, name: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise ValueError(f"{name} must be a label map (H, W), got shape {labels.shape}")
    if labels.dtype != bool and not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{name} must hold integer ids, got {labels.dtype}; threshold or label it first"
        )
    return labels


def _ranked(
    labels: np.ndarray, lengths: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids without background, rank (from 1; 0 is background) of each run, area of each id."""
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if labels.size and labels.min() < 0:
        raise ValueError(
            f"{name} holds the negative id {labels.min()}; set ignored pixels to 0 in both maps"
        )
    ids, areas = _sums(labels, lengths, int(labels.max(initial=0)) + 1)
    if ids.size and ids[0] == 0:
        ids, areas = ids[1:], areas[1:]
    if ids.size and ids[-1] <= max(4 * labels.size, 65535):
        lookup = np.zeros(int(ids[-1]) + 1, np.int64)
        lookup[ids] = np.arange(1, len(ids) + 1)
        return ids, lookup[labels], areas
    return ids, np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0), areas


def _sums(keys: np.ndarray, lengths: np.ndarray, bound: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys, ascending, and the int64 sum of the lengths of each; keys < bound."""
    if bound <= max(16 * keys.size, 65536):
        # A table of all keys instead of a sort. Weights add up as float64: exact below 2**53.
        counts = np.bincount(keys.astype(np.int64, copy=False), lengths)
        distinct = np.flatnonzero(counts)
        return distinct.astype(keys.dtype), counts[distinct].astype(np.int64)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: keys.size])
    return keys[first], np.add.reduceat(lengths[order], first)
