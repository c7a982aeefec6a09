"""The flexible U-Net: every dimension of a U-Net is an argument.

Sources: the TensorFlow projects "Slightly Flexible UNet" (variant `base`) and "Image Segmentation
Neoplastic Cell" (variant `neoplastic`) of antillia, which set kernel sizes and dilations by level.
"""

from functools import partial
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models import _blocks
from jaxnuc.models._blocks import Enlarge, heads
from jaxnuc.models._gradients import max_pool_ceil
from jaxnuc.models._initial_values import he_normal
from jaxnuc.models.base import Block, FeatureMap, Images, Maps, Network, batch_norm


class RegularizedDoubleConv(Block):
    """Convolution, ReLU, [norm], dropout, convolution, ReLU, [norm]."""

    features: int
    kernel: int
    dilation: int
    dropout_rate: float
    batch_norm: bool
    batch_norm_momentum: float

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        conv = partial(_blocks.conv, self, kernel_dilation=self.dilation, kernel_init=he_normal)
        for first in (True, False):
            x = nn.relu(conv(self.features, self.kernel)(x))
            if self.batch_norm:  # after the activation, with Keras' epsilon, as in the source
                x = batch_norm(self, train, momentum=self.batch_norm_momentum, epsilon=1e-3)(x)
            if first:
                x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return x


class Model(Network):
    """The flexible U-Net.

    Attributes:
      layers: number of levels.
      base_filters: channels of the first level; they double at each level.
      kernel: of the first level; each level takes 2 less, down to 3.
      dilation: of the first level.
      decay_dilation: each level takes 1 less, down to 1 (`neoplastic`), or all the same (`base`).
      decoder_kernels: `"level"`: a decoder level has its encoder level's kernel; `"shifted"`: that
        of the level below, as the base project does.
      dropout_rate: at level i the rate is `dropout_rate * i`.
      batch_norm: a normalization behind each activation.
      batch_norm_momentum: of its running statistics; short trainings want less than Keras' 0.99.
    """

    VARIANTS: ClassVar = {
        "neoplastic": {},
        "base": {"decay_dilation": False, "decoder_kernels": "shifted"},
        "small": {
            "layers": 5,
            "kernel": 3,
            "dilation": 1,
            "batch_norm": True,
            "batch_norm_momentum": 0.9,
            "dropout_rate": 0.0,
        },
        "tiny": {"layers": 3, "base_filters": 4},
    }

    layers: int = 7
    base_filters: int = 16
    kernel: int = 5
    dilation: int = 2
    decay_dilation: bool = True
    decoder_kernels: str = "level"
    dropout_rate: float = 0.07
    batch_norm: bool = False
    batch_norm_momentum: float = 0.99

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        kernels = [max(3, self.kernel - 2 * level) for level in range(self.layers)]
        decay = 1 if self.decay_dilation else 0
        dilations = [max(1, self.dilation - decay * level) for level in range(self.layers)]
        shift = {"level": 0, "shifted": 1}.get(self.decoder_kernels)
        if shift is None:
            raise ValueError(f"decoder_kernels={self.decoder_kernels!r}; known: level, shifted")
        deepest_rate = self.dropout_rate * (self.layers - 1)
        if not 0 <= deepest_rate < 1:
            raise ValueError(
                f"dropout_rate={self.dropout_rate} gives {deepest_rate:.2f} at the deepest of "
                f"{self.layers} levels; it must lie in [0, 1)"
            )

        def convs(x: FeatureMap, level: int, kernel: int, name: str) -> FeatureMap:
            return RegularizedDoubleConv(
                self.base_filters * 2**level,
                kernel,
                dilations[level],
                self.dropout_rate * level,
                self.batch_norm,
                self.batch_norm_momentum,
                name=name,
                **self.common,
            )(x, train)

        x = images.astype(self.dtype)
        skips = []
        for level in range(self.layers):
            x = convs(x if level == 0 else max_pool_ceil(x), level, kernels[level], f"down{level}")
            skips.append(x)
        for level in reversed(range(self.layers - 1)):
            skip = skips[level]
            _, h, w, c = skip.shape
            x = Enlarge(c, name=f"double{level}", **self.common)(x)[:, :h, :w]
            x = jnp.concatenate([x, skip], axis=-1)
            x = convs(x, level, kernels[level + shift], f"up{level}")
        return heads(self, x)
