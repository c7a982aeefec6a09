"""F_c: F1 of detection and classification of each class, averaged over the classes."""

from typing import Any

import numpy as np

from jaxnuc.metrics import base
from jaxnuc.metrics.base import Counts, ratio
from jaxnuc.metrics.definitions._classes import by_name, centroid_scores, class_names_of, of_name
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.panoptic import mean


class Metric(base.Metric):
    """The mean over the classes of HoVer-Net's F_c: see `classification_scores`."""

    title = "F1 of the classes, by centroids"
    needs = ("maps", "classes")
    per_image = False
    pooled_as = ("pooled",)

    def counts(self, image: ImagePair) -> dict[str, float]:
        found, names = image.once(centroid_scores), image.class_names
        right = by_name("class_f1_right", names, 2 * found.tp)
        return right | by_name("class_f1_whole", names, found.whole)

    def pooled(self, counts: Counts) -> Any:
        return mean(_each(counts))

    def by_class(self, counts: Counts) -> dict[str, dict[str, float]]:
        names = class_names_of(counts, "class_f1_whole")
        return {"class_f1_pooled": dict(zip(names, _each(counts).tolist(), strict=True))}


def _each(counts: Counts) -> np.ndarray:
    """(C, ...) F1 of each class; NaN for a class that occurs on neither side."""
    each: np.ndarray = ratio(of_name(counts, "class_f1_right"), of_name(counts, "class_f1_whole"))
    return each
