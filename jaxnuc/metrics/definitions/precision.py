"""Precision: the share of the predicted nuclei that are matched."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.definitions._counts import InstanceMetric, ratio


class Metric(InstanceMetric):
    """TP / (TP + FP) over nuclei; 0 if none is predicted."""

    title = "Precision of nuclei"

    def pooled(self, counts: Counts) -> Any:
        return ratio(counts["tp"], counts["tp"] + counts["fp"], self.nothing(counts))
