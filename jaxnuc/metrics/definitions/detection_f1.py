"""F_d: F1 of the nuclei by their centroids, whatever their class."""

from typing import Any

from jaxnuc.metrics import base
from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.definitions._classes import centroid_counts
from jaxnuc.metrics.definitions._counts import ratio
from jaxnuc.metrics.pair import ImagePair


class Metric(base.Metric):
    """2 matched / (2 matched + missed + false), matched within 12 pixels (HoVer-Net, 2019)."""

    title = "F1 of detection, by centroids"
    needs = ("maps", "classes")
    per_image = False
    pooled_as = ("pooled",)

    def counts(self, image: ImagePair) -> dict[str, float]:
        found = image.once(centroid_counts)
        return {
            "centroid_matched": found.matched,
            "centroid_unmatched": found.missed_nuclei + found.false_nuclei,
        }

    def pooled(self, counts: Counts) -> Any:
        both = 2 * counts["centroid_matched"]
        whole = both + counts["centroid_unmatched"]
        return ratio(both, whole, whole == 0)
