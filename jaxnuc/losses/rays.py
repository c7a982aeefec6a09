"""Losses of the distances along the rays of star-convex polygons."""

import jax.numpy as jnp
from jaxtyping import Float, Shaped

from jaxnuc.losses.arrays import Array, Number, Scalar
from jaxnuc.losses.region import weighted_mean
from jaxnuc.registry import one_of

_ERRORS = {"mae": jnp.abs, "mse": jnp.square}
_EPSILON = 1e-7


def ray_distance(
    distances: Float[Array, "b h w rays"],
    targets: Float[Array, "b h w rays"],
    mask: Shaped[Array, "b h w 1"],
    *,
    error: str = "mae",
    background: Number = 1e-4,
    weights: Shaped[Array, "b h w 1"] | None = None,
    axis_name: str | None = None,
) -> Scalar:
    """The error of distances where there are objects, and a pull towards 0 where there are none.

    With means over pixels and batch, and m the mask: `mean(m * mean_rays(error(d - t))) /
    (mean(m) + 1e-7) + background * mean((1 - m) * mean_rays(|d|))`.

    Args:
      distances: d, (B, H, W, R) float in pixels, any sign.
      targets: t, (B, H, W, R) float in pixels.
      mask: (B, H, W, 1) in [0, 1]; StarDist's is the object probability, so that pixels in the
        middle of an object count most.
      error: `"mae"`, absolute, or `"mse"`, squared.
      background: weight of the pull; 1e-4 in StarDist, 0.01 in its CoNIC variant.
      weights: of the pixels, (B, H, W, 1); means are weighted ones over the whole batch, 0 where
        all weights are. None: all weigh the same.
      axis_name: pmapped axis that shares the batch.

    Raises:
      ValueError: unknown error.

    References:
      Schmidt et al., "Cell Detection with Star-Convex Polygons", MICCAI 2018, section 2.1, in the
      normalized form of the published code.
    """
    one_of("error", error, _ERRORS)
    wrong = _ERRORS[error](distances - targets).mean(-1, keepdims=True)
    # The published code takes absolute values here for both errors.
    size = jnp.abs(distances).mean(-1, keepdims=True)
    mask = mask.astype(wrong.dtype)
    weights = jnp.ones_like(mask) if weights is None else weights

    def mean(x: Array) -> Scalar:
        return weighted_mean(x, weights, axis_name)

    return mean(mask * wrong) / (mean(mask) + _EPSILON) + background * mean((1 - mask) * size)
