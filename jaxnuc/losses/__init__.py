"""Losses: functions of arrays, all scalar, float32.

Where a loss pools sums over the batch before it forms a ratio, `axis_name` adds the sums over the
devices of a pmapped axis, so that the value does not depend on how many devices share the batch.
"""

from jaxnuc.losses.boundary import band_cross_entropy, gradient_manifold
from jaxnuc.losses.consistency import consistency, masked_mean
from jaxnuc.losses.cross_entropy import binary_cross_entropy, cross_entropy, foreground_entropy
from jaxnuc.losses.grouped import (
    FocalTversky,
    GroupLabels,
    group_table,
    grouped_cross_entropy,
    grouped_dice,
    grouped_focal_tversky,
    grouped_tversky,
)
from jaxnuc.losses.hover import mean_squared_error, mean_squared_gradient_error
from jaxnuc.losses.rays import ray_distance
from jaxnuc.losses.region import pooled_sum, soft_dice, soft_iou, squared_ratio_dice, ssim

__all__ = [
    "FocalTversky",
    "GroupLabels",
    "band_cross_entropy",
    "binary_cross_entropy",
    "consistency",
    "cross_entropy",
    "foreground_entropy",
    "gradient_manifold",
    "group_table",
    "grouped_cross_entropy",
    "grouped_dice",
    "grouped_focal_tversky",
    "grouped_tversky",
    "masked_mean",
    "mean_squared_error",
    "mean_squared_gradient_error",
    "pooled_sum",
    "ray_distance",
    "soft_dice",
    "soft_iou",
    "squared_ratio_dice",
    "ssim",
]
