"""StarDist's evaluation: detection at IoU thresholds, most pairs first, IoU >= threshold."""

from dataclasses import dataclass

from jaxnuc.metrics.detection import Detection, detections
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.protocols import detection


@dataclass(frozen=True)
class Protocol(detection.Protocol):
    """As `detection`, with StarDist's conventions whatever those of the other scores.

    References:
      Schmidt et al., Cell Detection with Star-convex Polygons, 2018.
    """

    thresholds: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

    title = "StarDist: detection at IoU thresholds, pooled"
    fixed = True

    def state(self, image: ImagePair) -> tuple[Detection, ...]:
        return detections(image.table, self.thresholds)
