"""F_d: F1 of the nuclei by their centroids, whatever their class."""

from jaxnuc.metrics.definitions._classes import centroid_scores
from jaxnuc.metrics.definitions._counts import RatioMetric
from jaxnuc.metrics.pair import ImagePair


class Metric(RatioMetric):
    """2 matched / (2 matched + missed + false), matched within 12 pixels (HoVer-Net, 2019)."""

    title = "F1 of detection, by centroids"
    needs = ("maps", "classes")
    per_image = False
    part, whole = {"centroid_matched": 2}, {"centroid_matched": 2, "centroid_unmatched": 1}
    counted = ("centroid_matched", "centroid_unmatched")

    def counts(self, image: ImagePair) -> dict[str, float]:
        found = image.once(centroid_scores)
        return {"centroid_matched": found.matched, "centroid_unmatched": found.unmatched}
