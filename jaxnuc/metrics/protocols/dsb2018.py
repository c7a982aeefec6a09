"""The score of the 2018 Data Science Bowl."""

from collections.abc import Sequence

from jaxnuc.metrics.contingency import ContingencyTable
from jaxnuc.metrics.detection import dsb2018_score
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols.base import Figure


class Protocol(base.Protocol):
    """tp / (tp + fp + fn) of each image, averaged over thresholds and images.

    References:
      Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl,
      2019.
    """

    title = "2018 Data Science Bowl"

    def state(self, image: ImagePair) -> ContingencyTable:
        return image.table

    def figures(
        self, states: Sequence[ContingencyTable], class_names: Sequence[str]
    ) -> list[Figure]:
        meaning = "tp / (tp + fp + fn), mean over IoU > 0.50 to 0.95, then over images"
        return [Figure("map", dsb2018_score(states), meaning)]
