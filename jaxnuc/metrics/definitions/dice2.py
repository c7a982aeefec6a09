"""Dice2: ensemble Dice over all pairs of nuclei that overlap."""

from jaxnuc.metrics import base
from jaxnuc.metrics.pair import ImagePair


class Metric(base.Metric):
    """2 |T and P| / (|T| + |P|), both summed over the pairs that overlap (HoVer-Net, 2019)."""

    title = "Dice 2, of overlapping pairs"

    def value(self, image: ImagePair) -> float:
        shared = image.table.intersections
        return float(2 * shared.sum() / max((image.table.unions + shared).sum(), 1))
