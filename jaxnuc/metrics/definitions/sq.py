"""Segmentation quality: mean IoU of the matched nuclei."""

from jaxnuc.metrics.definitions._counts import InstanceMetric


class Metric(InstanceMetric):
    """Mean IoU of the matched nuclei, 0 without any (Kirillov et al., 2019)."""

    title = "SQ, segmentation quality"
    part, whole = {"iou_sum": 1}, {"tp": 1}
