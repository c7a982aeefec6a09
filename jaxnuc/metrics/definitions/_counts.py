"""Counts of pixels and of nuclei, and the ratios that follow from them."""

from typing import Any, ClassVar

import numpy as np

from jaxnuc.metrics.base import Counts, Metric
from jaxnuc.metrics.pair import ImagePair


class RatioMetric(Metric):
    """A sum of counts over another one; 0 where only the latter is 0, NaN where nothing counts.

    Attributes:
      part: how often each count is in the part, `{"tp": 2}`.
      whole: how often each count is in the whole.
      counted: the counts that are all 0 where there is nothing to score.
    """

    pooled_as = ("pooled",)
    part: ClassVar[dict[str, int]]
    whole: ClassVar[dict[str, int]]
    counted: ClassVar[tuple[str, ...]]

    def pooled(self, counts: Counts) -> Any:
        part, whole = (
            sum(times * counts[name] for name, times in side.items())
            for side in (self.part, self.whole)
        )
        something = sum(counts[name] for name in self.counted) > 0
        return np.where(something, part / np.where(whole > 0, whole, 1), np.nan)


class PixelMetric(RatioMetric):
    """A metric of the foreground pixels that are right (tp), false (fp) and missed (fn)."""

    counted = ("pixel_tp", "pixel_fp", "pixel_fn")

    def counts(self, image: ImagePair) -> dict[str, float]:
        table, tp = image.table, image.table.shared_pixels
        return {
            "pixel_tp": tp,
            "pixel_fp": table.prediction_pixels - tp,
            "pixel_fn": table.truth_pixels - tp,
        }


class InstanceMetric(RatioMetric):
    """A metric of matched (tp), false (fp) and missed (fn) nuclei and the IoU of the matched."""

    counted = ("tp", "fp", "fn")

    def counts(self, image: ImagePair) -> dict[str, float]:
        return image.once(_instance_counts)


def _instance_counts(image: ImagePair) -> dict[str, float]:
    table, tp = image.table, len(image.matched)
    return {
        "tp": tp,
        "fp": len(table.prediction_ids) - tp,
        "fn": len(table.truth_ids) - tp,
        "iou_sum": float(table.iou[image.matched].sum()),
    }
