"""Counts of pixels and of nuclei, and the ratios that follow from them."""

from typing import Any

import numpy as np

from jaxnuc.metrics.base import Counts, Metric
from jaxnuc.metrics.pair import ImagePair


class PixelMetric(Metric):
    """A metric of the foreground pixels: `pixel_tp`, `pixel_fp`, `pixel_fn`."""

    pooled_as = ("pooled",)

    def counts(self, image: ImagePair) -> dict[str, float]:
        return image.once(pixel_counts)


class InstanceMetric(Metric):
    """A metric of the matched nuclei: `tp`, `fp`, `fn`, and `iou_sum`, the sum of their IoU."""

    pooled_as = ("pooled",)

    def counts(self, image: ImagePair) -> dict[str, float]:
        return image.once(instance_counts)

    @staticmethod
    def nothing(counts: Counts) -> Any:
        """Where there is no nucleus on either side."""
        return counts["tp"] + counts["fp"] + counts["fn"] == 0


def pixel_counts(image: ImagePair) -> dict[str, float]:
    """Foreground pixels that are right (tp), false (fp) and missed (fn)."""
    table = image.table
    tp = table.shared_pixels
    return {
        "pixel_tp": tp,
        "pixel_fp": table.prediction_pixels - tp,
        "pixel_fn": table.truth_pixels - tp,
    }


def instance_counts(image: ImagePair) -> dict[str, float]:
    """Nuclei that are matched (tp), false (fp) and missed (fn), and the IoU of the matched ones."""
    table, tp = image.table, len(image.matched)
    return {
        "tp": tp,
        "fp": len(table.prediction_ids) - tp,
        "fn": len(table.truth_ids) - tp,
        "iou_sum": float(table.iou[image.matched].sum()),
    }


def ratio(part: Any, whole: Any, undefined: Any) -> Any:
    """`part / whole`, NaN where it is undefined, and else 0 where the whole is 0."""
    return np.where(undefined, np.nan, part / np.where(whole > 0, whole, 1))
