"""Accuracy: the share of the nuclei found by centroid that have the right class."""

from typing import Any

from jaxnuc.metrics import base
from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.definitions._classes import centroid_counts
from jaxnuc.metrics.definitions._counts import ratio
from jaxnuc.metrics.pair import ImagePair


class Metric(base.Metric):
    """Over the nuclei matched within 12 pixels whose true class is known (HoVer-Net, 2019)."""

    title = "Accuracy of the classes"
    needs = ("maps", "classes")
    per_image = False
    pooled_as = ("pooled",)

    def counts(self, image: ImagePair) -> dict[str, float]:
        found = image.once(centroid_counts)
        return {"class_right": found.right, "class_known": found.known}

    def pooled(self, counts: Counts) -> Any:
        known = counts["class_known"]
        return ratio(counts["class_right"], known, known == 0)
