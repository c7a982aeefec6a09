"""Counts of matched, missed and false nuclei of each class in one image.

A nucleus is matched if an instance of its class has an IoU with it above the threshold; whole
instances are compared. Those of class 0 belong to none of the classes and are not counted.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from jaxnuc.labels import LabelSet
from jaxnuc.metrics.contingency import ContingencyTable, contingency_table
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.matching import matched_pairs
from jaxnuc.postprocess.regions import class_votes


class ClassCounts(NamedTuple):
    """The counts that panoptic quality is computed from, class by class; their sums pool.

    Attributes:
      tp: (C,) int64, matched pairs of class 1, 2, ...
      fp: (C,) int64, predictions of the class without a match.
      fn: (C,) int64, true instances of the class without a match.
      iou_sum: (C,) float64, sum of the IoU of the matched pairs.
    """

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    iou_sum: np.ndarray


def class_counts(
    truth: np.ndarray,
    prediction: np.ndarray,
    truth_classes: np.ndarray,
    prediction_classes: np.ndarray,
    classes: int | LabelSet,
    conventions: Conventions = DEFAULT,
) -> ClassCounts:
    """Matches the instances of one image, class by class.

    Of true instances of class -1, which are to be ignored, neither the instances nor predictions
    of them count: their pixels are taken out of the predictions, and a prediction without a match
    that has lost more than half of its pixels is left out. This is the rule for void pixels of the
    metric's authors; to take a prediction out only where it *matches* an ignored instance would
    punish two nuclei predicted in an ambiguous heap.

    Args:
      truth: (H, W) integer label map, 0 is background.
      prediction: (H, W) of the same shape.
      truth_classes: (N,) integers, the class of each instance in ascending order of its id, or an
        (H, W) class map, of which the majority of an instance's pixels counts (see `class_votes`).
        Classes are 1..C, 0 none of them, -1 ignored.
      prediction_classes: the same for `prediction`.
      classes: their number C; or a label set: both sides then hold leaves, which are read
        at this set, before a majority is taken. Where one side holds other numbers, read both with
        the methods of `LabelSet` first.
      conventions: the threshold and the rules of matching, among the pairs of one class.

    Raises:
      ValueError: the maps are no label maps of one shape, there is not one class for each instance
        or a class out of range, or the threshold is out of range.

    Example:
      >>> instances = np.array([[1, 1, 0, 2, 2]])
      >>> counts = class_counts(instances, instances, np.array([1, 2]), np.array([1, 1]), 2)
      >>> counts.tp, counts.fp, counts.fn
      (array([1, 0]), array([1, 0]), array([0, 1]))

    References:
      Kirillov et al., Panoptic Segmentation, 2019, section 4 (void labels).
    """
    table = contingency_table(truth, prediction)
    if isinstance(classes, LabelSet):
        truth_classes = classes.from_leaves(truth_classes)
        prediction_classes = classes.from_leaves(prediction_classes)
        classes = len(classes.groups)
    return counts_of_table(
        table,
        instance_classes(truth, truth_classes, classes, table.truth_ids.size),
        instance_classes(prediction, prediction_classes, classes, table.prediction_ids.size),
        classes,
        conventions,
    )


def binary_counts(truth: np.ndarray, prediction: np.ndarray) -> ClassCounts:
    """The counts (1,) of one image with all nuclei in one class, of which bPQ is computed.

    Args:
      truth: (H, W) integer label map, 0 is background.
      prediction: (H, W) of the same shape.

    Raises:
      ValueError: the maps are no label maps of one shape.
    """
    table = contingency_table(truth, prediction)
    true, predicted = np.ones(len(table.truth_ids), int), np.ones(len(table.prediction_ids), int)
    return counts_of_table(table, true, predicted, 1)


def counts_of_table(
    table: ContingencyTable,
    truth_classes: np.ndarray,
    prediction_classes: np.ndarray,
    n_classes: int,
    conventions: Conventions = DEFAULT,
) -> ClassCounts:
    """`class_counts` of a table of overlaps that is at hand.

    Args:
      table: the overlaps of two label maps; without ignored instances also of overlapping ones.
      truth_classes: (T,) int64 in -1..n_classes, in the order of the table.
      prediction_classes: (P,) int64 in -1..n_classes.
      n_classes: their number C, without class 0.
      conventions: the threshold and the rules of matching.

    Raises:
      ValueError: the threshold is out of range.
    """
    rows, columns = table.rows, table.columns
    void = truth_classes[rows] < 0
    lost = np.bincount(columns[void], table.intersections[void], len(table.prediction_ids))
    lost = lost.astype(np.int64)
    agree = (truth_classes[rows] == prediction_classes[columns]) & (truth_classes[rows] > 0)
    candidates = dataclasses.replace(
        table,
        prediction_areas=table.prediction_areas - lost,
        rows=rows[agree],
        columns=columns[agree],
        intersections=table.intersections[agree],
    )
    pairs = matched_pairs(candidates, conventions)
    counted = 2 * lost <= table.prediction_areas
    counted[candidates.columns[pairs]] = True

    def per_class(classes: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(np.maximum(classes, 0), weights, n_classes + 1)[1:]

    matched = truth_classes[candidates.rows[pairs]]
    tp = per_class(matched)
    fp = per_class(prediction_classes[counted]) - tp
    fn = per_class(truth_classes) - tp
    return ClassCounts(tp, fp, fn, per_class(matched, candidates.iou[pairs]).astype(np.float64))


def instance_classes(
    instances: np.ndarray, classes: np.ndarray, n_classes: int, n_instances: int
) -> np.ndarray:
    """(N,) int64, the class of each instance, from an array or by majority from a class map.

    Args:
      instances: (H, W) integer label map, 0 is background.
      classes: (N,) integers in ascending order of the ids, or an (H, W) class map.
      n_classes: their number; classes are in -1..n_classes.
      n_instances: how many instances the map has.

    Raises:
      ValueError: there is not one class for each instance, or a class is out of range.
    """
    classes = np.asarray(classes)
    if classes.size and not np.issubdtype(classes.dtype, np.integer):
        raise ValueError(f"classes must be integers, got {classes.dtype}")
    if classes.min(initial=0) < -1 or classes.max(initial=0) > n_classes:
        raise ValueError(
            f"classes reach from {classes.min()} to {classes.max()}; with {n_classes} classes they "
            f"are 1 to {n_classes}, 0 for none of them, -1 to ignore"
        )
    if classes.ndim == 2:
        if classes.min(initial=0) < 0:
            # Votes are for numbers from 0 on: ignored pixels vote for one more class.
            classes = np.where(classes < 0, n_classes + 1, classes.astype(np.int64))
        votes = class_votes(instances, classes)[0]
        return np.where(votes > n_classes, -1, votes)
    if classes.shape != (n_instances,):
        raise ValueError(
            f"classes have shape {classes.shape} for {n_instances} instances in a map of shape "
            f"{np.shape(instances)}; give one for each instance, or a class map of the same shape"
        )
    return classes.astype(np.int64)
