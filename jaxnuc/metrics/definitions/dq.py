"""Detection quality: F1 of the nuclei."""

from jaxnuc.metrics.definitions._counts import InstanceMetric


class Metric(InstanceMetric):
    """2 TP / (2 TP + FP + FN) over nuclei (Kirillov et al., Panoptic Segmentation, 2019)."""

    title = "DQ, detection quality (F1)"
    part, whole = {"tp": 2}, {"tp": 2, "fp": 1, "fn": 1}
