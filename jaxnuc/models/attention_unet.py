"""Attention U-Net: a U-Net whose skips are gated by the decoder.

Source: Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", 2018; in two
dimensions and at the sizes at which it is compared with in nucleus segmentation.
"""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models._attention import AttentionGate
from jaxnuc.models._blocks import ConvNormAct, DoubleConv, heads, upsample_nearest
from jaxnuc.models._gradients import max_pool_ceil
from jaxnuc.models.base import Images, Maps, Network


class Model(Network):
    """Attention U-Net.

    Attributes:
      widths: channels of each level, from full resolution down.
      smallest_gate: a gate's inner width is half its level's, but at least this.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "small": {"widths": (16, 32, 64, 128), "smallest_gate": 8},
        "tiny": {"widths": (4, 8, 8), "smallest_gate": 2},
    }

    widths: Sequence[int] = (32, 64, 128, 256, 512)
    smallest_gate: int = 32

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        x = images.astype(self.dtype)
        skips = []
        for level, width in enumerate(self.widths):
            x = x if level == 0 else max_pool_ceil(x)
            x = DoubleConv(width, name=f"down{level}", **self.common)(x, train)
            skips.append(x)
        for level in reversed(range(len(self.widths) - 1)):
            skip, width = skips[level], self.widths[level]
            g = upsample_nearest(x, skip)
            g = ConvNormAct(width, use_bias=True, name=f"double{level}", **self.common)(g, train)
            skip = AttentionGate(
                max(width // 2, self.smallest_gate),
                use_bias=True,
                norm_psi=True,
                name=f"gate{level}",
                **self.common,
            )(skip, g, train)
            x = jnp.concatenate([skip, g], axis=-1)
            x = DoubleConv(width, name=f"up{level}", **self.common)(x, train)
        return heads(self, x)
