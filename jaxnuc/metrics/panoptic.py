"""Panoptic quality of nuclei with classes, from the counts of each image."""

import math
from collections.abc import Sequence

import numpy as np

from jaxnuc.metrics.class_counts import ClassCounts, counts_of_table
from jaxnuc.metrics.conventions import EMPTY
from jaxnuc.metrics.pair import ImagePair, present
from jaxnuc.registry import unknown


def image_counts(image: ImagePair) -> tuple[ClassCounts, ClassCounts]:
    """The counts of the C classes, and those (1,) of all nuclei in one class, at an IoU above 1/2.

    This threshold is fixed in every panoptic protocol.
    """
    true, predicted = present(image.classes, "classes")
    by_class = counts_of_table(image.table, true, predicted, len(image.class_names))
    one = np.where(true < 0, -1, 1), np.ones(len(predicted), np.int64)
    return by_class, counts_of_table(image.table, *one, 1)


def pooled_pq(counts: Sequence[ClassCounts], empty: str = "skip") -> np.ndarray:
    """(C,) float64, panoptic quality of each class from counts summed over all images.

    Args:
      counts: of each image.
      empty: the score of a class without any instance on either side: see `qualities`.

    Raises:
      ValueError: there are no counts, or `empty` is unknown.
    """
    if not counts:
        raise ValueError("no counts to sum up; the data set has no images")
    summed = ClassCounts(*(np.sum(part, axis=0) for part in zip(*counts, strict=True)))
    return qualities(summed, empty)[2]


def qualities(
    counts: ClassCounts, empty: str = "skip"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detection, segmentation and panoptic quality; no epsilon is added.

    Args:
      counts: arrays of any one shape.
      empty: the scores where all counts are 0: `"skip"` and `"nan"` NaN, `"one"` 1, `"zero"` 0.

    Returns:
      DQ, SQ and PQ as float64 arrays of that shape.

    Raises:
      ValueError: `empty` is unknown.
    """
    if empty not in EMPTY:
        raise unknown("rule for empty images", empty, EMPTY)
    tp, fp, fn, iou_sum = counts
    total = tp + fp / 2 + fn / 2
    nothing = total == 0
    dq = np.where(nothing, EMPTY[empty], tp / np.where(nothing, 1, total))
    sq = np.where(nothing, EMPTY[empty], iou_sum / np.maximum(tp, 1))
    return dq, sq, dq * sq


def mean(values: np.ndarray, empty: str = "skip") -> np.ndarray:
    """The mean over the first axis, without NaN under `"skip"`; NaN where nothing is left."""
    counted = ~np.isnan(values) if empty == "skip" else np.ones(values.shape, bool)
    n = counted.sum(axis=0)
    total = np.where(counted, values, 0).sum(axis=0)
    return np.where(n > 0, total / np.maximum(n, 1), math.nan)
