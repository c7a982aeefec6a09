"""Panoptic quality: detection quality times segmentation quality."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.definitions._counts import InstanceMetric
from jaxnuc.metrics.definitions.dq import Metric as DetectionQuality
from jaxnuc.metrics.definitions.sq import Metric as SegmentationQuality


class Metric(InstanceMetric):
    """DQ * SQ (Kirillov et al., Panoptic Segmentation, 2019)."""

    title = "PQ, panoptic quality"

    def pooled(self, counts: Counts) -> Any:
        return DetectionQuality().pooled(counts) * SegmentationQuality().pooled(counts)
