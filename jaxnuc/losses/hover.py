"""Losses of HoVer-Net's horizontal and vertical maps: squared errors of values and of slopes."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from jaxnuc.losses.arrays import Array, Scalar
from jaxnuc.losses.region import pooled_sum, weighted_mean
from jaxnuc.registry import one_of

_REACH = 2  # pixels on each side: a 5x5 kernel


def mean_squared_error(
    predictions: Float[Array, "*shape"],
    targets: Float[Array, "*shape"],
    *,
    weights: Shaped[Array, "*#shape"] | None = None,
    axis_name: str | None = None,
) -> Scalar:
    """Mean of `(target - prediction)^2` over all elements.

    Args:
      predictions: (B, ...) float.
      targets: the same shape, float.
      weights: of the elements, broadcast against `predictions`; the mean is the weighted one over
        the whole batch, 0 where all weights are. None: all weigh the same.
      axis_name: pmapped axis that shares the batch; of effect where there are weights.
    """
    squares = (targets - predictions) ** 2
    return squares.mean() if weights is None else weighted_mean(squares, weights, axis_name)


def mean_squared_gradient_error(
    predictions: Float[Array, "b h w 2"],
    targets: Float[Array, "b h w 2"],
    focus: Float[Array, "b h w 1"],
    *,
    msge_axis: str = "compat",
    valid: Float[Array, "b h w 1"] | None = None,
    axis_name: str | None = None,
) -> Scalar:
    """Mean over the nuclei of the squared error of the slopes of both maps (MSGE).

    A slope is taken by a 5x5 kernel that weighs a neighbor h columns and v rows away with
    `h / (h^2 + v^2)`, or transposed with `v / (h^2 + v^2)`. Both maps are 0 outside the image.

    Args:
      predictions: (B, H, W, 2) float, about [-1, 1]; channel 0 horizontal, 1 vertical.
      targets: (B, H, W, 2) float in [-1, 1].
      focus: (B, H, W, 1) float, 1 in nuclei and 0 elsewhere.
      msge_axis: `"compat"`: the horizontal map's slope along rows and the vertical map's along
        columns, as both published implementations compute it; `"paper"`: the horizontal map's
        along columns and the vertical map's along rows, as the paper writes it (Eq. 3).
      valid: (B, H, W, 1) float, 0 where nothing is annotated. The maps count as equal there: such
        a pixel has no slope of its own, adds nothing to the slopes of its neighbors and gets no
        gradient, as if the image ended there. None: all is annotated.
      axis_name: pmapped axis that shares the batch.

    Returns:
      Scalar; 0 where there are no nuclei.

    References:
      Graham et al., "HoVer-Net", Medical Image Analysis 58, 2019, Eq. 3, and its code.
    """
    one_of("msge_axis", msge_axis, ("compat", "paper"))
    # The slope of a difference is the difference of slopes: one filter in place of two.
    difference = targets - predictions
    if valid is not None:
        difference = difference * valid
        focus = focus * valid
    first = 1 if msge_axis == "compat" else 2
    slopes = jnp.stack(
        [_slope(difference[..., 0], first), _slope(difference[..., 1], 3 - first)], axis=-1
    )
    focus = jnp.broadcast_to(focus, slopes.shape)
    total = pooled_sum(focus, axis_name)
    return pooled_sum(focus * slopes**2, axis_name) / (total + 1e-8)


def _slope(maps: Array, axis: int) -> jax.Array:
    """(B, H, W) filtered with the kernel that rises along an axis: 1, rows, or 2, columns."""
    _, h, w = maps.shape
    padded = jnp.pad(maps, ((0, 0), (_REACH, _REACH), (_REACH, _REACH)))
    # Sums of shifted maps: XLA fuses them into one pass, on a CPU a tenth of a convolution's time,
    # and they are float32 on every device.
    total = jnp.zeros_like(maps)
    for top, left in np.ndindex(2 * _REACH + 1, 2 * _REACH + 1):
        offset = (top - _REACH, left - _REACH)
        if along := offset[axis - 1]:
            weight = along / (offset[0] ** 2 + offset[1] ** 2)
            total = total + weight * padded[:, top : top + h, left : left + w]
    return total
