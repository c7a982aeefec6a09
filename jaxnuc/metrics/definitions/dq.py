"""Detection quality: F1 of the nuclei."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.definitions._counts import InstanceMetric, ratio


class Metric(InstanceMetric):
    """2 TP / (2 TP + FP + FN) over nuclei (Kirillov et al., Panoptic Segmentation, 2019)."""

    title = "DQ, detection quality (F1)"

    def pooled(self, counts: Counts) -> Any:
        both = 2 * counts["tp"]
        return ratio(both, both + counts["fp"] + counts["fn"], self.nothing(counts))
