"""Cross entropies, from logits."""

import jax
import jax.numpy as jnp
import optax


def _reduce(per_pixel: jax.Array, reduction: str) -> jax.Array:
    if reduction == "mean":
        return per_pixel.mean()
    if reduction == "image_sum":
        return per_pixel.sum() / per_pixel.shape[0]
    raise ValueError(f"reduction={reduction!r}; known: mean, image_sum")


def binary_cross_entropy(
    logits: jax.Array, targets: jax.Array, reduction: str = "mean"
) -> jax.Array:
    """Binary cross entropy of sigmoid outputs.

    Args:
      logits: (B, ...) float.
      targets: the same shape, in [0, 1].
      reduction: `"mean"` over all elements, or `"image_sum"`: summed over an image, mean over the
        batch (HARU-Net, Eq. 4).

    Returns:
      Scalar.
    """
    return _reduce(optax.sigmoid_binary_cross_entropy(logits, targets), reduction)


def cross_entropy(logits: jax.Array, labels: jax.Array, reduction: str = "mean") -> jax.Array:
    """Cross entropy of softmax outputs.

    Args:
      logits: (B, ..., classes) float.
      labels: (B, ...) integer class of each pixel.
      reduction: as in `binary_cross_entropy`, per pixel.

    Returns:
      Scalar.
    """
    labels = labels.astype(jnp.int32)
    return _reduce(optax.softmax_cross_entropy_with_integer_labels(logits, labels), reduction)
