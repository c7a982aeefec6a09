"""Which predicted instance belongs to which true one."""

from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.assignment import assign
from jaxnuc.metrics.contingency import ContingencyTable, contingency_table
from jaxnuc.metrics.conventions import MATCHINGS, Conventions
from jaxnuc.registry import unknown


class Matches(NamedTuple):
    """Ids of matched, missed and false instances.

    Attributes:
      truth: (M,) true ids with a match, ascending.
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


def match(
    truth: np.ndarray,
    prediction: np.ndarray,
    threshold: float = 0.5,
    *,
    inclusive: bool = False,
    matching: str = "iou",
) -> Matches:
    """Matches instances one to one at an IoU above `threshold`; see `pairs_above`.

    Args:
      truth: (H, W) integer label map, 0 is background.
      prediction: (H, W) of the same shape.
      threshold: an IoU.
      inclusive: whether an IoU of exactly the threshold is a match.
      matching: `"iou"` or `"count"`.

    Raises:
      ValueError: the maps are no label maps of one shape, the threshold is out of range, or
        `matching` is unknown.

    Example:
      >>> found = match(np.array([[1, 1, 1, 0, 2]]), np.array([[0, 5, 5, 9, 0]]))
      >>> found.truth, found.prediction, found.missed, found.false
      (array([1]), array([5]), array([2]), array([9]))
    """
    table = contingency_table(truth, prediction)
    pairs = pairs_above(table, threshold, inclusive=inclusive, matching=matching)
    rows, columns = table.rows[pairs], table.columns[pairs]
    return Matches(
        truth=table.truth_ids[rows],
        prediction=table.prediction_ids[columns],
        iou=table.iou[pairs],
        missed=np.delete(table.truth_ids, rows),
        false=np.delete(table.prediction_ids, columns),
    )


def matched_pairs(table: ContingencyTable, conventions: Conventions) -> np.ndarray:
    """(M,) int64 indices of the table's pairs that match by the conventions: see `pairs_above`."""
    c = conventions
    return pairs_above(table, c.threshold, inclusive=c.inclusive, matching=c.matching)


def pairs_above(
    table: ContingencyTable, threshold: float, *, inclusive: bool = False, matching: str = "iou"
) -> np.ndarray:
    """The true positives: one-to-one pairs with an IoU above the threshold.

    In label maps, pairs with an IoU above 1/2 are unique by themselves, and every rule gives the
    same. At 1/2 and below, and where instances overlap, a rule must choose an assignment:

    * `"iou"`: that with the greatest total IoU (HoVer-Net's evaluation);
    * `"count"`: one with as many pairs that reach the threshold as possible, and of those the one
      with the greatest total IoU (StarDist's evaluation).

    Below 1/2, the assignment and its total are over all pairs that overlap, and those that do not
    reach the threshold are dropped afterwards, as both do; from 1/2 on, over those that reach it.

    Args:
      table: the overlaps of two sets of instances.
      threshold: in [0, 1) for a strict comparison, in (0, 1] for an inclusive one.
      inclusive: `IoU >= threshold` (StarDist, COCO) instead of `IoU > threshold` (HoVer-Net, PQ).
      matching: `"iou"` or `"count"`.

    Returns:
      (M,) int64 indices into the table's pairs, ascending.

    Raises:
      ValueError: the threshold is out of range, or `matching` is unknown.
    """
    if matching not in MATCHINGS:
        raise unknown("matching", matching, MATCHINGS)
    if not (0 < threshold <= 1 if inclusive else 0 <= threshold < 1):
        interval = "(0, 1] for >=" if inclusive else "[0, 1) for >"
        raise ValueError(f"threshold {threshold} is not an IoU in {interval}")
    iou = table.iou
    above = iou >= threshold if inclusive else iou > threshold
    pairs = np.arange(len(iou)) if threshold < 0.5 else np.flatnonzero(above)
    counted = above[pairs] if matching == "count" else None
    pairs = pairs[assign(table.rows[pairs], table.columns[pairs], iou[pairs], counted)]
    return pairs[above[pairs]]


def best_pairs(table: ContingencyTable) -> np.ndarray:
    """(M,) int64 ascending indices: of each true instance the pair of the greatest IoU.

    A prediction may occur several times. Among equal IoUs the lowest predicted id is taken.
    """
    order = np.lexsort((table.columns, -table.iou, table.rows))
    return order[np.unique(table.rows[order], return_index=True)[1]]
