"""Losses that look only at the boundaries of regions.

AL-Net (adaptive) is known by its abstract alone, which names a boundary stage with "gradient
manifold constraints" and no formula. These are our reconstruction of it.

References:
  Chen et al., AL-Net, Electronics 14(17):3507, 2025.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Float, Shaped

from jaxnuc.losses.arrays import Array, Number, Scalar
from jaxnuc.losses.region import filtered, gaussian, weighted_mean

_EPSILON = 1e-6


def band_cross_entropy(
    logits: Float[Array, "b h w c"],
    targets: Shaped[Array, "b h w c"],
    width: int = 3,
    *,
    weights: Shaped[Array, "#b #h #w #c"] | None = None,
    axis_name: str | None = None,
) -> Scalar:
    """Binary cross entropy of the pixels near the boundary of the ground truth.

    A pixel is near if one of the other side lies within `width` px of it in the chessboard metric:
    at a straight edge these are `width` pixels on each side. The image's border is no boundary, and
    neither is that of an ignored region.

    Args:
      logits: (B, H, W, C) float, each channel with a boundary of its own.
      targets: (B, H, W, C) in [0, 1]; a region is where they exceed 0.5.
      width: in pixels, at least 1.
      weights: of the pixels, broadcast against `logits`; pixels of weight 0 are on no side.
      axis_name: pmapped axis that shares the batch.

    Returns:
      Scalar, the mean over the band of the whole batch; 0 where it is empty.

    Raises:
      ValueError: the band has no width.
    """
    if width < 1:
        raise ValueError(f"width={width} px leaves no band; the narrowest has 1")
    weights = _of_pixels(weights, logits)
    inside, known = targets > 0.5, weights > 0
    band = _near(inside & known, width) & _near(~inside & known, width)
    entropy = optax.sigmoid_binary_cross_entropy(logits, targets)
    return weighted_mean(entropy, weights * band, axis_name)


def gradient_manifold(
    probabilities: Float[Array, "b h w c"],
    targets: Shaped[Array, "b h w c"],
    sigma: float = 1.0,
    band: Number = 0.05,
    off_band: Number = 0.1,
    *,
    weights: Shaped[Array, "#b #h #w #c"] | None = None,
    axis_name: str | None = None,
) -> Scalar:
    """Level lines must run as the true boundary does, and edges be as steep as the smoothed truth.

    With g the targets smoothed by a Gaussian, u and v the slopes of the probabilities and of g (3x3
    Sobel, divided by 8), and w = |v| / max |v| over the image, of the pixels with `|v| > band` the
    mean of `w (1 - <u, v> / (|u| |v| + 1e-6)) + ||u| - |v||`; of the others `off_band` times the
    mean of |u|. The unit normals u / |u| and v / |v| lie on a circle, the manifold.

    Nothing from outside the image comes in: g is the Gaussian mean over the pixels there are, and a
    pixel counts only if all its neighbors are in the image. Where u is 0, its gradient is finite
    but as steep as `|v| / 1e-6`; through a sigmoid it is so only at a map that is flat and unsure.

    Args:
      probabilities: (B, H, W, C) in [0, 1], each channel on its own.
      targets: (B, H, W, C) in [0, 1].
      sigma: of the Gaussian in pixels, above 0; it is cut off at 4 sigma.
      band: least slope of g at a boundary; that of a straight edge is 0.32 for sigma 1.
      off_band: weight of the slopes elsewhere.
      weights: of the pixels, broadcast against `probabilities`. Those of weight 0 are treated as
        outside the image.
      axis_name: pmapped axis that shares the batch.

    Returns:
      Scalar. Without any boundary only the slopes elsewhere remain.
    """
    weights = _of_pixels(weights, probabilities)
    known = (weights > 0).astype(probabilities.dtype)
    taps = gaussian(int(4 * sigma + 0.5), sigma)
    mass = filtered(filtered(known, taps, 1), taps, 2)
    smoothed = filtered(filtered(targets * known, taps, 1), taps, 2) / jnp.where(mass > 0, mass, 1)
    ones = np.ones(3)
    weights = weights * (filtered(filtered(known, ones, 1), ones, 2) > 8.5)  # all 9 are known

    u, v = _sobel(probabilities), _sobel(smoothed)
    steep, truth = _norm(u), _norm(v)
    near = truth > band
    largest = jnp.max(truth * (weights > 0), axis=(1, 2), keepdims=True)
    share = truth / jnp.where(largest > 0, largest, 1)
    turned = 1 - (u * v).sum(0) / (steep * truth + _EPSILON)
    on = weighted_mean(share * turned + jnp.abs(steep - truth), weights * near, axis_name)
    off = weighted_mean(steep, weights * ~near, axis_name)
    return on + off_band * off


def _of_pixels(weights: Array | None, maps: Array) -> jax.Array:
    return jnp.broadcast_to(1 if weights is None else weights, maps.shape).astype(maps.dtype)


def _near(region: Array, reach: int) -> jax.Array:
    """(B, H, W, C) bool: whether there is a pixel of the region in the square around each pixel."""
    near, side = jnp.asarray(region), 2 * reach + 1
    for window in ((1, side, 1, 1), (1, 1, side, 1)):
        near = lax.reduce_window(near, False, lax.bitwise_or, window, (1, 1, 1, 1), "SAME")
    return near


def _sobel(maps: Array) -> jax.Array:
    """(2, B, H, W, C) slopes along rows and columns."""
    blur, rise = np.array([1, 2, 1]) / 4, np.array([-1, 0, 1]) / 2
    return jnp.stack([filtered(filtered(maps, rise, a), blur, 3 - a) for a in (1, 2)])


def _norm(vectors: jax.Array) -> jax.Array:
    """Lengths along axis 0; the gradient of length 0 is 0."""
    squares = (vectors**2).sum(0)
    positive = squares > 1e-30
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)
