"""Precision: the share of the predicted nuclei that are matched."""

from jaxnuc.metrics.definitions._counts import InstanceMetric


class Metric(InstanceMetric):
    """TP / (TP + FP) over nuclei; 0 if none is predicted."""

    title = "Precision of nuclei"
    part, whole = {"tp": 1}, {"tp": 1, "fp": 1}
