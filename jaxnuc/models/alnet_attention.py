"""AL-Net (attention learning): context coding in the encoder, attention learning on the skips.

Source: Zhao et al., "AL-Net: Attention learning network based on multi-task learning for cervical
nucleus segmentation", IEEE JBHI 26(6), 2022. The nucleus region is the task of the decoder; its
boundary, the auxiliary task, is read from the attention features.
"""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models._attention import AttentionLearn, ContextCode
from jaxnuc.models._blocks import ConvNormAct, conv, logits, upsample_nearest
from jaxnuc.models._resnet import RESNET34, ResNet
from jaxnuc.models.base import FeatureMap, Images, Maps, Network


class Model(Network):
    """AL-Net, attention learning.

    Attributes:
      outputs: channels of each map; the paper has `{"mask": 1, "contour": 1}`.
      attention_outputs: maps with these names are sums of 1x1 heads of the attention features at
        each level; all others are 1x1 heads of the decoder.
      blocks: number of basic residual blocks in each of the four layers of the encoder.
      base_width: channels at half resolution; the deepest level has 8 times as many.
      reduction: of the channels in the excitation of the context coding.
      attention_width: channels of the finest level of the codec in the attention learning.
      input_scale: images are `input_scale * images + input_offset` first.
      input_offset: as above; 1 and 0 leave the images as they are.
      bgr: channels in the order blue, green, red, as OpenCV reads them and as the published code
        feeds them.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "small": {"blocks": (1, 1, 1, 1), "base_width": 16, "attention_width": 8},
        "tiny": {"blocks": (1, 1, 1, 1), "base_width": 4, "reduction": 1, "attention_width": 4},
    }

    attention_outputs: Sequence[str] = ("contour",)
    blocks: Sequence[int] = RESNET34["blocks"]
    base_width: int = 64
    reduction: int = 8
    attention_width: int = 16
    input_scale: float = 3.2
    input_offset: float = -1.6
    bgr: bool = False

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        # Made here, called within the encoder: the next layer takes the coded map.
        contexts = [
            ContextCode(self.reduction, name=f"context{i}", **self.common) for i in (1, 2, 3, 4)
        ]
        encoder = ResNet(
            self.blocks, RESNET34["block"], self.base_width, name="encoder", **self.common
        )
        x = (images[..., ::-1] if self.bgr else images) * self.input_scale + self.input_offset
        *skips, x = encoder(x, train, between=lambda level, y: contexts[level](y))
        attended = [
            AttentionLearn(self.attention_width, name=f"attention{i}", **self.common)(skip, train)
            for i, skip in enumerate(skips, start=1)
        ]

        def conv_norm(y: FeatureMap, features: int, name: str) -> FeatureMap:
            return ConvNormAct(features, use_bias=True, name=name, **self.common)(y, train)

        for level in range(4, 0, -1):
            skip = attended[level - 1]
            x = conv_norm(upsample_nearest(x, skip), skip.shape[-1], f"up{level + 1}")
            x = jnp.concatenate([skip, x], axis=-1)
            x = conv_norm(x, skip.shape[-1], f"decoder{level + 1}")
        x = conv_norm(upsample_nearest(x, images), self.base_width, "up1")

        def head(y: FeatureMap, channels: int, name: str) -> FeatureMap:
            return logits(conv(self, channels, name=name)(y))

        maps = {}
        for name, channels in self.outputs.items():
            if name in self.attention_outputs:
                # A 1x1 before the upsampling is the paper's 1x1 behind it, on fewer pixels.
                maps[name] = sum(
                    upsample_nearest(head(y, channels, f"{name}_head{i}"), images, factor=2**i)
                    for i, y in enumerate(attended, start=1)
                )
            else:
                maps[name] = head(x, channels, f"{name}_head")
        return maps
