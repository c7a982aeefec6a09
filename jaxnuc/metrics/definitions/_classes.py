"""Counts class by class: each count is named `<count>/<class>`."""

from collections.abc import Sequence

import numpy as np

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.class_counts import ClassCounts, counts_of_table
from jaxnuc.metrics.classification import (
    ClassificationCounts,
    classification_counts,
    pairs_by_centroid,
)
from jaxnuc.metrics.pair import ImagePair, present
from jaxnuc.postprocess.regions import regions

RADIUS = 12.0  # pixels: within it HoVer-Net's evaluation matches centroids


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
    c = image.conventions
    return counts_of_table(
        image.table,
        *present(image.classes, "classes"),
        len(image.class_names),
        threshold=c.threshold,
        inclusive=c.inclusive,
        matching=c.matching,
    )


def centroid_counts(image: ImagePair) -> ClassificationCounts:
    """The classes of nuclei matched by centroids within 12 pixels, as in HoVer-Net's evaluation."""
    truth, prediction = (regions(side).centroids for side in present(image.maps, "maps"))
    true, predicted = present(image.classes, "classes")
    pairs = pairs_by_centroid(truth, true, prediction, predicted, RADIUS)
    classes = range(1, len(image.class_names) + 1)
    return classification_counts(pairs, classes, exhaustive=False)
