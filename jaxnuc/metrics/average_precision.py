"""COCO's average precision of instances that come with a confidence."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.contingency import ContingencyTable

# COCO's own numbers: the ninth is one rounding off 0.9, which decides about IoUs of exactly 9/10.
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
_RECALLS = np.linspace(0, 1, 101)


class AveragePrecision(NamedTuple):
    """COCO's figures of a data set; NaN (COCO: -1) where there is no true instance.

    Attributes:
      ap: mean over classes and thresholds of the precision, averaged over 101 recalls.
      ap50: the same at IoU 0.50 only; NaN if that is no threshold.
      ap75: the same at IoU 0.75 only; NaN if that is no threshold.
      ar: mean over classes and thresholds of the recall of all predictions.
      classes: (K,) the classes that occur, ascending; [0] without classes.
      class_ap: (K,) float64, `ap` of each class.
      class_ar: (K,) float64, `ar` of each class.
      precision: (K, T, 101) float64, greatest precision at a recall of 0, 0.01, ... 1 or above.
      recall: (K, T) float64, greatest recall at each threshold.
    """

    ap: float
    ap50: float
    ap75: float
    ar: float
    classes: np.ndarray
    class_ap: np.ndarray
    class_ar: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def average_precision(
    tables: Sequence[ContingencyTable],
    scores: Sequence[np.ndarray],
    *,
    truth_classes: Sequence[np.ndarray] | None = None,
    prediction_classes: Sequence[np.ndarray] | None = None,
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_detections: int | None = None,
    area_range: tuple[float, float] = (0, math.inf),
) -> AveragePrecision:
    """COCO's average precision over a data set.

    In each image, predictions in descending order of their score each take the true instance of
    their class that is still free and has the greatest IoU, of at least the threshold (the last
    one among equal IoUs, as COCO does). Over all images, in descending order of score, this gives
    the curve of precision over recall; its envelope is averaged over 101 recalls.

    Args:
      tables: the overlaps in each image, from `contingency_table` or `overlapping_table`.
      scores: for each image the confidence of each predicted instance, (P,), ascending by id.
      truth_classes: for each image the class of each true instance, (T,) integers, ascending by
        id; None takes all as one class.
      prediction_classes: the same of the predicted instances; both or neither.
      thresholds: IoUs in (0, 1].
      max_detections: only so many predictions of the highest scores count for each image and
        class. COCO's 100 is made for photographs; an image can hold 1000 nuclei, so None: all.
      area_range: least and greatest area in pixels, both included. True instances of another area
        are ignored, with the predictions matched to them and unmatched ones of another area.

    Returns:
      The figures.

    Raises:
      ValueError: numbers of images, scores or classes do not agree, a score is not finite, or a
        threshold is out of range.

    Example:
      >>> from jaxnuc.metrics.contingency import contingency_table
      >>> table = contingency_table(np.array([[1, 1, 0, 2]]), np.array([[1, 1, 3, 2]]))
      >>> found = average_precision([table], [np.array([0.9, 0.5, 0.8])])  # 3 is false
      >>> round(found.ap50, 3), found.ar  # 2/3 beyond a recall of 1/2
      (0.835, 1.0)

    References:
      Lin et al., Microsoft COCO, 2014; the evaluation of its detection challenge.
    """
    if not len(thresholds) or not all(0 < threshold <= 1 for threshold in thresholds):
        raise ValueError(f"thresholds {tuple(thresholds)} must be IoUs in (0, 1], at least one")
    if max_detections is not None and max_detections < 1:
        raise ValueError(f"max_detections is {max_detections}; give 1 or more, or None for all")
    if (truth_classes is None) != (prediction_classes is None):
        raise ValueError("give both truth_classes and prediction_classes, or neither")
    if not len(tables):
        raise ValueError("no tables to score; the data set has no images")
    n_truth = [len(table.truth_ids) for table in tables]
    n_prediction = [len(table.prediction_ids) for table in tables]
    confidences = [
        score.astype(np.float64) for score in _per_instance(scores, n_prediction, "scores")
    ]
    if truth_classes is None or prediction_classes is None:
        of_truth = [np.zeros(n, np.int64) for n in n_truth]
        of_prediction = [np.zeros(n, np.int64) for n in n_prediction]
    else:
        of_truth = _per_instance(truth_classes, n_truth, "truth_classes")
        of_prediction = _per_instance(prediction_classes, n_prediction, "prediction_classes")

    of_images = [
        _outcomes(*image, thresholds, max_detections, area_range)
        for image in zip(tables, confidences, of_truth, of_prediction, strict=True)
    ]
    outcomes = np.concatenate(of_images, axis=1)
    confidence, classes = np.concatenate(confidences), np.concatenate(of_prediction)
    counted = np.concatenate(
        [
            of[_within(table.truth_areas, area_range)]
            for table, of in zip(tables, of_truth, strict=True)
        ]
    )
    names = np.unique(np.concatenate([*of_truth, *of_prediction]))
    curves = [
        _curve(outcomes[:, classes == name], confidence[classes == name], (counted == name).sum())
        for name in names
    ]
    n = len(thresholds)
    precision = np.array([curve[0] for curve in curves]).reshape(-1, n, len(_RECALLS))
    recall = np.array([curve[1] for curve in curves]).reshape(-1, n)
    at = {t: np.isclose(thresholds, t, rtol=0, atol=1e-9) for t in (0.5, 0.75)}
    return AveragePrecision(
        ap=_mean(precision),
        ap50=_mean(precision[:, at[0.5]]),
        ap75=_mean(precision[:, at[0.75]]),
        ar=_mean(recall),
        classes=names,
        # A class is defined at all thresholds or at none.
        class_ap=precision.mean(axis=(1, 2)),
        class_ar=recall.mean(axis=1),
        precision=precision,
        recall=recall,
    )


def _outcomes(
    table: ContingencyTable,
    score: np.ndarray,
    of_truth: np.ndarray,
    of_prediction: np.ndarray,
    thresholds: Sequence[float],
    max_detections: int | None,
    area_range: tuple[float, float],
) -> np.ndarray:
    """(T, P) int8: each prediction of an image is right (1), false (-1) or not counted (0)."""
    ranks = np.empty(len(score), np.int64)
    ranks[np.argsort(-score, kind="stable")] = np.arange(len(score))
    kept = _rank_in_class(ranks, of_prediction) < (max_detections or math.inf)
    eligible = kept[table.columns] & (of_truth[table.rows] == of_prediction[table.columns])
    iou = np.where(eligible, table.iou, 0)
    truth_within = _within(table.truth_areas, area_range)
    alone = np.where(_within(table.prediction_areas, area_range), -1, 0)
    outcomes = np.zeros((len(thresholds), len(score)), np.int8)
    for outcome, threshold in zip(outcomes, thresholds, strict=True):
        partner = _greedy(table, iou, ranks, truth_within, threshold)
        matched = partner >= 0
        outcome[:] = alone
        outcome[matched] = truth_within[partner[matched]]
    outcomes[:, ~kept] = 0
    return outcomes


def _greedy(
    table: ContingencyTable,
    iou: np.ndarray,
    ranks: np.ndarray,
    truth_within: np.ndarray,
    threshold: float,
) -> np.ndarray:
    """(P,) row of the true instance that each prediction takes, or -1."""
    # COCO's guard for a threshold of 1.
    pairs = np.flatnonzero(iou >= min(threshold, 1 - 1e-10))
    rows, columns = table.rows[pairs], table.columns[pairs]
    partner = np.full(len(ranks), -1, np.int64)
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    partner[columns[alone]] = rows[alone]
    # What competes is gone through one by one; instances that are not counted come last.
    rows, columns, iou = rows[~alone], columns[~alone], iou[pairs][~alone]
    order = np.lexsort((-rows, -iou, ~truth_within[rows], ranks[columns]))
    taken = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if partner[column] < 0 and row not in taken:
            partner[column] = row
            taken.add(row)
    return partner


def _curve(outcomes: np.ndarray, score: np.ndarray, n_true: int) -> tuple[np.ndarray, np.ndarray]:
    """Of one class: (T, 101) precision at each recall, and (T,) the greatest recall."""
    n_thresholds = len(outcomes)
    if not n_true:
        return np.full((n_thresholds, len(_RECALLS)), np.nan), np.full(n_thresholds, np.nan)
    if not score.size:
        return np.zeros((n_thresholds, len(_RECALLS))), np.zeros(n_thresholds)
    outcomes = outcomes[:, np.argsort(-score, kind="stable")]
    right = np.cumsum(outcomes == 1, axis=1)
    false = np.cumsum(outcomes == -1, axis=1)
    recall = right / n_true
    precision = right / np.maximum(right + false, 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.append(envelope, np.zeros((n_thresholds, 1)), axis=1)  # beyond the last recall
    reached = [np.searchsorted(of_threshold, _RECALLS) for of_threshold in recall]
    return np.take_along_axis(envelope, np.array(reached), axis=1), recall[:, -1]


def _rank_in_class(ranks: np.ndarray, classes: np.ndarray) -> np.ndarray:
    order = np.lexsort((ranks, classes))
    first = np.searchsorted(classes[order], classes[order])
    result = np.empty(len(ranks), np.int64)
    result[order] = np.arange(len(ranks)) - first
    return result


def _within(areas: np.ndarray, area_range: tuple[float, float]) -> np.ndarray:
    return (areas >= area_range[0]) & (areas <= area_range[1])


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def _per_instance(
    values: Sequence[np.ndarray], sizes: Sequence[int], name: str
) -> list[np.ndarray]:
    """One array per image, with a finite number for each instance."""
    if len(values) != len(sizes):
        raise ValueError(f"{name} of {len(values)} images for {len(sizes)} tables; give one each")
    arrays = [np.asarray(of_image) for of_image in values]
    for n, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
        if array.shape != (size,):
            raise ValueError(
                f"{name} of image {n} have shape {array.shape} for {size} instances; give one each"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name} of image {n} hold a number that is not finite")
    return arrays
