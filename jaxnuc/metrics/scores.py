"""The scores of one image, and of a data set."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.contingency import ContingencyTable, contingency_table
from jaxnuc.metrics.matching import best_pairs, optimal_pairs, pairs_above
from jaxnuc.registry import unknown

_EMPTY = {"skip": math.nan, "one": 1.0, "zero": 0.0}
_METRICS = ("dice", "iou", "aji", "aji_plus", "dq", "sq", "pq")


class Scores(NamedTuple):
    """The scores of one image, all in [0, 1], and the counts that pool over a data set.

    Attributes:
      dice: F1 of the foreground pixels.
      iou: intersection over union of the foreground pixels.
      aji: aggregated Jaccard index.
      aji_plus: the same over a one-to-one assignment.
      dq: detection quality, F1 of the instances.
      sq: segmentation quality, mean IoU of the matched instances; 0 if none is matched.
      pq: panoptic quality, dq * sq.
      pixel_tp, pixel_fp, pixel_fn: foreground pixels that are right, made up, missed.
      tp, fp, fn: instances that are matched, made up, missed.
      iou_sum: sum of the IoU of the matched instances.
    """

    dice: float
    iou: float
    aji: float
    aji_plus: float
    dq: float
    sq: float
    pq: float
    pixel_tp: int
    pixel_fp: int
    pixel_fn: int
    tp: int
    fp: int
    fn: int
    iou_sum: float


def score(
    truth: np.ndarray, prediction: np.ndarray, threshold: float = 0.5, empty: str = "skip"
) -> Scores:
    """Scores a predicted label map against the true one.

    Dice and IoU compare foreground with background. AJI gives each true instance the prediction
    of the greatest IoU (several may take the same one; the lowest id wins a tie) and adds what is
    left over on both sides to the union; AJI+ takes the one-to-one assignment of the greatest
    total IoU instead. PQ counts one-to-one matches with an IoU strictly above `threshold`.

    No epsilon is added anywhere: identical maps score exactly 1. If only one of the two maps is
    empty, every score is 0.

    Args:
      truth: (H, W) integer or bool label map, 0 is background; any non-negative ids.
      prediction: (H, W) label map of the same shape; its dtype may differ.
      threshold: IoU in [0, 1) above which instances match. Below 1/2 the matches are those of the
        assignment of the greatest total IoU.
      empty: the scores if both maps are empty: `"skip"` NaN, `"one"` 1, `"zero"` 0.

    Returns:
      The scores as Python floats, and the counts.

    Raises:
      ValueError: the maps are no label maps of one shape, the threshold is out of range, or
        `empty` is unknown.

    Example:
      >>> scores = score(np.array([[1, 1, 1, 0, 2]]), np.array([[0, 5, 5, 9, 0]]))
      >>> scores.dice, scores.aji, scores.tp, scores.fp, scores.fn
      (0.5714285714285714, 0.4, 1, 1, 1)

    References:
      AJI: Kumar et al., A Dataset and a Technique for Generalized Nuclear Segmentation for
      Computational Pathology, 2017. AJI+: Graham et al., HoVer-Net, 2019. PQ: Kirillov et al.,
      Panoptic Segmentation, 2019.
    """
    if empty not in _EMPTY:
        raise unknown("rule for empty images", empty, _EMPTY)
    table = contingency_table(truth, prediction)
    pairs = pairs_above(table, threshold)
    iou_sum = float(table.iou[pairs].sum())
    tp, pixel_tp = len(pairs), int(table.intersections.sum())
    fp, fn = len(table.prediction_ids) - tp, len(table.truth_ids) - tp
    pixel_fp = int(table.prediction_areas.sum()) - pixel_tp
    pixel_fn = int(table.truth_areas.sum()) - pixel_tp

    if not table.truth_ids.size and not table.prediction_ids.size:
        dice = iou = aji = aji_plus = dq = sq = pq = _EMPTY[empty]
    else:
        dice, iou = _dice_iou(pixel_tp, pixel_fp, pixel_fn)
        aji = _aggregated_jaccard_index(table, best_pairs(table))
        aji_plus = _aggregated_jaccard_index(table, optimal_pairs(table))
        dq, sq, pq = _panoptic_quality(tp, fp, fn, iou_sum)
    pixels = (pixel_tp, pixel_fp, pixel_fn)
    return Scores(dice, iou, aji, aji_plus, dq, sq, pq, *pixels, tp, fp, fn, iou_sum)


def summarize(scores: Sequence[Scores]) -> dict[str, float]:
    """The figures of a data set, each under a name that says how it was aggregated.

    Two aggregations are given, because published figures use either:

    * `<metric>_image_mean`: the plain mean of the images' scores (dice, iou, aji, aji_plus, dq,
      sq, pq). Images whose scores are NaN (both maps empty, `empty="skip"`) are left out; under
      `"one"` and `"zero"` they count with that value.
    * `<metric>_pooled`: computed once from the counts summed over all images: dice and iou from
      pixels, dq, sq and pq from instances. Images without any nucleus in either map add nothing,
      whatever the rule. AJI has no pooled form here.

    A figure that nothing contributes to is NaN.

    Args:
      scores: what `score` returned, one per image, all with the same threshold and rule.

    Returns:
      The figures, and `images` (how many were given) and `images_skipped` (left out of the means).

    Raises:
      ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("no scores to summarize; the data set has no images")
    used = [s for s in scores if not math.isnan(s.dice)]
    means = (
        np.mean([s[: len(_METRICS)] for s in used], axis=0) if used else [math.nan] * len(_METRICS)
    )
    figures = {f"{name}_image_mean": float(m) for name, m in zip(_METRICS, means, strict=True)}

    dice, iou = _dice_iou(
        sum(s.pixel_tp for s in scores),
        sum(s.pixel_fp for s in scores),
        sum(s.pixel_fn for s in scores),
    )
    dq, sq, pq = _panoptic_quality(
        sum(s.tp for s in scores),
        sum(s.fp for s in scores),
        sum(s.fn for s in scores),
        math.fsum(s.iou_sum for s in scores),
    )
    figures |= {"dice_pooled": dice, "iou_pooled": iou}
    figures |= {"dq_pooled": dq, "sq_pooled": sq, "pq_pooled": pq}
    return figures | {"images": len(scores), "images_skipped": len(scores) - len(used)}


def _dice_iou(tp: int, fp: int, fn: int) -> tuple[float, float]:
    if not tp + fp + fn:
        return math.nan, math.nan
    return 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn)


def _panoptic_quality(tp: int, fp: int, fn: int, iou_sum: float) -> tuple[float, float, float]:
    if not tp + fp + fn:
        return math.nan, math.nan, math.nan
    dq = tp / (tp + fp / 2 + fn / 2)
    sq = iou_sum / tp if tp else 0.0
    return dq, sq, dq * sq


def _aggregated_jaccard_index(table: ContingencyTable, pairs: np.ndarray) -> float:
    """Kumar et al. 2017: paired intersections over paired unions and all unpaired areas."""
    unpaired_truth = np.delete(table.truth_areas, table.rows[pairs])
    unpaired_prediction = np.delete(table.prediction_areas, table.columns[pairs])
    union = table.unions[pairs].sum() + unpaired_truth.sum() + unpaired_prediction.sum()
    return float(table.intersections[pairs].sum() / union)
