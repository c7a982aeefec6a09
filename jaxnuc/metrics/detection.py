"""Detection scores at IoU thresholds, in StarDist's form."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxnuc.metrics.contingency import ContingencyTable
from jaxnuc.metrics.conventions import EMPTY
from jaxnuc.metrics.matching import pairs_above
from jaxnuc.registry import unknown

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class Detection(NamedTuple):
    """Detection scores of an image or a data set at one IoU threshold.

    Attributes:
      threshold: IoU that a pair must reach.
      tp, fp, fn: matched, false and missed instances.
      iou_sum: sum of the IoU of the matched pairs.
      precision, recall: tp / (tp + fp), tp / (tp + fn).
      f1: 2 tp / (2 tp + fp + fn).
      accuracy: tp / (tp + fp + fn), often called average precision (AP) at this threshold.
      mean_true_score: iou_sum / (tp + fn), the mean IoU of the true instances, missed ones as 0.
      mean_matched_score: iou_sum / tp.
      panoptic_quality: iou_sum / (tp + fp / 2 + fn / 2).
    """

    threshold: float
    tp: int
    fp: int
    fn: int
    iou_sum: float
    precision: float
    recall: float
    f1: float
    accuracy: float
    mean_true_score: float
    mean_matched_score: float
    panoptic_quality: float

    @property
    def n_true(self) -> int:
        """True instances."""
        return self.tp + self.fn

    @property
    def n_pred(self) -> int:
        """Predicted instances."""
        return self.tp + self.fp


_RATIOS = Detection._fields[5:]


def detections(
    table: ContingencyTable,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    inclusive: bool = True,
    matching: str = "count",
    empty: str = "skip",
) -> tuple[Detection, ...]:
    """The detection scores of one image at each of several thresholds, in the order given.

    The defaults are StarDist's: a pair matches at an IoU of the threshold or above, and of all
    one-to-one assignments that with the most such pairs is taken, then that of the greatest total
    IoU. A ratio of which only the own denominator is 0 is 0.

    Args:
      table: the overlaps of the image's true and predicted instances.
      thresholds: IoUs; see `pairs_above`.
      inclusive: False for `IoU > threshold`.
      matching: `"iou"` or `"count"`; see `pairs_above`.
      empty: all ratios of an image without instances on both sides: `"skip"` or `"nan"` NaN,
        `"one"` 1, `"zero"` 0 (StarDist).

    Raises:
      ValueError: a threshold is out of range, or `matching` or `empty` is unknown.

    Example:
      >>> import numpy as np
      >>> from jaxnuc.metrics.contingency import contingency_table
      >>> table = contingency_table(np.array([[1, 1, 0, 2]]), np.array([[1, 0, 3, 2]]))
      >>> [(found.tp, found.fp, found.fn) for found in detections(table, (0.5, 0.75))]
      [(2, 1, 0), (1, 2, 1)]

    References:
      Schmidt et al., Cell Detection with Star-convex Polygons, 2018.
    """
    if empty not in EMPTY:
        raise unknown("rule for empty images", empty, EMPTY)
    n_true, n_pred, iou = len(table.truth_ids), len(table.prediction_ids), table.iou
    found = []
    for threshold in thresholds:
        pairs = pairs_above(table, threshold, inclusive=inclusive, matching=matching)
        found.append(_record(threshold, len(pairs), n_true, n_pred, float(iou[pairs].sum()), empty))
    return tuple(found)


def aggregate_detections(
    images: Sequence[Sequence[Detection]], *, by_image: bool = False, empty: str = "skip"
) -> tuple[Detection, ...]:
    """The detection scores of a data set at each threshold.

    Args:
      images: what `detections` returned, one per image, all with the same thresholds.
      by_image: the ratios are the means of those of the images, instead of those of the counts
        summed over all images. Counts are sums either way.
      empty: the ratios of images without instances on both sides, which matter `by_image` only:
        `"skip"` leaves them out, `"nan"` makes the means NaN, `"one"` and `"zero"` (StarDist)
        count them so. Also of a data set without any instance.

    Raises:
      ValueError: there are no images, their thresholds differ, or `empty` is unknown.
    """
    if empty not in EMPTY:
        raise unknown("rule for empty images", empty, EMPTY)
    if not images:
        raise ValueError("no detections to aggregate; the data set has no images")
    thresholds = [found.threshold for found in images[0]]
    for image in images:
        if [found.threshold for found in image] != thresholds:
            raise ValueError(
                f"thresholds {thresholds} of the first image, "
                f"{[found.threshold for found in image]} of another; score all images alike"
            )
    result = []
    for records in zip(*images, strict=True):
        tp, n_true, n_pred = (
            sum(getattr(r, field) for r in records) for field in ("tp", "n_true", "n_pred")
        )
        iou_sum = math.fsum(r.iou_sum for r in records)
        pooled = _record(records[0].threshold, tp, n_true, n_pred, iou_sum, empty)
        used = [r for r in records if r.n_true or r.n_pred or empty != "skip"]
        if by_image and used:
            means: dict[str, Any] = {}
            for name in _RATIOS:
                each = (getattr(r, name) if r.n_true or r.n_pred else EMPTY[empty] for r in used)
                means[name] = math.fsum(each) / len(used)
            pooled = pooled._replace(**means)
        result.append(pooled)
    return tuple(result)


def _record(
    threshold: float, tp: int, n_true: int, n_pred: int, iou_sum: float, empty: str
) -> Detection:
    fp, fn = n_pred - tp, n_true - tp

    def ratio(part: float, whole: float) -> float:
        return EMPTY[empty] if not n_true and not n_pred else part / whole if whole else 0.0

    return Detection(
        threshold=float(threshold),
        tp=tp,
        fp=fp,
        fn=fn,
        iou_sum=iou_sum,
        precision=ratio(tp, n_pred),
        recall=ratio(tp, n_true),
        f1=ratio(2 * tp, n_true + n_pred),
        accuracy=ratio(tp, tp + fp + fn),
        mean_true_score=ratio(iou_sum, n_true),
        mean_matched_score=ratio(iou_sum, tp),
        panoptic_quality=ratio(2 * iou_sum, n_true + n_pred),
    )
