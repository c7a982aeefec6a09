"""DeepLabV3+: a dilated residual encoder, atrous spatial pyramid pooling, a light decoder.

Source: Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-decoder with atrous separable convolution for
semantic image segmentation", ECCV 2018, in its form with a residual network (section 4.1).
"""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models._blocks import ConvNormAct, heads, resize_bilinear
from jaxnuc.models._resnet import RESNET18, RESNET101, ResNetNetwork
from jaxnuc.models.base import Block, FeatureMap, Images, Maps


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


class Model(ResNetNetwork):
    """DeepLabV3+.

    With the fields of the residual encoder that `ResNetNetwork` has.

    Attributes:
      outputs: channels of each map; one 1x1 head a map, bilinear to the size of the images.
      rates: of the dilated 3x3; the paper doubles them at an output stride of 8.
      features: channels of the pyramid and of the decoder.
      low_features: channels to which the map of layer 1 is reduced before the decoder.
      dropout_rate: behind the pyramid, as in the published code.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "resnet101": RESNET101,
        "small": {**RESNET18, "base_width": 16, "features": 64, "low_features": 16},
        "tiny": {"blocks": (1, 1, 1, 1), "base_width": 4, "features": 4, "low_features": 3},
    }

    output_stride: int = 16
    rates: Sequence[int] = (6, 12, 18)
    features: int = 256
    low_features: int = 48
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        _, low, *_, x = self.encode(images, train)
        sizes = (self.features, self.rates, self.dropout_rate)
        x = PyramidPooling(*sizes, name="pyramid", **self.common)(x, train)
        low = ConvNormAct(self.low_features, kernel=1, name="low", **self.common)(low, train)
        x = jnp.concatenate([resize_bilinear(x, low), low], axis=-1)
        for i in (1, 2):
            x = ConvNormAct(self.features, name=f"decoder{i}", **self.common)(x, train)
        return {name: resize_bilinear(head, images) for name, head in heads(self, x).items()}
