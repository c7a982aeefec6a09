"""DeepLabV3: a dilated residual encoder and atrous spatial pyramid pooling, without a decoder.

Sources: Chen, Papandreou, Schroff, Adam, "Rethinking atrous convolution for semantic image
segmentation", 2017. The 3x3 behind the pyramid and its dropout are torchvision's, whose parameter
counts these are, without its auxiliary head.
"""

from collections.abc import Sequence
from typing import ClassVar

from flax import linen as nn

from jaxnuc.models._blocks import ConvNormAct, heads, resize_bilinear
from jaxnuc.models._resnet import RESNET18, RESNET50, RESNET101, ResNet
from jaxnuc.models.base import Images, Maps, Network
from jaxnuc.models.deeplabv3_plus import PyramidPooling


class Model(Network):
    """DeepLabV3.

    Attributes:
      outputs: channels of each map; one 1x1 head a map, bilinear to the size of the images.
      blocks: number of residual blocks in each of the four layers of the encoder.
      block: `"bottleneck"` or `"basic"`.
      base_width: channels of the encoder's stem.
      output_stride: of the encoder: 32, 16 or 8.
      rates: of the dilated 3x3; the paper halves them at an output stride of 16.
      features: channels of the pyramid.
      dropout_rate: behind the pyramid.
      input_scale: images are `input_scale * images + input_offset` first.
      input_offset: as above; 1 and 0 leave the images as they are.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "resnet101": RESNET101,
        "small": {**RESNET18, "base_width": 16, "features": 64},
        "tiny": {"blocks": (1, 1, 1, 1), "base_width": 4, "features": 4},
    }

    blocks: Sequence[int] = RESNET50["blocks"]
    block: str = RESNET50["block"]
    base_width: int = 64
    output_stride: int = 8
    rates: Sequence[int] = (12, 24, 36)
    features: int = 256
    dropout_rate: float = 0.5
    input_scale: float = 2.0
    input_offset: float = -1.0

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        layout = (self.blocks, self.block, self.base_width, self.output_stride)
        encoder = ResNet(*layout, name="encoder", **self.common)
        *_, x = encoder(images * self.input_scale + self.input_offset, train)
        sizes = (self.features, self.rates, self.dropout_rate)
        x = PyramidPooling(*sizes, name="pyramid", **self.common)(x, train)
        x = ConvNormAct(self.features, name="last", **self.common)(x, train)
        return {name: resize_bilinear(head, images) for name, head in heads(self, x).items()}
