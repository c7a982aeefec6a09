"""Dice: F1 of the foreground pixels."""

from typing import Any

from jaxnuc.metrics.base import Counts
from jaxnuc.metrics.definitions._counts import PixelMetric, ratio


class Metric(PixelMetric):
    """2 TP / (2 TP + FP + FN) over pixels."""

    title = "Dice, foreground"

    def pooled(self, counts: Counts) -> Any:
        both = 2 * counts["pixel_tp"]
        whole = both + counts["pixel_fp"] + counts["pixel_fn"]
        return ratio(both, whole, whole == 0)
