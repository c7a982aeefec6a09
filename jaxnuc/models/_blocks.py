"""Pieces that several networks share. Layout NHWC throughout."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

Dtype = Any


def batch_norm(module: Any, train: bool, name: str | None = None) -> nn.BatchNorm:
    """Batch normalisation within `module`, whose `axis_name` and `dtype` it takes.

    The statistics are taken over the whole batch of all devices when the axis is bound.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        # An axis name may be looked up only where it is bound, hence not while initialising.
        axis_name=None if module.is_initializing() else module.axis_name,
        dtype=module.dtype,
        name=name,
    )


class ConvNormAct(nn.Module):
    """Convolution, batch normalisation, ReLU: `(B, H, W, C) -> (B, H, W, features)`."""

    features: int
    kernel: int = 3
    dilation: int = 1
    use_bias: bool = False
    axis_name: str | None = None
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = nn.Conv(
            self.features,
            (self.kernel, self.kernel),
            kernel_dilation=self.dilation,
            use_bias=self.use_bias,
            kernel_init=nn.initializers.he_normal(),
            dtype=self.dtype,
        )(x)
        return nn.relu(batch_norm(self, train)(x))


class DoubleSize(nn.Module):
    """Transposed 2x2 convolution of stride 2: `(B, H, W, C) -> (B, 2H, 2W, features)`.

    Kernel and stride are equal, so that no outputs overlap and it is one matrix product a pixel
    followed by a rearrangement: the same numbers, and much faster than a general one on a CPU.
    """

    features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        b, h, w, c = x.shape
        init = nn.initializers.glorot_uniform(in_axis=2, out_axis=3)
        kernel = self.param("kernel", init, (2, 2, c, self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        y = jnp.einsum("bhwc,ijcf->bhiwjf", x, kernel.astype(self.dtype))
        return y.reshape(b, 2 * h, 2 * w, self.features) + bias.astype(self.dtype)


def max_pool_ceil(x: jax.Array) -> jax.Array:
    """2x2 maximum, stride 2; an odd side keeps its last row or column: `(B, ceil(H/2), ...)`."""
    return nn.max_pool(x, (2, 2), (2, 2), padding="SAME")


def resize_bilinear(x: jax.Array, like: jax.Array) -> jax.Array:
    """Bilinear (half-pixel centres) to the height and width of `like`."""
    b, _, _, c = x.shape
    _, h, w, _ = like.shape
    if x.shape[1:3] == (h, w):
        return x
    # Shrinking happens only by the rounding of odd sides, where antialiasing would blur.
    return jax.image.resize(x, (b, h, w, c), "linear", antialias=False)


def upsample_nearest(x: jax.Array, like: jax.Array | None = None, factor: int = 2) -> jax.Array:
    """Repeats each pixel `factor` times both ways, then crops to the sides of `like`."""
    x = jnp.repeat(jnp.repeat(x, factor, axis=1), factor, axis=2)
    return x if like is None else x[:, : like.shape[1], : like.shape[2]]


def logits(x: jax.Array) -> jax.Array:
    """Logits leave a network in float32 whatever it computes in."""
    return x.astype(jnp.float32)
