"""Dice: F1 of the foreground pixels."""

from jaxnuc.metrics.definitions._counts import PixelMetric


class Metric(PixelMetric):
    """2 TP / (2 TP + FP + FN) over pixels."""

    title = "Dice, foreground"
    part, whole = {"pixel_tp": 2}, {"pixel_tp": 2, "pixel_fp": 1, "pixel_fn": 1}
