"""Counts of one image at an IoU above 1/2, which is fixed in every panoptic protocol."""

import numpy as np

from jaxnuc.metrics.class_counts import ClassCounts, counts_of_table
from jaxnuc.metrics.pair import ImagePair, present


def image_counts(image: ImagePair) -> tuple[ClassCounts, ClassCounts]:
    """The counts of the C classes, and those (1,) of all nuclei in one class."""
    true, predicted = present(image.classes, "classes")
    by_class = counts_of_table(image.table, true, predicted, len(image.class_names))
    one = np.where(true < 0, -1, 1), np.ones(len(predicted), np.int64)
    return by_class, counts_of_table(image.table, *one, 1)
