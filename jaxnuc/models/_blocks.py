"""Pieces that several networks share. Layout NHWC throughout."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Initializer
from jaxtyping import Float

from jaxnuc.models._gradients import convolve
from jaxnuc.models._initial_values import glorot_uniform, he_normal, lecun_normal
from jaxnuc.models.base import AnyArray, Block, FeatureMap, Maps, Network, batch_norm


def conv(
    block: Block,
    features: int,
    kernel: int = 1,
    name: str | None = None,
    kernel_init: Initializer = lecun_normal,
    **arguments: Any,
) -> nn.Conv:
    """A convolution within `block`, whose `dtype` it takes."""
    return nn.Conv(
        features,
        (kernel, kernel),
        dtype=block.dtype,
        name=name,
        kernel_init=kernel_init,
        conv_general_dilated=convolve,
        **arguments,
    )


def dense(block: Block, features: int, use_bias: bool = True) -> nn.Dense:
    """A dense layer within `block`, whose `dtype` it takes."""
    return nn.Dense(features, use_bias=use_bias, dtype=block.dtype, kernel_init=lecun_normal)


class ConvNormAct(Block):
    """Convolution, batch normalization if any, ReLU: `(B, H, W, C) -> (B, H, W, features)`.

    With `padding="valid"` the result is `dilation * (kernel - 1)` pixels smaller each way.
    """

    features: int
    kernel: int = 3
    dilation: int = 1
    use_bias: bool = False
    padding: str = "same"
    batch_norm: bool = True

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        x = conv(
            self,
            self.features,
            self.kernel,
            padding=self.padding.upper(),
            kernel_dilation=self.dilation,
            use_bias=self.use_bias,
            kernel_init=he_normal,
        )(x)
        return nn.relu(batch_norm(self, train)(x) if self.batch_norm else x)


class DoubleConv(Block):
    """Twice `ConvNormAct` with a 3x3 kernel: `(B, H, W, C) -> (B, H, W, features)`."""

    features: int
    use_bias: bool = True
    padding: str = "same"
    batch_norm: bool = True

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        for _ in range(2):
            x = ConvNormAct(
                self.features,
                use_bias=self.use_bias,
                padding=self.padding,
                batch_norm=self.batch_norm,
                **self.common,
            )(x, train)
        return x


class Enlarge(Block):
    """Transposed convolution whose kernel and stride are `factor`: `(B, factor H, factor W, ...)`.

    Because kernel and stride are equal, no outputs overlap and it is one matrix product a pixel
    followed by a rearrangement: the same numbers, and much faster than a general one on a CPU.
    """

    features: int
    factor: int = 2
    kernel_init: Initializer = glorot_uniform
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "b h w _"]
    ) -> Float[AnyArray, "b {self.factor}*h {self.factor}*w {self.features}"]:
        b, h, w, c = x.shape
        f = self.factor
        kernel = self.param("kernel", self.kernel_init, (f, f, c, self.features), jnp.float32)
        bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        # In two dimensions, or XLA rearranges pixels one by one, and their gradients twice.
        columns = kernel.astype(self.dtype).transpose(2, 0, 1, 3).reshape(c, -1)
        y = (x.reshape(-1, c) @ columns).reshape(b, h, w, f, f, self.features)
        y = y.transpose(0, 1, 3, 2, 4, 5).reshape(b, f * h, f * w, self.features)
        return y + bias.astype(self.dtype)


def resize_bilinear(
    x: Float[AnyArray, "b _ _ c"], like: Float[AnyArray, "b h w _"]
) -> Float[AnyArray, "b h w c"]:
    """Bilinear (half-pixel centers) to the height and width of `like`."""
    b, _, _, c = x.shape
    _, h, w, _ = like.shape
    if x.shape[1:3] == (h, w):
        return x
    # Shrinking happens only by the rounding of odd sides, where antialiasing would blur.
    return jax.image.resize(x, (b, h, w, c), "linear", antialias=False)


def upsample_nearest(x: FeatureMap, like: FeatureMap | None = None, factor: int = 2) -> FeatureMap:
    """Repeats each pixel `factor` times both ways, then crops to the sides of `like`."""
    x = jnp.repeat(jnp.repeat(x, factor, axis=1), factor, axis=2)
    return x if like is None else x[:, : like.shape[1], : like.shape[2]]


def logits(x: FeatureMap) -> FeatureMap:
    """Logits leave a network in float32 whatever it computes in."""
    return x.astype(jnp.float32)


def heads(
    network: Network,
    x: FeatureMap,
    kernel: int = 1,
    suffix: str = "head",
    make: Callable[..., nn.Conv] = conv,
) -> Maps:
    """A convolution of its own for each map that a network is asked for: `(B, H, W, channels)`."""
    return {
        name: logits(make(network, channels, kernel, f"{name}_{suffix}")(x))
        for name, channels in network.outputs.items()
    }
