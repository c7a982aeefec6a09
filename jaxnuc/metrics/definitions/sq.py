"""Segmentation quality: mean IoU of the matched nuclei."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.definitions._counts import InstanceMetric, ratio


class Metric(InstanceMetric):
    """Mean IoU of the matched nuclei, 0 without any (Kirillov et al., 2019)."""

    title = "SQ, segmentation quality"

    def pooled(self, counts: Counts) -> Any:
        return ratio(counts["iou_sum"], counts["tp"], self.nothing(counts))
