"""How well nuclei are detected and classified: HoVer-Net's F scores."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from jaxnuc.metrics.pair import ImagePair, present
from jaxnuc.postprocess.regions import regions
from jaxnuc.registry import unknown

EMPTY_IMAGES = ("count", "reference")
RADIUS = 12.0  # pixels: within it HoVer-Net's evaluation matches centroids
_MOST_DISTANCES = 40_000_000


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


class ClassificationScores(NamedTuple):
    """Counts of nuclei by their classes, and the scores in [0, 1] that follow; sums pool.

    Attributes:
      confusion: (C, C) int64, matched nuclei by true class (row) and predicted class (column).
      wrong_prediction: (C,) matched nuclei of which only the predicted class is c (FPc).
      wrong_truth: (C,) matched nuclei of which only the true class is c (FNc).
      missed: (C,) nuclei without a match, by true class (FNd).
      false: (C,) predictions without a match, by predicted class (FPd).
      matched: nuclei that are matched, whatever their classes.
      unmatched: nuclei and predictions without a match, whatever their classes.
      right: matched nuclei of a known true class that have the right one.
      known: matched nuclei of a known true class.
    """

    confusion: np.ndarray
    wrong_prediction: np.ndarray
    wrong_truth: np.ndarray
    missed: np.ndarray
    false: np.ndarray
    matched: int
    unmatched: int
    right: int
    known: int

    @property
    def tp(self) -> np.ndarray:
        """(C,) matched nuclei of which both classes are c."""
        return np.diagonal(self.confusion)

    @property
    def whole(self) -> np.ndarray:
        """(C,) the denominators of F_c, with HoVer-Net's weights."""
        wrong = 2 * self.wrong_prediction + 2 * self.wrong_truth
        return 2 * self.tp + wrong + self.false + self.missed

    @property
    def detection_f1(self) -> float:
        """F_d, F1 of the nuclei whatever their class; NaN without any nucleus."""
        n = 2 * self.matched + self.unmatched
        return 2 * self.matched / n if n else math.nan

    @property
    def accuracy(self) -> float:
        """Share of the matched nuclei that have the right class; NaN if none is matched."""
        return self.right / self.known if self.known else math.nan

    @property
    def class_f1(self) -> np.ndarray:
        """(C,) float64, F_c of each class; NaN for a class that occurs on neither side."""
        whole = self.whole
        return np.where(whole > 0, 2 * self.tp / np.where(whole > 0, whole, 1), math.nan)


def match_centroids(
    truth: np.ndarray, prediction: np.ndarray, radius: float = RADIUS
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs two sets of points one to one, none further apart than the radius.

    Of the assignment of as many points as possible with the least total distance, over all pairs,
    those beyond the radius are dropped afterwards (HoVer-Net's evaluation): a far point can so cost
    two near ones their match. Time and memory grow with the product of the two numbers of points.

    Args:
      truth: (T, 2) finite coordinates.
      prediction: (P, 2) finite coordinates.
      radius: in the unit of the coordinates, at least 0; a distance of exactly the radius counts.

    Returns:
      (M,) int64 positions in `truth`, ascending, and (M,) int64 positions in `prediction`.

    Raises:
      ValueError: coordinates are not of this form, the radius is negative or not finite, or there
        are more than 4e7 pairs.

    Example:
      >>> match_centroids(np.array([[0, 0], [0, 9]]), np.array([[0, 11]]))
      (array([1]), array([0]))
    """
    if not 0 <= radius < np.inf:
        raise ValueError(f"radius {radius} is not finite and at least 0")
    truth, prediction = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    for points, name in ((truth, "truth"), (prediction, "prediction")):
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"{name} must be (N, 2) coordinates, got shape {points.shape}")
        if not np.isfinite(points).all():
            raise ValueError(f"{name} holds NaN or infinite coordinates")
    if len(truth) * len(prediction) > _MOST_DISTANCES:
        raise ValueError(
            f"{len(truth)} true and {len(prediction)} predicted nuclei have "
            f"{len(truth) * len(prediction):.1e} distances, which HoVer-Net's matching needs at "
            "once; match tile by tile"
        )
    distances = cdist(truth, prediction)
    rows, columns = linear_sum_assignment(distances)
    near = distances[rows, columns] <= radius
    return rows[near], columns[near]


def pairs_by_centroid(
    truth_centroids: np.ndarray,
    truth_classes: np.ndarray,
    prediction_centroids: np.ndarray,
    prediction_classes: np.ndarray,
    radius: float = RADIUS,
    *,
    empty_images: str = "count",
) -> ClassifiedPairs:
    """Matches the nuclei of one image by the distance of their centroids.

    Args:
      truth_centroids: (T, 2) coordinates, such as `centroids` of `postprocess.regions`.
      truth_classes: (T,) integers.
      prediction_centroids: (P, 2) coordinates.
      prediction_classes: (P,) integers.
      radius: the largest distance that counts, 12 pixels in HoVer-Net's evaluation at 40x.
      empty_images: what an image without nuclei on one side does. `"count"`: those of the other
        side are missed or false, as anywhere. `"reference"`: the empty side is given a nucleus of
        class 0 at (0, 0), as in HoVer-Net's code; it may be matched, also with its like.

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
    rows, columns = match_centroids(true_points, points, radius)
    missed, false = np.delete(true, rows), np.delete(predicted, columns)
    return ClassifiedPairs(true[rows], predicted[columns], missed, false)


def image_pairs(image: ImagePair, empty_images: str = "count") -> ClassifiedPairs:
    """The nuclei of an image that are scored, as `pairs_by_centroid` matches them."""
    truth, prediction = (regions(side).centroids for side in present(image.maps, "maps"))
    true, predicted = present(image.classes, "classes")
    return pairs_by_centroid(truth, true, prediction, predicted, empty_images=empty_images)


def classification_scores(
    images: Sequence[ClassifiedPairs], classes: Sequence[int], *, exhaustive: bool = True
) -> ClassificationScores:
    """HoVer-Net's scores, pooled over the images.

    F_c of a class is `2 TP / (2 TP + 2 FPc + 2 FNc + FPd + FNd)`: matched nuclei of which
    both classes are c (TP), only the predicted one (FPc) or only the true one is c (FNc), and
    predictions (FPd) and nuclei (FNd) of class c without a match. The paper's formula also has true
    negatives, which its code restricts to pairs with class c on either side: there are none.

    Args:
      images: what `pairs_by_centroid` returned for each image.
      classes: the classes to score. Nuclei of other classes count for `detection_f1`, as wrong
        partners, and for `accuracy`.
      exhaustive: False where true nuclei of class -1 have no label: pairs with them then are
        neither right nor wrong. They count as detected all the same.

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
    if len(set(classes)) < len(classes):
        raise ValueError(f"classes {list(classes)} name one twice")
    pairs = ClassifiedPairs(*map(np.concatenate, zip(*images, strict=True)))
    order = np.asarray(classes, np.int64)[:, None]
    truth, prediction = pairs.truth == order, pairs.prediction == order  # (C, M)
    known = pairs.truth != -1 if not exhaustive else np.ones(pairs.truth.shape, bool)
    same = pairs.truth == pairs.prediction
    return ClassificationScores(
        confusion=truth.astype(np.int64) @ prediction.T.astype(np.int64),
        wrong_prediction=np.count_nonzero(prediction & known & ~same, axis=1),
        wrong_truth=np.count_nonzero(truth & ~same, axis=1),
        missed=np.count_nonzero(pairs.missed == order, axis=1),
        false=np.count_nonzero(pairs.false == order, axis=1),
        matched=len(pairs.truth),
        unmatched=len(pairs.missed) + len(pairs.false),
        right=int(np.count_nonzero(same & known)),
        known=int(np.count_nonzero(known)),
    )
