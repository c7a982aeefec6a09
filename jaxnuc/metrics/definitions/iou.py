"""IoU: intersection over union of the foreground pixels."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.definitions._counts import PixelMetric, ratio


class Metric(PixelMetric):
    """TP / (TP + FP + FN) over pixels."""

    title = "IoU, foreground"

    def pooled(self, counts: Counts) -> Any:
        union = counts["pixel_tp"] + counts["pixel_fp"] + counts["pixel_fn"]
        return ratio(counts["pixel_tp"], union, union == 0)
