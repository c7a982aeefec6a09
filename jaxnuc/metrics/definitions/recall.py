"""Recall: the share of the true nuclei that are matched."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.definitions._counts import InstanceMetric, ratio


class Metric(InstanceMetric):
    """TP / (TP + FN) over nuclei; 0 if there is none."""

    title = "Recall of nuclei"

    def pooled(self, counts: Counts) -> Any:
        return ratio(counts["tp"], counts["tp"] + counts["fn"], self.nothing(counts))
