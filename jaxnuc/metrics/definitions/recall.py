"""Recall: the share of the true nuclei that are matched."""

from jaxnuc.metrics.definitions._counts import InstanceMetric


class Metric(InstanceMetric):
    """TP / (TP + FN) over nuclei; 0 if there is none."""

    title = "Recall of nuclei"
    part, whole = {"tp": 1}, {"tp": 1, "fn": 1}
