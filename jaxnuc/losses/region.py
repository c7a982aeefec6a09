"""Losses that compare whole regions: Dice, IoU, SSIM. Inputs are probabilities, not logits."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Shaped

from jaxnuc.losses.arrays import Array, Number, Scalar

Maps = Float[Array, "*shape"]  # (B, H, W, C); one channel may be left out
Targets = Shaped[Array, "*shape"]


def pooled_sum(x: Array, axis_name: str | None, axis: tuple[int, ...] | None = None) -> jax.Array:
    """Sum over `axis` and, where `axis_name` is given, over the devices that share the batch."""
    total = jnp.sum(x, axis)
    return total if axis_name is None else lax.psum(total, axis_name)


def weighted_mean(x: Array, weights: Array, axis_name: str | None) -> Scalar:
    """`sum(w x) / sum(w)` over all elements and devices, w broadcast; 0 where all weights are."""
    weights = jnp.broadcast_to(weights, x.shape).astype(x.dtype)
    total = pooled_sum(weights, axis_name)
    return pooled_sum(x * weights, axis_name) / jnp.where(total == 0, 1, total)


def gaussian(reach: int, sigma: float) -> np.ndarray:
    """Weights of the 2 reach + 1 pixels nearest to each pixel along an axis; their sum is 1."""
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return taps / taps.sum()


def filtered(maps: Array, taps: np.ndarray, axis: int) -> jax.Array:
    """Correlation along an axis, 0 outside."""
    reach, size = len(taps) // 2, maps.shape[axis]
    padded = jnp.pad(maps, [(reach, reach) if a == axis else (0, 0) for a in range(maps.ndim)])
    # Sums of shifted maps: fused by XLA, and float32 on every device, which convolutions are not.
    shifted = [lax.slice_in_dim(padded, k, k + size, axis=axis) for k in range(len(taps))]
    return sum((float(tap) * x for tap, x in zip(taps, shifted, strict=True)), jnp.zeros_like(maps))


def soft_dice(
    probabilities: Maps,
    targets: Targets,
    *,
    smooth: Number = 1e-6,
    per_class: bool = False,
    per_image: bool = False,
    axis_name: str | None = None,
) -> Scalar:
    """`1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth)` over batch and pixels.

    Args:
      probabilities: (B, H, W, C) in [0, 1].
      targets: (B, H, W, C) in [0, 1].
      smooth: added to both sides of the ratio; 1 in the Keras projects, 1e-6 in HARU-Net's code.
      per_class: one ratio a channel, then their mean; otherwise one ratio over all channels.
      per_image: one ratio an image, then their mean; otherwise one ratio over the batch.
      axis_name: pmapped axis that shares the batch; of no effect where there is a ratio an image.

    Returns:
      Scalar; 0 where both are empty.
    """
    axis = tuple(range(per_image, probabilities.ndim - per_class))
    axis_name = None if per_image else axis_name
    overlap = pooled_sum(probabilities * targets, axis_name, axis)
    total = pooled_sum(probabilities + targets, axis_name, axis)
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def soft_iou(probabilities: Maps, targets: Targets, *, axis_name: str | None = None) -> Scalar:
    """`1 - sum(p t) / sum(p + t - p t)` over batch and pixels; 0 where both are empty."""
    overlap = pooled_sum(probabilities * targets, axis_name)
    union = pooled_sum(probabilities + targets - probabilities * targets, axis_name)
    # The Keras project has no guard: an all-empty batch of exact zeros gave NaN there.
    return 1 - jnp.where(union > 0, overlap / jnp.where(union > 0, union, 1), 1)


def squared_ratio_dice(probabilities: Maps, targets: Targets) -> Scalar:
    """`1 - sum over pixels of 2 p t / (p^2 + t^2)`, mean over images (HARU-Net, Eq. 5, literally).

    Despite its name in the paper this is no Dice: it falls to 1 minus the number of foreground
    pixels. Where both are 0 a pixel adds nothing.
    """
    squares = probabilities**2 + targets**2
    some = squares > 1e-12  # the gradient divides by the square of this, which must not be 0
    ratio = jnp.where(some, 2 * probabilities * targets / jnp.where(some, squares, 1), 0)
    return 1 - ratio.sum() / probabilities.shape[0]


def ssim(probabilities: Maps, targets: Targets) -> Scalar:
    """`1 - SSIM`, in [0, 2], of maps (B, H, W, C) in [0, 1]; mean over where the window fits.

    The window is a Gaussian of 11 pixels a side and sigma 1.5.

    Raises:
      ValueError: the maps are smaller than the window.

    Source: Wang et al., "Image quality assessment: from error visibility to structural
    similarity", 2004, with its constants 0.01 and 0.03.
    """
    _, h, w, _ = probabilities.shape
    if min(h, w) < 11:
        raise ValueError(f"SSIM's window of 11 px does not fit into maps of {h}x{w} px")
    taps = gaussian(5, 1.5)

    def blur(x: Array) -> Array:
        return filtered(filtered(x, taps, 1), taps, 2)[:, 5:-5, 5:-5]

    p, t = probabilities, targets
    mean_p, mean_t = blur(p), blur(t)
    var_p, var_t = blur(p * p) - mean_p**2, blur(t * t) - mean_t**2
    covariance = blur(p * t) - mean_p * mean_t
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mean_p * mean_t + c1) * (2 * covariance + c2)) / (
        (mean_p**2 + mean_t**2 + c1) * (var_p + var_t + c2)
    )
    return 1 - similarity.mean()
