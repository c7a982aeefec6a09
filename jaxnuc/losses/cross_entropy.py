"""Cross entropies, from logits."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, Integer, Shaped

from jaxnuc.losses.arrays import Array, Scalar
from jaxnuc.losses.region import weighted_mean
from jaxnuc.registry import one_of


def _reduce(
    per_pixel: Array, reduction: str, weights: Array | None, axis_name: str | None
) -> Scalar:
    one_of("reduction", reduction, ("mean", "image_sum"))
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
    """Cross entropy of softmax outputs, `labels` the class of each pixel.

    Reduction, weights of the pixels and axis are as in `binary_cross_entropy`.
    """
    per_pixel = optax.softmax_cross_entropy_with_integer_labels(logits, labels.astype(jnp.int32))
    return _reduce(per_pixel, reduction, weights, axis_name)


def foreground_entropy(
    logits: Float[Array, "b h w c"],
    targets: Shaped[Array, "b h w 1"],
    reduction: str = "mean",
    *,
    valid: Float[Array, "b h w 1"] | None = None,
    axis_name: str | None = None,
) -> tuple[Scalar, Array, Array]:
    """Cross entropy of a foreground map, and what losses of regions take.

    Args:
      logits: of a sigmoid where there is one channel, of a softmax where there are two.
      targets: 1 in the foreground, 0 elsewhere.
      reduction: as in `binary_cross_entropy`.
      valid: 0 where pixels do not count, 1 elsewhere; None: all count.
      axis_name: pmapped axis that shares the batch.

    Returns:
      The cross entropy, and probabilities and targets of the shape of the logits, both 0 in pixels
      that do not count, which are in neither region.
    """
    if logits.shape[-1] == 1:
        p, t = jax.nn.sigmoid(logits), targets.astype(jnp.float32)
        entropy = binary_cross_entropy(logits, t, reduction, weights=valid, axis_name=axis_name)
    else:
        labels, weights = targets[..., 0], None if valid is None else valid[..., 0]
        p, t = jax.nn.softmax(logits), jax.nn.one_hot(labels, logits.shape[-1])
        entropy = cross_entropy(logits, labels, reduction, weights=weights, axis_name=axis_name)
    return (entropy, p, t) if valid is None else (entropy, p * valid, t * valid)
