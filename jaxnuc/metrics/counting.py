"""How well the nuclei of each class are counted: CoNIC's coefficient of determination."""

import math
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.class_counts import instance_classes
from jaxnuc.metrics.panoptic import mean
from jaxnuc.postprocess.regions import regions
from jaxnuc.registry import unknown

CONSTANT = ("skip", "nan", "zero", "one")


class CountingScores(NamedTuple):
    """Agreement of counted nuclei over a data set.

    Attributes:
      r2: (C,) float64, at most 1, for each class; negative if worse than the mean true count.
      mean_r2: the mean over the classes.
    """

    r2: np.ndarray
    mean_r2: float


def central_counts(
    instances: np.ndarray, classes: np.ndarray, n_classes: int, size: int = 224
) -> np.ndarray:
    """Counts the nuclei of each class whose centroid lies in the central part of an image.

    Pixels are unit squares about their (row, col), and the part is half-open: the central 224 of
    256 pixels reach from 15.5 up to, not including, 239.5.

    Args:
      instances: (H, W) integer label map, 0 is background.
      classes: (N,) integers, the class of each instance in ascending order of its id, or an (H, W)
        class map; in -1..n_classes, of which 1..n_classes are counted.
      n_classes: their number C.
      size: height and width of the central part in pixels; in smaller images all nuclei count.

    Returns:
      (C,) int64 counts of class 1, 2, ...

    Raises:
      ValueError: the map is no label map, there is not one class for each instance, a class is out
        of range, or the size is below 1.

    Example:
      >>> central_counts(np.array([[5, 0, 7, 0]]), np.array([1, 2]), 2, size=2)
      array([0, 1])
    """
    if size < 1:
        raise ValueError(f"size {size} of the central part is below 1 pixel")
    found = regions(instances)
    of_instance = instance_classes(instances, classes, n_classes, len(found.ids))
    start = np.maximum((np.array(np.shape(instances)) - size) / 2, 0)
    end = np.array(np.shape(instances)) - start
    inside = ((found.centroids + 0.5 >= start) & (found.centroids + 0.5 < end)).all(axis=1)
    return np.bincount(np.maximum(of_instance[inside], 0), minlength=n_classes + 1)[1:]


def counting_scores(
    truth: np.ndarray, prediction: np.ndarray, constant: str = "skip"
) -> CountingScores:
    """The coefficient of determination of the counts of each class, over images.

    R^2 is 1 - sum (t - p)^2 / sum (t - mean t)^2.

    Args:
      truth: (N, C) counts of each class in each image.
      prediction: (N, C) counts, which need not be whole numbers.
      constant: R^2 of a class of which all images have equally many, where the denominator is 0:
        `"skip"` NaN, left out of the mean; `"nan"` NaN, also as the mean; `"zero"` 0; `"one"` 1 if
        all predictions are right, else 0 (scikit-learn's rule).

    Returns:
      The coefficient of each class and their mean; NaN if no class is left.

    Raises:
      ValueError: shapes differ or are not (N, C), there are no images, a count is not finite, or
        `constant` is unknown.

    Example:
      >>> counting_scores(np.array([[1, 0], [3, 0]]), np.array([[1, 0], [2, 1]]))
      CountingScores(r2=array([0.5, nan]), mean_r2=0.5)

    References:
      Graham et al., CoNIC: Colon Nuclei Identification and Counting Challenge 2022, 2021.
    """
    if constant not in CONSTANT:
        raise unknown("rule for constant counts", constant, CONSTANT)
    true, predicted = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    if true.shape != predicted.shape or true.ndim != 2 or not len(true):
        raise ValueError(
            f"counts have shapes {true.shape} and {predicted.shape}; both must be (images, classes)"
        )
    if not (np.isfinite(true).all() and np.isfinite(predicted).all()):
        raise ValueError("counts must be finite")
    residual = ((true - predicted) ** 2).sum(axis=0)
    total = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    varies = (true != true[0]).any(axis=0)  # exactly, whatever the rounding of the mean
    undefined = {"zero": 0.0, "one": 1.0}.get(constant, math.nan)
    otherwise = np.where(residual == 0, undefined, 0.0) if constant == "one" else undefined
    r2 = np.where(varies, 1 - residual / np.where(varies, total, 1), otherwise)
    return CountingScores(r2, float(mean(r2, constant)))
