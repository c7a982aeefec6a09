"""Accuracy: the share of the nuclei found by centroid that have the right class."""

from jaxnuc.metrics.definitions._classes import centroid_scores
from jaxnuc.metrics.definitions._counts import RatioMetric
from jaxnuc.metrics.pair import ImagePair


class Metric(RatioMetric):
    """Over the nuclei matched within 12 pixels whose true class is known (HoVer-Net, 2019)."""

    title = "Accuracy of the classes"
    needs = ("maps", "classes")
    per_image = False
    part, whole, counted = {"class_right": 1}, {"class_known": 1}, ("class_known",)

    def counts(self, image: ImagePair) -> dict[str, float]:
        found = image.once(centroid_scores)
        return {"class_right": found.right, "class_known": found.known}
