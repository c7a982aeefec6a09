"""How well nuclei are detected and classified: HoVer-Net's F scores."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.centroid_matching import match_centroids
from jaxnuc.metrics.class_counts import instance_classes
from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.metrics.matching import pairs_above
from jaxnuc.registry import unknown

EMPTY_IMAGES = ("count", "reference")
WEIGHTS = (2.0, 2.0, 1.0, 1.0)  # of FPc, FNc, FPd and FNd in HoVer-Net's F_c


class ClassifiedPairs(NamedTuple):
    """The classes of matched, missed and false nuclei of one image.

    Attributes:
      truth: (M,) int64, the true class of each matched nucleus.
      prediction: (M,) int64, the predicted class of each matched nucleus.
      missed: (T - M,) int64, the true classes of the others.
      false: (P - M,) int64, the predicted classes of the others.
    """

    truth: np.ndarray
    prediction: np.ndarray
    missed: np.ndarray
    false: np.ndarray


class ClassificationCounts(NamedTuple):
    """What classification scores are computed from; sums over images pool.

    Attributes:
      confusion: (C, C) int64, matched nuclei by true class (row) and predicted class (column).
      wrong_prediction: (C,) matched nuclei of which only the predicted class is c (FPc).
      wrong_truth: (C,) matched nuclei of which only the true class is c (FNc).
      missed: (C,) nuclei without a match, by true class (FNd).
      false: (C,) predictions without a match, by predicted class (FPd).
      matched: nuclei that are matched, whatever their classes.
      missed_nuclei: nuclei without a match.
      false_nuclei: predictions without a match.
      right: matched nuclei of a known true class that have the right one.
      known: matched nuclei of a known true class.
    """

    confusion: np.ndarray
    wrong_prediction: np.ndarray
    wrong_truth: np.ndarray
    missed: np.ndarray
    false: np.ndarray
    matched: int
    missed_nuclei: int
    false_nuclei: int
    right: int
    known: int

    @property
    def tp(self) -> np.ndarray:
        """(C,) matched nuclei of which both classes are c."""
        return np.diagonal(self.confusion)

    def whole(self, weights: tuple[float, float, float, float] = WEIGHTS) -> np.ndarray:
        """(C,) the denominators of F_c: see `classification_scores`."""
        parts = (self.wrong_prediction, self.wrong_truth, self.false, self.missed)
        return 2 * self.tp + sum(w * part for w, part in zip(weights, parts, strict=True))


class ClassificationScores(NamedTuple):
    """Detection and classification scores of a data set, in [0, 1].

    Attributes:
      detection_f1: F_d, F1 of the nuclei whatever their class; NaN without any nucleus.
      accuracy: share of the matched nuclei that have the right class; NaN if none is matched.
      class_f1: (C,) float64, F_c of each class; NaN for a class that occurs on neither side.
      classes: the classes these arrays are about, in this order.
      confusion: (C, C) int64, matched nuclei by true class (row) and predicted class (column).
      missed: (C,) int64, nuclei without a match, by true class.
      false: (C,) int64, predictions without a match, by predicted class.
    """

    detection_f1: float
    accuracy: float
    class_f1: np.ndarray
    classes: tuple[int, ...]
    confusion: np.ndarray
    missed: np.ndarray
    false: np.ndarray


def pairs_by_centroid(
    truth_centroids: np.ndarray,
    truth_classes: np.ndarray,
    prediction_centroids: np.ndarray,
    prediction_classes: np.ndarray,
    radius: float = 12.0,
    *,
    matching: str = "assign_then_cut",
    empty_images: str = "count",
) -> ClassifiedPairs:
    """Matches the nuclei of one image by the distance of their centroids.

    Args:
      truth_centroids: (T, 2) coordinates, such as `centroids` of `postprocess.regions`.
      truth_classes: (T,) integers.
      prediction_centroids: (P, 2) coordinates.
      prediction_classes: (P,) integers.
      radius: the largest distance that counts, 12 pixels in HoVer-Net's evaluation at 40x.
      matching: `"assign_then_cut"`, HoVer-Net's, with which published figures are made, or
        `"cut_then_assign"`, which gives more pairs, for any number of nuclei; see
        `match_centroids`.
      empty_images: what an image without nuclei on one side does. `"count"`: those of the other
        side are missed or false, as anywhere. `"reference"`: the empty side is given a nucleus of
        class 0 at (0, 0), as in HoVer-Net's code; it may be matched, also with its like.

    Returns:
      The classes of matched and unmatched nuclei.

    Raises:
      ValueError: coordinates or classes are not of this form, or an argument is out of range.

    Example:
      >>> pairs = pairs_by_centroid([[5, 5], [50, 50]], [1, 2], [[5, 9]], [2])
      >>> pairs.truth, pairs.prediction, pairs.missed, pairs.false
      (array([1]), array([2]), array([2]), array([], dtype=int64))

    References:
      Graham et al., HoVer-Net, 2019, section 4.2.
    """
    if empty_images not in EMPTY_IMAGES:
        raise unknown("rule for empty images", empty_images, EMPTY_IMAGES)
    sides = []
    for points, classes, name in [
        (truth_centroids, truth_classes, "truth"),
        (prediction_centroids, prediction_classes, "prediction"),
    ]:
        points, classes = np.asarray(points), np.asarray(classes)
        if points.shape[:1] != classes.shape:
            raise ValueError(
                f"{name} has centroids of shape {points.shape} and classes of shape "
                f"{classes.shape}; give one class for each nucleus"
            )
        if classes.size and not np.issubdtype(classes.dtype, np.integer):
            raise ValueError(f"{name} classes must be integers, got {classes.dtype}")
        if not classes.size:
            dummies = int(empty_images == "reference")
            points, classes = np.zeros((dummies, 2)), np.zeros(dummies, np.int64)
        sides.append((points, classes.astype(np.int64)))
    (true_points, true), (points, predicted) = sides
    rows, columns = match_centroids(true_points, points, radius, matching=matching)
    return _pairs(true, predicted, rows, columns)


def pairs_by_iou(
    truth: np.ndarray,
    prediction: np.ndarray,
    truth_classes: np.ndarray,
    prediction_classes: np.ndarray,
    n_classes: int,
    threshold: float = 0.5,
    *,
    inclusive: bool = False,
    matching: str = "iou",
) -> ClassifiedPairs:
    """Matches the nuclei of one image by their IoU, whatever their classes.

    Args:
      truth: (H, W) integer label map, 0 is background.
      prediction: (H, W) integer label map.
      truth_classes: (N,) integers in ascending order of the ids, or an (H, W) class map.
      prediction_classes: the same for `prediction`.
      n_classes: classes are in -1..n_classes.
      threshold: an IoU; see `pairs_above`.
      inclusive: whether an IoU of exactly the threshold is a match.
      matching: `"iou"` or `"count"`; see `pairs_above`.

    Returns:
      The classes of matched and unmatched nuclei.

    Raises:
      ValueError: the maps are no label maps of one shape, there is not one class for each
        instance or a class out of range, or an argument is out of range.
    """
    table = contingency_table(truth, prediction)
    true = instance_classes(truth, truth_classes, n_classes, len(table.truth_ids))
    predicted = instance_classes(
        prediction, prediction_classes, n_classes, len(table.prediction_ids)
    )
    pairs = pairs_above(table, threshold, inclusive=inclusive, matching=matching)
    return _pairs(true, predicted, table.rows[pairs], table.columns[pairs])


def classification_scores(
    images: Sequence[ClassifiedPairs],
    classes: Sequence[int],
    *,
    exhaustive: bool = True,
    weights: tuple[float, float, float, float] = WEIGHTS,
) -> ClassificationScores:
    """HoVer-Net's scores, pooled over the images.

    F_c of a class is `2 TP / (2 TP + w0 FPc + w1 FNc + w2 FPd + w3 FNd)`: matched nuclei of which
    both classes are c (TP), only the predicted one (FPc) or only the true one is c (FNc), and
    predictions (FPd) and nuclei (FNd) of class c without a match. The paper's formula also has true
    negatives, which its code restricts to pairs with class c on either side: there are none.

    Args:
      images: what `pairs_by_centroid` or `pairs_by_iou` returned for each image.
      classes: the classes to score. Nuclei of other classes count for `detection_f1`, as wrong
        partners, and for `accuracy`.
      exhaustive: False where true nuclei of class -1 have no label: pairs with them then are
        neither right nor wrong. They count as detected all the same.
      weights: of FPc, FNc, FPd and FNd.

    Returns:
      The scores, and the counts they are made of.

    Raises:
      ValueError: there are no images, or a class is named twice.

    Example:
      >>> pairs = pairs_by_centroid([[5, 5], [50, 50]], [1, 2], [[5, 9], [51, 50]], [1, 1])
      >>> scores = classification_scores([pairs], classes=[1, 2])
      >>> scores.detection_f1, scores.accuracy, scores.class_f1.tolist()
      (1.0, 0.5, [0.5, 0.0])

    References:
      Graham et al., HoVer-Net, 2019, section 4.2.
    """
    if not images:
        raise ValueError("no pairs to score; the data set has no images")
    pooled = ClassifiedPairs(*map(np.concatenate, zip(*images, strict=True)))
    found = classification_counts(pooled, classes, exhaustive=exhaustive)
    whole, nuclei = found.whole(weights), 2 * found.matched + found.missed_nuclei
    n = nuclei + found.false_nuclei
    return ClassificationScores(
        detection_f1=2 * found.matched / n if n else math.nan,
        accuracy=found.right / found.known if found.known else math.nan,
        class_f1=np.where(whole > 0, 2 * found.tp / np.where(whole > 0, whole, 1), math.nan),
        classes=tuple(int(c) for c in classes),
        confusion=found.confusion,
        missed=found.missed,
        false=found.false,
    )


def classification_counts(
    pairs: ClassifiedPairs, classes: Sequence[int], *, exhaustive: bool = True
) -> ClassificationCounts:
    """The counts of one image, or of several whose pairs were put together.

    Args:
      pairs: from `pairs_by_centroid` or `pairs_by_iou`.
      classes: C classes, in the order of the counts.
      exhaustive: see `classification_scores`.

    Raises:
      ValueError: a class is named twice.
    """
    if len(set(classes)) < len(classes):
        raise ValueError(f"classes {list(classes)} name one twice")
    order = np.asarray(classes, np.int64)[:, None]
    truth, prediction = pairs.truth == order, pairs.prediction == order  # (C, M)
    known = pairs.truth != -1 if not exhaustive else np.ones(pairs.truth.shape, bool)
    same = pairs.truth == pairs.prediction
    return ClassificationCounts(
        confusion=truth.astype(np.int64) @ prediction.T.astype(np.int64),
        wrong_prediction=np.count_nonzero(prediction & known & ~same, axis=1),
        wrong_truth=np.count_nonzero(truth & ~same, axis=1),
        missed=np.count_nonzero(pairs.missed == order, axis=1),
        false=np.count_nonzero(pairs.false == order, axis=1),
        matched=len(pairs.truth),
        missed_nuclei=len(pairs.missed),
        false_nuclei=len(pairs.false),
        right=int(np.count_nonzero(same & known)),
        known=int(np.count_nonzero(known)),
    )


def _pairs(
    truth: np.ndarray, prediction: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> ClassifiedPairs:
    missed, false = np.delete(truth, rows), np.delete(prediction, columns)
    return ClassifiedPairs(truth[rows], prediction[columns], missed, false)
