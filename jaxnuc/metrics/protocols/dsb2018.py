"""The score of the 2018 Data Science Bowl."""

import math
from collections.abc import Sequence

from jaxnuc.metrics.detection import Detection, aggregate_detections, detections
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols.base import Figure


class Protocol(base.Protocol):
    """tp / (tp + fp + fn) of each image, averaged over thresholds and images.

    Published as mean average precision, it needs no confidence of the nuclei and is no area below a
    curve: the protocol `coco` is. A pair matches at an IoU above the threshold.

    References:
      Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl,
      2019.
    """

    title = "2018 Data Science Bowl"

    def state(self, image: ImagePair) -> tuple[Detection, ...]:
        return detections(image.table, inclusive=False)

    def figures(
        self, states: Sequence[tuple[Detection, ...]], class_names: Sequence[str]
    ) -> list[Figure]:
        found = [record.accuracy for record in aggregate_detections(states, by_image=True)]
        meaning = "tp / (tp + fp + fn), mean over IoU > 0.50 to 0.95, then over images"
        return [Figure("map", math.fsum(found) / len(found), meaning)]
