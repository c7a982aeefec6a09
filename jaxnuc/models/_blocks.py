"""Pieces that several networks share. Layout NHWC throughout."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

Dtype = Any


class ConvNormAct(nn.Module):
    """Convolution, batch normalisation, ReLU: `(B, H, W, C) -> (B, H, W, features)`.

    The statistics are taken over the whole batch of all devices when `axis_name` is bound.
    """

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
        # An axis name may be looked up only where it is bound, hence not while initialising.
        x = nn.BatchNorm(
            use_running_average=not train,
            momentum=0.9,
            epsilon=1e-5,
            axis_name=None if self.is_initializing() else self.axis_name,
            dtype=self.dtype,
        )(x)
        return nn.relu(x)


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


def logits(x: jax.Array) -> jax.Array:
    """Logits leave a network in float32 whatever it computes in."""
    return x.astype(jnp.float32)
