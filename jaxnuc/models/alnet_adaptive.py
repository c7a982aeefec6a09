"""AL-Net, adaptive learning: a reconstruction from the paper's abstract.

Published is that the network "integrates dilated convolutions with attention-guided skip
connections to dynamically integrate multi-scale contextual information", against nuclei of varying
shape and size. Depth, widths, dilations, normalization and the form of the attention are not, nor
is there code. They were chosen here: a U-Net of five levels from 32 channels; in each encoder level
a residual block with parallel convolutions of dilations 1, 2, 4 (1, 2, 4, 8 at the bottom); on each
skip the additive attention gate of Attention U-Net; bilinear enlargement. The other two ideas of
the paper, loss schedule and optimizer switch, are no part of the network.

Source: Chen, Peng, Yang, Zhao, Zhang, "AL-Net: Adaptive Learning for Enhanced Cell Nucleus
Segmentation in Pathological Images", Electronics 14(17):3507, 2025.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models import _blocks
from jaxnuc.models._attention import AttentionGate
from jaxnuc.models._blocks import ConvNormAct, heads, resize_bilinear
from jaxnuc.models._gradients import max_pool_ceil
from jaxnuc.models._initial_values import he_normal
from jaxnuc.models.base import Block, FeatureMap, Images, Maps, Network, batch_norm


class DilatedBlock(Block):
    """A residual block that sees several scales at once: `(B, H, W, C) -> (B, H, W, features)`.

    `relu(norm(cat(dilated convolutions of y)) + x)`, `y` a convolution of `x`. Each dilation takes
    a quarter of the channels and the first what is left; where `x` has other channels, it is
    projected by a normalized 1x1.
    """

    features: int
    dilations: Sequence[int]

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        conv = partial(_blocks.conv, self, use_bias=False, kernel_init=he_normal)
        y = ConvNormAct(self.features, name="conv", **self.common)(x, train)
        quarter = self.features // 4
        widths = [self.features - quarter * (len(self.dilations) - 1)]
        widths += [quarter] * (len(self.dilations) - 1)
        branches = [
            conv(width, 3, f"dilated{i}", kernel_dilation=dilation)(y)
            for i, (width, dilation) in enumerate(zip(widths, self.dilations, strict=True))
        ]
        y = batch_norm(self, train, "norm")(jnp.concatenate(branches, axis=-1))
        if x.shape[-1] != self.features:
            x = batch_norm(self, train, "norm_x")(conv(self.features, name="project")(x))
        return nn.relu(y + x)


class Model(Network):
    """AL-Net, adaptive learning (reconstruction).

    Attributes:
      widths: channels of each level, from full resolution down; multiples of 4.
      dilations: of the parallel convolutions in the encoder, 1 to 4 of them.
      bottom_dilations: the same, at the deepest level.
      mean: of each color over the training images, in [0, 1]; subtracted from the image.
      std: of each color; what is left is divided by it.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "small": {"widths": (16, 32, 64, 128)},
        "tiny": {"widths": (4, 8, 8)},
    }

    widths: Sequence[int] = (32, 64, 128, 256, 512)
    dilations: Sequence[int] = (1, 2, 4)
    bottom_dilations: Sequence[int] = (1, 2, 4, 8)
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        for width in self.widths:
            if width % 4:
                raise ValueError(f"widths={tuple(self.widths)}: {width} is no multiple of 4")
        for field in ("dilations", "bottom_dilations"):
            given = tuple(getattr(self, field))
            if not 1 <= len(given) <= 4:
                raise ValueError(f"{field}={given} has {len(given)} entries; 1 to 4 are possible")

        x = ((images - jnp.array(self.mean)) / jnp.array(self.std)).astype(self.dtype)
        skips = []
        for level, width in enumerate(self.widths):
            deepest = level == len(self.widths) - 1
            dilations = self.bottom_dilations if deepest else self.dilations
            x = x if level == 0 else max_pool_ceil(x)
            x = DilatedBlock(width, dilations, name=f"down{level}", **self.common)(x, train)
            skips.append(x)
        for level in reversed(range(len(self.widths) - 1)):
            skip, width = skips[level], self.widths[level]
            g = resize_bilinear(x, skip)
            g = ConvNormAct(width, name=f"double{level}", **self.common)(g, train)
            skip = AttentionGate(width // 2, name=f"gate{level}", **self.common)(skip, g, train)
            x = jnp.concatenate([skip, g], axis=-1)
            for i in range(2):
                x = ConvNormAct(width, name=f"up{level}_{i}", **self.common)(x, train)
        return heads(self, x)
