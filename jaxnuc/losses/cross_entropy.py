"""Cross entropies, from logits."""

import jax.numpy as jnp
import optax
from jaxtyping import Float, Integer, Shaped

from jaxnuc.losses.arrays import Array, Scalar
from jaxnuc.losses.region import weighted_mean


def _reduce(
    per_pixel: Array, reduction: str, weights: Array | None, axis_name: str | None
) -> Scalar:
    if reduction not in ("mean", "image_sum"):
        raise ValueError(f"reduction={reduction!r}; known: mean, image_sum")
    if weights is not None:
        weights = jnp.broadcast_to(weights, per_pixel.shape).astype(per_pixel.dtype)
    if reduction == "image_sum":
        weighted = per_pixel if weights is None else per_pixel * weights
        return weighted.sum() / per_pixel.shape[0]
    return per_pixel.mean() if weights is None else weighted_mean(per_pixel, weights, axis_name)


def binary_cross_entropy(
    logits: Float[Array, "*shape"],
    targets: Shaped[Array, "*shape"],
    reduction: str = "mean",
    *,
    weights: Shaped[Array, "*#shape"] | None = None,
    axis_name: str | None = None,
) -> Scalar:
    """Binary cross entropy of sigmoid outputs.

    Args:
      logits: (B, ...) float.
      targets: the same shape, in [0, 1].
      reduction: `"mean"` over all elements, or `"image_sum"`: summed over an image, mean over the
        batch (HARU-Net, Eq. 4).
      weights: of the elements, broadcast against `logits`; the mean is the weighted one over the
        whole batch, 0 where all weights are. None: all weigh the same.
      axis_name: pmapped axis that shares the batch; of effect where there are weights.

    Returns:
      Scalar.
    """
    per_pixel = optax.sigmoid_binary_cross_entropy(logits, targets)
    return _reduce(per_pixel, reduction, weights, axis_name)


def cross_entropy(
    logits: Float[Array, "*shape classes"],
    labels: Integer[Array, "*shape"],
    reduction: str = "mean",
    *,
    weights: Shaped[Array, "*shape"] | None = None,
    axis_name: str | None = None,
) -> Scalar:
    """Cross entropy of softmax outputs.

    Args:
      logits: (B, ..., classes) float.
      labels: (B, ...) integer class of each pixel.
      reduction: `"mean"` over all pixels, or `"image_sum"`: summed over an image, mean over the
        batch.
      weights: (B, ...) of the pixels; the mean is the weighted one, 0 where all weights are. None:
        all weigh the same.
      axis_name: pmapped axis that shares the batch; of effect where there are weights.

    Returns:
      Scalar.
    """
    per_pixel = optax.softmax_cross_entropy_with_integer_labels(logits, labels.astype(jnp.int32))
    return _reduce(per_pixel, reduction, weights, axis_name)
