"""DeepLabV3+: a dilated residual encoder, atrous spatial pyramid pooling, a light decoder.

Source: Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-decoder with atrous separable convolution for
semantic image segmentation", ECCV 2018, in its form with a residual network (section 4.1).
"""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models._blocks import ConvNormAct, heads, resize_bilinear
from jaxnuc.models._resnet import RESNET18, RESNET50, RESNET101, ResNet
from jaxnuc.models.base import Block, FeatureMap, Images, Maps, Network


class PyramidPooling(Block):
    """Atrous spatial pyramid pooling: a 1x1, a dilated 3x3 a rate and the image's mean, fused."""

    features: int
    rates: Sequence[int]
    dropout_rate: float

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        def conv(y: FeatureMap, name: str, kernel: int = 1, dilation: int = 1) -> FeatureMap:
            block = ConvNormAct(self.features, kernel, dilation, name=name, **self.common)
            return block(y, train)

        branches = [conv(x, "point")]
        branches += [conv(x, f"rate{rate}", 3, rate) for rate in self.rates]
        mean = conv(x.mean(axis=(1, 2), keepdims=True), "image")
        branches.append(jnp.broadcast_to(mean, branches[0].shape))
        x = conv(jnp.concatenate(branches, axis=-1), "fuse")
        return nn.Dropout(self.dropout_rate, deterministic=not train)(x)


class Model(Network):
    """DeepLabV3+.

    Attributes:
      outputs: channels of each map; one 1x1 head a map, bilinear to the size of the images.
      blocks: number of residual blocks in each of the four layers of the encoder.
      block: `"bottleneck"` or `"basic"`.
      base_width: channels of the encoder's stem.
      output_stride: of the encoder: 32, 16 or 8.
      rates: of the dilated 3x3; the paper doubles them at an output stride of 8.
      features: channels of the pyramid and of the decoder.
      low_features: channels to which the map of layer 1 is reduced before the decoder.
      dropout_rate: behind the pyramid, as in the published code.
      input_scale: images are `input_scale * images + input_offset` first, as in the published code.
      input_offset: as above; 1 and 0 leave the images as they are.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "resnet101": RESNET101,
        "small": {**RESNET18, "base_width": 16, "features": 64, "low_features": 16},
        "tiny": {"blocks": (1, 1, 1, 1), "base_width": 4, "features": 4, "low_features": 3},
    }

    blocks: Sequence[int] = RESNET50["blocks"]
    block: str = RESNET50["block"]
    base_width: int = 64
    output_stride: int = 16
    rates: Sequence[int] = (6, 12, 18)
    features: int = 256
    low_features: int = 48
    dropout_rate: float = 0.1
    input_scale: float = 2.0
    input_offset: float = -1.0

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        layout = (self.blocks, self.block, self.base_width, self.output_stride)
        encoder = ResNet(*layout, name="encoder", **self.common)
        _, low, *_, x = encoder(images * self.input_scale + self.input_offset, train)
        sizes = (self.features, self.rates, self.dropout_rate)
        x = PyramidPooling(*sizes, name="pyramid", **self.common)(x, train)
        low = ConvNormAct(self.low_features, kernel=1, name="low", **self.common)(low, train)
        x = jnp.concatenate([resize_bilinear(x, low), low], axis=-1)
        for i in (1, 2):
            x = ConvNormAct(self.features, name=f"decoder{i}", **self.common)(x, train)
        return {name: resize_bilinear(head, images) for name, head in heads(self, x).items()}
