"""IoU: intersection over union of the foreground pixels."""

from jaxnuc.metrics.definitions._counts import PixelMetric


class Metric(PixelMetric):
    """TP / (TP + FP + FN) over pixels."""

    title = "IoU, foreground"
    part, whole = {"pixel_tp": 1}, {"pixel_tp": 1, "pixel_fp": 1, "pixel_fn": 1}
