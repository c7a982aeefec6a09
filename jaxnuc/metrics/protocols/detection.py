"""Detection at several IoU thresholds, with the conventions of the other scores."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxnuc.metrics.detection import THRESHOLDS, Detection, aggregate_detections, detections
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.protocols import base
from jaxnuc.metrics.protocols.base import Figure

MEANINGS = {
    "tp": "matched nuclei",
    "fp": "false nuclei",
    "fn": "missed nuclei",
    "precision": "tp / (tp + fp)",
    "recall": "tp / (tp + fn)",
    "f1": "2 tp / (2 tp + fp + fn)",
    "accuracy": "tp / (tp + fp + fn), often called average precision",
    "mean_true_score": "mean IoU of the true nuclei, missed ones as 0",
    "mean_matched_score": "mean IoU of the matched nuclei",
    "panoptic_quality": "f1 times mean matched score",
}


@dataclass(frozen=True)
class Protocol(base.Protocol):
    """StarDist's figures, pooled over the images, at each threshold.

    Attributes:
      thresholds: IoUs.
    """

    thresholds: tuple[float, ...] = THRESHOLDS

    title = "Detection at IoU thresholds, pooled"
    fixed = False

    def state(self, image: ImagePair) -> tuple[Detection, ...]:
        c = image.conventions
        return detections(image.table, self.thresholds, inclusive=c.inclusive, matching=c.matching)

    def figures(
        self, states: Sequence[tuple[Detection, ...]], class_names: Sequence[str]
    ) -> list[Figure]:
        return [
            Figure(f"{name}/{found.threshold:g}", getattr(found, name), f"{text} at this IoU")
            for name, text in MEANINGS.items()
            for found in aggregate_detections(states)
        ]
