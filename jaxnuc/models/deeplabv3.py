"""DeepLabV3: a dilated residual encoder and atrous spatial pyramid pooling, without a decoder.

Sources: Chen, Papandreou, Schroff, Adam, "Rethinking atrous convolution for semantic image
segmentation", 2017. The 3x3 behind the pyramid and its dropout are torchvision's, whose parameter
counts these are, without its auxiliary head.
"""

from collections.abc import Sequence
from typing import ClassVar

from flax import linen as nn

from jaxnuc.models._blocks import ConvNormAct, heads, resize_bilinear
from jaxnuc.models._resnet import RESNET18, RESNET101, ResNetNetwork
from jaxnuc.models.base import Images, Maps
from jaxnuc.models.deeplabv3_plus import PyramidPooling


class Model(ResNetNetwork):
    """DeepLabV3.

    With the fields of the residual encoder that `ResNetNetwork` has.

    Attributes:
      outputs: channels of each map; one 1x1 head a map, bilinear to the size of the images.
      rates: of the dilated 3x3; the paper halves them at an output stride of 16.
      features: channels of the pyramid.
      dropout_rate: behind the pyramid.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "resnet101": RESNET101,
        "small": {**RESNET18, "base_width": 16, "features": 64},
        "tiny": {"blocks": (1, 1, 1, 1), "base_width": 4, "features": 4},
    }

    rates: Sequence[int] = (12, 24, 36)
    features: int = 256
    dropout_rate: float = 0.5

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        *_, x = self.encode(images, train)
        sizes = (self.features, self.rates, self.dropout_rate)
        x = PyramidPooling(*sizes, name="pyramid", **self.common)(x, train)
        x = ConvNormAct(self.features, name="last", **self.common)(x, train)
        return {name: resize_bilinear(head, images) for name, head in heads(self, x).items()}
