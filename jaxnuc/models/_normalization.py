"""Batch normalization whose gradient reads a map twice, and of which XLA has little to compile.

The derivative of Flax's takes 64 operations a layer, which a network of a hundred layers traces,
lowers and compiles one by one at every start of a training.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Float

Maps = Float[Array, "*places c"]
OfChannels = Float[Array, " c"]
Statistics = tuple[OfChannels, OfChannels]


class BatchNorm(nn.Module):
    """`(..., C) -> (..., C)` by the mean and variance of each channel, as Flax's `nn.BatchNorm`.

    Parameters `scale` and `bias` and statistics `mean` and `var`, float32 all of them, have Flax's
    names. Differentiable in reverse mode only, with respect to the maps and the parameters.

    Attributes:
      train: whether by the statistics of the batch, which the running ones then follow.
      momentum: share of the running statistics that remains at each step.
      epsilon: added to the variance.
      axis_name: of devices that share the batch; None: the batch is here.
      dtype: of the result.
    """

    train: bool
    momentum: float
    epsilon: float
    axis_name: str | None
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        channels = (x.shape[-1],)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, channels, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        if not self.train:
            statistics = mean.value, var.value
            return _normalize(x, statistics, scale, bias, self.epsilon).astype(self.dtype)
        y, found = _normalize_batch(x, scale, bias, self.epsilon, self.axis_name)
        if not self.is_initializing():
            mean.value, var.value = _follow((mean.value, var.value), found, self.momentum)
        return y.astype(self.dtype)


# Traced once for all layers of one shape, as are the other two.
@partial(jax.jit, static_argnames="epsilon")
def _normalize(
    x: Maps, statistics: Statistics, scale: OfChannels, bias: OfChannels, epsilon: float
) -> Maps:
    mean, var = statistics
    return (x - mean) * (lax.rsqrt(var + epsilon) * scale) + bias


@partial(jax.jit, static_argnames="momentum")
def _follow(running: Statistics, found: Statistics, momentum: float) -> Statistics:
    return jax.tree.map(lambda old, new: momentum * old + (1 - momentum) * new, running, found)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _by_batch(
    x: Maps, scale: OfChannels, bias: OfChannels, epsilon: float, axis_name: str | None
) -> tuple[Maps, Statistics]:
    """Normalized maps, float32 or wider, and the statistics by which they are."""
    return _by_batch_forward(x, scale, bias, epsilon, axis_name)[0]


Saved = tuple[Maps, OfChannels, Statistics]


def _by_batch_forward(
    x: Maps, scale: OfChannels, bias: OfChannels, epsilon: float, axis_name: str | None
) -> tuple[tuple[Maps, Statistics], Saved]:
    places, numbers = tuple(range(x.ndim - 1)), _wide(x)
    mean, square = _mean((numbers.mean(places), lax.square(numbers).mean(places)), axis_name)
    statistics = mean, jnp.maximum(0, square - lax.square(mean))
    y = _normalize(numbers, statistics, scale, bias, epsilon)
    return (y, statistics), (x, scale, statistics)


def _by_batch_backward(
    epsilon: float, axis_name: str | None, saved: Saved, slopes: tuple[Maps, Statistics]
) -> tuple[Maps, OfChannels, OfChannels]:
    # Of the running statistics nothing is differentiated.
    x, scale, (mean, var) = saved
    dy, places = slopes[0], tuple(range(x.ndim - 1))
    factor = lax.rsqrt(var + epsilon)
    centered = _wide(x) - mean
    dbias, dscale = dy.sum(places), (dy * centered).sum(places) * factor
    # What a pixel does to the statistics, which it shares with the pixels of all devices.
    shift, stretch = _mean((dbias, dscale), axis_name)
    count = x.size // x.shape[-1]
    dx = (dy - (shift + centered * (stretch * factor)) / count) * (scale * factor)
    return dx.astype(x.dtype), dscale, dbias


_by_batch.defvjp(_by_batch_forward, _by_batch_backward)
_normalize_batch = jax.jit(_by_batch, static_argnums=(3, 4))


def _wide(x: Maps) -> Maps:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _mean(values: Statistics, axis_name: str | None) -> Statistics:
    if axis_name is None:
        return values
    first, second = lax.pmean(jnp.stack(values), axis_name)  # in one message
    return first, second
