"""Counts class by class: each count is named `<count>/<class>`."""

from collections.abc import Sequence

import numpy as np

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.class_counts import ClassCounts, counts_of_table
from jaxnuc.metrics.classification import (
    ClassificationScores,
    classification_scores,
    image_pairs,
)
from jaxnuc.metrics.pair import ImagePair, present


def by_name(name: str, class_names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """`{"<name>/<class>": value}`."""
    return {f"{name}/{c}": v for c, v in zip(class_names, values.tolist(), strict=True)}


def of_name(counts: Counts, name: str) -> np.ndarray:
    """(C, ...) the counts of a name, class by class."""
    return np.stack([v for key, v in counts.items() if key.startswith(f"{name}/")])


def class_names_of(counts: Counts, name: str) -> list[str]:
    """The classes for which there are counts of a name."""
    return [key.partition("/")[2] for key in counts if key.startswith(f"{name}/")]


def panoptic_counts(image: ImagePair) -> ClassCounts:
    """Matched, false and missed nuclei of each class, by IoU."""
    classes = present(image.classes, "classes")
    return counts_of_table(image.table, *classes, len(image.class_names), image.conventions)


def centroid_scores(image: ImagePair) -> ClassificationScores:
    """The classes of nuclei matched by centroids within 12 pixels, as in HoVer-Net's evaluation."""
    classes = range(1, len(image.class_names) + 1)
    return classification_scores([image_pairs(image)], classes, exhaustive=False)
