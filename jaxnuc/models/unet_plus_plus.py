"""U-Net++: the gap between encoder and decoder is filled with nodes, each linked to all before.

Source: Zhou, Siddiquee, Tajbakhsh, Liang, "UNet++: A Nested U-Net Architecture for Medical Image
Segmentation", 2018.
"""

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnuc.models._blocks import DoubleConv, heads, resize_bilinear
from jaxnuc.models._gradients import max_pool_ceil
from jaxnuc.models.base import FeatureMap, Images, Maps, Network


def resize_between_corners(x: FeatureMap, like: FeatureMap) -> FeatureMap:
    """Bilinear to the height and width of `like`, corner pixels on corner pixels.

    Elsewhere `align_corners=True`: of n pixels made from m, pixel i lies at `i (m - 1) / (n - 1)`.
    """
    b, _, _, c = x.shape
    _, h, w, _ = like.shape
    if x.shape[1:3] == (h, w):
        return x
    before, after = np.array(x.shape[1:3]), np.array((h, w))
    # A single pixel fills the side.
    scale = np.where(before > 1, (after - 1) / np.maximum(before - 1, 1), after)
    shift = np.where(before > 1, (1 - scale) / 2, 0)  # from half-pixel centers, which JAX assumes
    return jax.image.scale_and_translate(
        x, (b, h, w, c), (1, 2), jnp.array(scale), jnp.array(shift), "linear", antialias=False
    )


class Model(Network):
    """U-Net++.

    Attributes:
      outputs: channels of each map; one 1x1 head a map, on the last node of full resolution.
      widths: channels of each level, from full resolution down.
      deep_supervision: gives the other decoder nodes of full resolution heads too; training gets
        their maps as side maps, from the shallowest node on. The output stays that of the last
        node, the paper's fast mode; its accurate mode averages all heads.
      align_corners: whether maps are enlarged corner on corner, or by half-pixel centers.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "small": {"widths": (16, 32, 64, 128)},
        "tiny": {"widths": (4, 8, 8)},
    }

    widths: Sequence[int] = (32, 64, 128, 256, 512)
    deep_supervision: bool = False
    align_corners: bool = True

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        resize = resize_between_corners if self.align_corners else resize_bilinear

        def node(x: FeatureMap, level: int, column: int) -> FeatureMap:
            name = f"node{level}_{column}"
            return DoubleConv(self.widths[level], name=name, **self.common)(x, train)

        x = images.astype(self.dtype)
        rows: list[list[jax.Array]] = []  # the nodes of each level
        for level in range(len(self.widths)):
            x = node(x if level == 0 else max_pool_ceil(x), level, 0)
            rows.append([x])
        for column in range(1, len(self.widths)):
            for level in range(len(self.widths) - column):
                row = rows[level]
                below = resize(rows[level + 1][column - 1], row[0])
                row.append(node(jnp.concatenate([*row, below], axis=-1), level, column))

        *others, last = rows[0][1:]
        maps = heads(self, last)
        if self.deep_supervision:
            sides = [heads(self, x, suffix=f"side{i}") for i, x in enumerate(others, start=1)]
            if train:
                maps["side"] = {name: [side[name] for side in sides] for name in self.outputs}
        return maps
