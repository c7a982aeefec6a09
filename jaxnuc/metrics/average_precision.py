"""COCO's average precision of instances that come with a confidence."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.contingency import ContingencyTable
from jaxnuc.metrics.panoptic import mean

# COCO's own numbers: the ninth is one rounding off 0.9, which decides about IoUs of exactly 9/10.
COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
_RECALLS = np.linspace(0, 1, 101)


class AveragePrecision(NamedTuple):
    """COCO's figures of a data set; NaN (COCO: -1) where there is no true instance.

    Attributes:
      classes: (K,) the classes that occur, ascending; [0] without classes.
      precision: (K, 10, 101) float64, greatest precision at a recall of 0, 0.01, ... 1 or above.
      recall: (K, 10) float64, greatest recall at each threshold.
    """

    classes: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @property
    def ap(self) -> float:
        """Mean over classes and thresholds of the precision, averaged over 101 recalls."""
        return float(mean(self.precision.ravel()))

    @property
    def ap50(self) -> float:
        """The same at IoU 0.50 only."""
        return float(mean(self.precision[:, 0].ravel()))

    @property
    def ap75(self) -> float:
        """The same at IoU 0.75 only."""
        return float(mean(self.precision[:, 5].ravel()))

    @property
    def ar(self) -> float:
        """Mean over classes and thresholds of the recall of all predictions."""
        return float(mean(self.recall.ravel()))


def average_precision(
    tables: Sequence[ContingencyTable],
    scores: Sequence[np.ndarray],
    *,
    truth_classes: Sequence[np.ndarray] | None = None,
    prediction_classes: Sequence[np.ndarray] | None = None,
) -> AveragePrecision:
    """COCO's average precision over a data set.

    In each image, predictions in descending order of their score each take the true instance of
    their class that is still free and has the greatest IoU, of at least the threshold (the last
    one among equal IoUs, as COCO does). Over all images, in descending order of score, this gives
    the curve of precision over recall; its envelope is averaged over 101 recalls. All predictions
    count: COCO's 100 an image is made for photographs, and an image can hold 1000 nuclei.

    Args:
      tables: the overlaps in each image, from `contingency_table` or `overlapping_table`.
      scores: for each image the confidence of each predicted instance, (P,), ascending by id.
      truth_classes: for each image the class of each true instance, (T,) integers, ascending by
        id; None takes all as one class.
      prediction_classes: the same of the predicted instances; both or neither.

    Raises:
      ValueError: numbers of images, scores or classes do not agree, or a score is not finite.

    Example:
      >>> from jaxnuc.metrics.contingency import contingency_table
      >>> table = contingency_table(np.array([[1, 1, 0, 2]]), np.array([[1, 1, 3, 2]]))
      >>> found = average_precision([table], [np.array([0.9, 0.5, 0.8])])  # 3 is false
      >>> round(found.ap50, 3), found.ar  # 2/3 beyond a recall of 1/2
      (0.835, 1.0)

    References:
      Lin et al., Microsoft COCO, 2014; the evaluation of its detection challenge.
    """
    if (truth_classes is None) != (prediction_classes is None):
        raise ValueError("give both truth_classes and prediction_classes, or neither")
    if not len(tables):
        raise ValueError("no tables to score; the data set has no images")
    n_truth = [len(table.truth_ids) for table in tables]
    n_prediction = [len(table.prediction_ids) for table in tables]
    confidences = [s.astype(np.float64) for s in _per_instance(scores, n_prediction, "scores")]
    if truth_classes is None or prediction_classes is None:
        of_truth = [np.zeros(n, np.int64) for n in n_truth]
        of_prediction = [np.zeros(n, np.int64) for n in n_prediction]
    else:
        of_truth = _per_instance(truth_classes, n_truth, "truth_classes")
        of_prediction = _per_instance(prediction_classes, n_prediction, "prediction_classes")

    images = zip(tables, confidences, of_truth, of_prediction, strict=True)
    outcomes = np.concatenate([_outcomes(*image) for image in images], axis=1)
    confidence, classes = np.concatenate(confidences), np.concatenate(of_prediction)
    true = np.concatenate(of_truth)
    names = np.unique(np.concatenate([true, classes]))
    curves = [
        _curve(outcomes[:, classes == name], confidence[classes == name], (true == name).sum())
        for name in names
    ]
    precision = np.array([curve[0] for curve in curves]).reshape(-1, len(COCO_THRESHOLDS), 101)
    recall = np.array([curve[1] for curve in curves]).reshape(-1, len(COCO_THRESHOLDS))
    return AveragePrecision(names, precision, recall)


def _outcomes(
    table: ContingencyTable,
    score: np.ndarray,
    of_truth: np.ndarray,
    of_prediction: np.ndarray,
) -> np.ndarray:
    """(10, P) bool: whether each prediction of an image is right."""
    ranks = np.empty(len(score), np.int64)
    ranks[np.argsort(-score, kind="stable")] = np.arange(len(score))
    iou = np.where(of_truth[table.rows] == of_prediction[table.columns], table.iou, 0)
    outcomes = np.zeros((len(COCO_THRESHOLDS), len(score)), bool)
    for right, threshold in zip(outcomes, COCO_THRESHOLDS, strict=True):
        pairs = np.flatnonzero(iou >= threshold)
        rows, columns = table.rows[pairs], table.columns[pairs]
        alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
        right[columns[alone]] = True
        # What competes is gone through one by one.
        rows, columns = rows[~alone], columns[~alone]
        order = np.lexsort((-rows, -iou[pairs][~alone], ranks[columns]))
        taken = set()
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
            if not right[column] and row not in taken:
                right[column] = True
                taken.add(row)
    return outcomes


def _curve(outcomes: np.ndarray, score: np.ndarray, n_true: int) -> tuple[np.ndarray, np.ndarray]:
    """Of one class: (T, 101) precision at each recall, and (T,) the greatest recall."""
    n_thresholds = len(outcomes)
    if not n_true:
        return np.full((n_thresholds, len(_RECALLS)), np.nan), np.full(n_thresholds, np.nan)
    if not score.size:
        return np.zeros((n_thresholds, len(_RECALLS))), np.zeros(n_thresholds)
    outcomes = outcomes[:, np.argsort(-score, kind="stable")]
    right = np.cumsum(outcomes, axis=1)
    recall = right / n_true
    precision = right / np.arange(1, score.size + 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.append(envelope, np.zeros((n_thresholds, 1)), axis=1)  # beyond the last recall
    reached = [np.searchsorted(of_threshold, _RECALLS) for of_threshold in recall]
    return np.take_along_axis(envelope, np.array(reached), axis=1), recall[:, -1]


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
