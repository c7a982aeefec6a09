"""StarDist's U-Net: shared features with a head a map, and a branch of its own for classes.

Sources: Schmidt et al., "Cell Detection with Star-Convex Polygons", MICCAI 2018, with the defaults
of the published code; Weigert and Schmidt, "Nuclei instance segmentation and classification in
histopathology images with StarDist", ISBIC 2022, for the variant `conic`.
"""

from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models import _blocks
from jaxnuc.models._blocks import logits, upsample_nearest
from jaxnuc.models._gradients import max_pool_ceil
from jaxnuc.models._initial_values import glorot_uniform, he_normal
from jaxnuc.models.base import Block, FeatureMap, Images, Maps, Network, batch_norm
from jaxnuc.registry import one_of


class ResidualBlock(Block):
    """Two 3x3 convolutions, added to their input, which a 1x1 brings to their width if need be."""

    features: int

    @nn.compact
    def __call__(self, x: FeatureMap) -> FeatureMap:
        conv = partial(_blocks.conv, self, self.features, kernel_init=he_normal)
        y = conv(3)(x)  # made first: it is Conv_0
        y = conv(3)(nn.relu(y))
        return nn.relu(y + (x if x.shape[-1] == self.features else conv(1)(x)))


class Model(Network):
    """StarDist's network.

    Attributes:
      outputs: channels of each map; `{"prob": 1, "dist": 32}` in the paper. A map `class`, whose
        channels count the background, has features of its own beside those of all others.
      grid: 1, 2 or 4: the maps have one value for so many pixels each way, those at
        `(grid * row, grid * column)`; their sides are rounded up.
      n_depth: how often the U-Net halves its input.
      base: channels of its first level; they double at each level.
      features: channels of the layer before the heads.
      head_blocks: residual blocks in each head; those of `dist` are as wide as the map, others
        have half of `base`.
      in_channels: 3, or 1 for a network of gray images: it sees the mean of the colors.
      batch_norm: a normalization behind each convolution of the U-Net, an option of the published
        code that is off there; with it the network learns several times faster.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "conic": {"n_depth": 4, "base": 64, "features": 256, "head_blocks": 2},
        "small": {"base": 16, "features": 64},
        "tiny": {"n_depth": 2, "base": 4, "features": 8},
    }

    grid: int = 1
    n_depth: int = 3
    base: int = 32
    features: int = 128
    head_blocks: int = 0
    in_channels: int = 3
    batch_norm: bool = False

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        one_of("grid", self.grid, (1, 2, 4))
        if self.in_channels not in (1, 3):
            raise ValueError(f"in_channels={self.in_channels!r}; known: 1 (mean of the colors), 3")
        if self.n_depth < 1:
            raise ValueError(f"n_depth={self.n_depth} must be at least 1")
        conv = partial(_blocks.conv, self, kernel_init=glorot_uniform)

        def convs(x: FeatureMap, first: int, second: int, name: str) -> FeatureMap:
            for number, features in enumerate((first, second), start=1):
                x = conv(features, 3, f"{name}_conv{number}")(x)
                if self.batch_norm:
                    x = batch_norm(self, train, f"{name}_norm{number}")(x)
                x = nn.relu(x)
            return x

        x = images.astype(self.dtype)
        if self.in_channels == 1:
            x = x.mean(axis=-1, keepdims=True)
        for step in range(self.grid.bit_length() - 1):
            x = max_pool_ceil(convs(x, self.base, self.base, f"grid{step}"))
        width = [self.base * 2**level for level in range(self.n_depth + 1)]
        skips = []
        for level in range(self.n_depth):
            x = convs(x, width[level], width[level], f"down{level}")
            skips.append(x)
            x = max_pool_ceil(x)
        x = convs(x, width[-1], width[-2], "middle")
        for level in reversed(range(self.n_depth)):
            skip = skips[level]
            x = jnp.concatenate([upsample_nearest(x, like=skip), skip], axis=-1)
            x = convs(x, width[level], width[max(level - 1, 0)], f"up{level}")

        maps = {}
        shared: dict[str, jax.Array] = {}
        for name, channels in self.outputs.items():
            source = "class_features" if name == "class" else "features"
            if source not in shared:
                shared[source] = nn.relu(conv(self.features, 3, source)(x))
            y = shared[source]
            for block in range(self.head_blocks):
                features = channels if name == "dist" else self.base // 2
                y = ResidualBlock(features, name=f"{name}_block{block}", **self.common)(y)
            maps[name] = logits(conv(channels, name=f"{name}_head")(y))
        return maps
