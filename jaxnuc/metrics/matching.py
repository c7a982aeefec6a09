"""Which predicted instance belongs to which true one."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from jaxnuc.metrics.contingency import ContingencyTable, contingency_table


class Matches(NamedTuple):
    """Ids of the instances that were found, missed and made up.

    Attributes:
      truth: (M,) true ids that were found, ascending.
      prediction: (M,) the predicted id of each.
      iou: (M,) float64, their intersection over union.
      missed: (T - M,) true ids without a match, ascending.
      false: (P - M,) predicted ids without a match, ascending.
    """

    truth: np.ndarray
    prediction: np.ndarray
    iou: np.ndarray
    missed: np.ndarray
    false: np.ndarray


def match(truth: np.ndarray, prediction: np.ndarray, threshold: float = 0.5) -> Matches:
    """Matches instances one to one at an IoU above `threshold`.

    Args:
      truth: (H, W) integer label map, 0 is background.
      prediction: (H, W) integer label map.
      threshold: in [0, 1); an IoU of exactly the threshold is no match.

    Returns:
      The matched, the missed and the false ids.

    Raises:
      ValueError: the maps are no label maps of one shape, or the threshold is out of range.

    Example:
      >>> found = match(np.array([[1, 1, 1, 0, 2]]), np.array([[0, 5, 5, 9, 0]]))
      >>> found.truth, found.prediction, found.missed, found.false
      (array([1]), array([5]), array([2]), array([9]))
    """
    table = contingency_table(truth, prediction)
    pairs = pairs_above(table, threshold)
    rows, columns = table.rows[pairs], table.columns[pairs]
    return Matches(
        truth=table.truth_ids[rows],
        prediction=table.prediction_ids[columns],
        iou=table.iou[pairs],
        missed=np.delete(table.truth_ids, rows),
        false=np.delete(table.prediction_ids, columns),
    )


def pairs_above(table: ContingencyTable, threshold: float) -> np.ndarray:
    """The true positives: one-to-one pairs with an IoU strictly above the threshold.

    From 1/2 on such pairs are unique by themselves. Below, the pairs of the assignment with the
    greatest total IoU are thresholded afterwards, as in HoVer-Net's evaluation.

    Args:
      table: the overlaps of two label maps.
      threshold: in [0, 1).

    Returns:
      (M,) int64 indices into the table's pairs, ascending.

    Raises:
      ValueError: the threshold is out of range.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold {threshold} is not an IoU in [0, 1)")
    above = table.iou > threshold
    if threshold >= 0.5:
        return np.flatnonzero(above)
    pairs = optimal_pairs(table)
    return pairs[above[pairs]]


def optimal_pairs(table: ContingencyTable) -> np.ndarray:
    """The one-to-one assignment with the greatest total IoU, by a sparse Hungarian method.

    Args:
      table: the overlaps of two label maps.

    Returns:
      (M,) int64 indices into the table's pairs, ascending. Where several assignments have the same
      total, which one is taken depends on the order of the ids.
    """
    truth_degree = np.bincount(table.rows, minlength=len(table.truth_ids))
    prediction_degree = np.bincount(table.columns, minlength=len(table.prediction_ids))
    alone = (truth_degree[table.rows] == 1) & (prediction_degree[table.columns] == 1)
    contested = np.flatnonzero(~alone)
    if not contested.size:
        return np.flatnonzero(alone)

    rows = np.unique(table.rows[contested], return_inverse=True)[1]
    columns = np.unique(table.columns[contested], return_inverse=True)[1]
    n_rows, n_columns = rows.max() + 1, columns.max() + 1
    # Each truth also gets a partner of its own at IoU 0, so that a full matching exists. Costs are
    # 2 - IoU because a stored 0 is no edge; as every truth is matched once, the 2 changes nothing.
    own = np.arange(n_rows)
    costs = csr_array(
        (
            np.concatenate([2 - table.iou[contested], np.full(n_rows, 2.0)]),
            (np.concatenate([rows, own]), np.concatenate([columns, n_columns + own])),
        ),
        shape=(n_rows, n_columns + n_rows),
    )
    partner = min_weight_full_bipartite_matching(costs)[1]
    return np.sort(np.append(np.flatnonzero(alone), contested[partner[rows] == columns]))


def best_pairs(table: ContingencyTable) -> np.ndarray:
    """For each true instance with any overlap, its pair of the greatest IoU.

    Args:
      table: the overlaps of two label maps.

    Returns:
      (M,) int64 indices into the table's pairs, ascending; a prediction may occur several times.
      Among equal IoUs the lowest predicted id is taken.
    """
    order = np.lexsort((table.columns, -table.iou, table.rows))
    return order[np.unique(table.rows[order], return_index=True)[1]]
