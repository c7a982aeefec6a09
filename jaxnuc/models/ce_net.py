"""CE-Net: a residual encoder, dense atrous convolution, multi-kernel pooling, additive skips.

Source: Gu et al., "CE-Net: Context encoder network for 2D medical image segmentation", IEEE TMI
38(10), 2019.
"""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models._attention import DenseAtrous
from jaxnuc.models._blocks import ConvNormAct, conv, heads, resize_bilinear
from jaxnuc.models._initial_values import lecun_normal
from jaxnuc.models._resnet import RESNET34, ResNet
from jaxnuc.models.base import Block, Dtype, FeatureMap, Images, Maps, Network, batch_norm


def double_by_transposed(features: int, kernel: int, dtype: Dtype) -> nn.ConvTranspose:
    """Transposed convolution of stride 2, 3x3 or 4x4, that doubles both sides.

    In torch's terms: padding 1, and output padding 1 where the kernel is odd.
    """
    pad = (kernel - 2, 2)
    return nn.ConvTranspose(
        features,
        (kernel, kernel),
        (2, 2),
        padding=(pad, pad),
        dtype=dtype,
        kernel_init=lecun_normal,
    )


class MultiKernelPooling(Block):
    """Residual multi-kernel pooling: appends one channel a window to `x` (paper, section II-C).

    Maximum over windows of several sizes, one 1x1 convolution for all, and bilinear back.
    """

    windows: Sequence[int]

    @nn.compact
    def __call__(self, x: FeatureMap) -> FeatureMap:
        _, h, w, _ = x.shape
        point = conv(self, 1)
        maps = []
        for window in self.windows:
            # The paper's maps are larger than any window; in small images a window is the map.
            sides = (min(window, h), min(window, w))
            maps.append(resize_bilinear(point(nn.max_pool(x, sides, sides)), x))
        return jnp.concatenate([*maps, x], axis=-1)


class DecoderBlock(Block):
    """1x1 to a quarter of the channels, transposed 3x3 of stride 2, 1x1; doubles both sides."""

    features: int

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        def point(y: FeatureMap, features: int) -> FeatureMap:
            return ConvNormAct(features, kernel=1, use_bias=True, **self.common)(y, train)

        quarter = x.shape[-1] // 4
        x = double_by_transposed(quarter, 3, self.dtype)(point(x, quarter))
        x = nn.relu(batch_norm(self, train)(x))
        return point(x, self.features)


class Model(Network):
    """CE-Net.

    Attributes:
      outputs: channels of each map; each has its own 3x3 head.
      blocks: number of basic residual blocks in each of the four layers of the encoder.
      base_width: channels at half resolution; the deepest level has 8 times as many.
      windows: of the multi-kernel pooling.
      input_scale: images are `input_scale * images + input_offset` first.
      input_offset: as above; 1 and 0 leave the images as they are.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "small": {"blocks": (1, 1, 1, 1), "base_width": 16},
        "tiny": {"blocks": (1, 1, 1, 1), "base_width": 8},
    }

    blocks: Sequence[int] = RESNET34["blocks"]
    base_width: int = 64
    windows: Sequence[int] = (2, 3, 5, 6)
    input_scale: float = 3.2
    input_offset: float = -1.6

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        _, height, width, _ = images.shape
        stem, *skips, x = ResNet(
            self.blocks, RESNET34["block"], self.base_width, name="encoder", **self.common
        )(images * self.input_scale + self.input_offset, train)
        x = DenseAtrous(name="dense_atrous", **self.common)(x)
        x = MultiKernelPooling(self.windows, name="pooling", **self.common)(x)
        for level, skip in zip((4, 3, 2), reversed(skips), strict=True):
            _, h, w, c = skip.shape
            x = DecoderBlock(c, name=f"decoder{level}", **self.common)(x, train)[:, :h, :w] + skip
        _, h, w, c = stem.shape
        x = DecoderBlock(c, name="decoder1", **self.common)(x, train)[:, :h, :w]
        half = self.base_width // 2
        x = nn.relu(double_by_transposed(half, 4, self.dtype)(x))[:, :height, :width]
        x = nn.relu(conv(self, half, 3)(x))
        return heads(self, x, kernel=3)
