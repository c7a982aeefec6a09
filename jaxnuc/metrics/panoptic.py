"""Panoptic quality of nuclei with classes, from the counts of each image."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.class_counts import ClassCounts
from jaxnuc.metrics.conventions import EMPTY
from jaxnuc.registry import unknown


class PanopticScores(NamedTuple):
    """Panoptic quality of a data set, each score in [0, 1], or NaN where nothing contributes.

    Attributes:
      pq: (C,) float64, panoptic quality of class 1, 2, ...
      dq: (C,) float64, detection quality, F1 of the instances.
      sq: (C,) float64, segmentation quality, mean IoU of the matched pairs; 0 without any.
      mpq: the mean of `pq` over the classes.
    """

    pq: np.ndarray
    dq: np.ndarray
    sq: np.ndarray
    mpq: float


def pooled_pq(counts: Sequence[ClassCounts], empty: str = "skip") -> PanopticScores:
    """Panoptic quality of each class from counts summed over all images.

    Args:
      counts: of each image.
      empty: the score of a class without any instance on either side: `"skip"` NaN, left out of the
        mean over classes; `"nan"` NaN, also as the mean; `"one"` 1; `"zero"` 0.

    Returns:
      The scores of each class and their mean.

    Raises:
      ValueError: there are no counts, or `empty` is unknown.
    """
    dq, sq, pq = qualities(ClassCounts(*(part.sum(axis=0) for part in _stacked(counts))), empty)
    return PanopticScores(pq, dq, sq, float(mean(pq, empty)))


def image_mean_pq(counts: Sequence[ClassCounts], empty: str = "skip") -> PanopticScores:
    """Panoptic quality of each class in each image, averaged over the images, then over classes.

    Args:
      counts: of each image.
      empty: the scores of an image for a class that it has on neither side: `"skip"` NaN, left out
        of all means; `"nan"` NaN, also as the means; `"one"` 1; `"zero"` 0.

    Returns:
      The mean scores of each class, and the mean of the PQ over classes.

    Raises:
      ValueError: there are no counts, or `empty` is unknown.
    """
    dq, sq, pq = (mean(part, empty) for part in qualities(_stacked(counts), empty))
    return PanopticScores(pq, dq, sq, float(mean(pq, empty)))


def qualities(
    counts: ClassCounts, empty: str = "skip"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detection, segmentation and panoptic quality; no epsilon is added.

    Args:
      counts: arrays of any one shape.
      empty: the scores where all counts are 0; `"skip"` and `"nan"` give NaN.

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


def _stacked(counts: Sequence[ClassCounts]) -> ClassCounts:
    if not counts:
        raise ValueError("no counts to sum up; the data set has no images")
    return ClassCounts(*map(np.stack, zip(*counts, strict=True)))
