"""HARU-Net: nested residual U-blocks, attention on the skips, context fusion, one branch a map.

Source: Chen, Huang, Chen, Qian, Yu, "Enhancing Nucleus Segmentation with HARU-Net: A Hybrid
Attention Based Residual U-Blocks Network"; the nested blocks are those of U2-Net (Qin et al.,
"U2-Net: Going deeper with nested U-structure for salient object detection", 2020).
"""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from jaxnuc.models import _blocks
from jaxnuc.models._blocks import ConvNormAct, DoubleConv, logits, resize_bilinear
from jaxnuc.models._gradients import max_pool_ceil
from jaxnuc.models.base import AnyArray, Block, FeatureMap, Images, Maps, Network
from jaxnuc.registry import one_of

# (height of the block, or "4f" for the dilated one; middle channels; output channels)
Stage = tuple[int | str, int, int]

ENCODER: tuple[Stage, ...] = (
    (7, 32, 64),
    (6, 32, 128),
    (5, 64, 256),
    (4, 128, 512),
    ("4f", 256, 512),
    ("4f", 256, 512),
)
DECODER: tuple[Stage, ...] = (  # from the deepest to full resolution
    ("4f", 256, 512),
    (4, 128, 256),
    (5, 64, 128),
    (6, 32, 64),
    (7, 16, 64),
)


def uniform(stages: Sequence[Stage], middle: int, out: int) -> tuple[Stage, ...]:
    """The same blocks, all of one width, as U2-Net-P has them."""
    return tuple((height, middle, out) for height, _, _ in stages)


class ResidualUBlock(Block):
    """RSU-L: a U-Net of `height` levels within a residual block (paper, section 3.1).

    `height="4f"` is the block of the deepest stages, which dilates instead of pooling.
    """

    height: int | str
    middle: int
    features: int
    use_bias: bool = False

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "b h w _"], train: bool
    ) -> Float[AnyArray, "b h w {self.features}"]:
        dilated = self.height == "4f"
        height = 4 if dilated else int(self.height)

        def conv(x: FeatureMap, features: int, dilation: int = 1) -> FeatureMap:
            block = ConvNormAct(features, 3, dilation, self.use_bias, **self.common)
            return block(x, train)

        inner = conv(x, self.features)
        skips = [conv(inner, self.middle)]
        for level in range(1, height - 1):
            below = skips[-1] if dilated else max_pool_ceil(skips[-1])
            skips.append(conv(below, self.middle, 2**level if dilated else 1))
        y = conv(skips[-1], self.middle, 8 if dilated else 2)
        for level in reversed(range(height - 1)):
            skip = skips[level]
            y = jnp.concatenate([resize_bilinear(y, skip), skip], axis=-1)
            y = conv(y, self.middle if level else self.features, 2**level if dilated else 1)
        return y + inner


class ChannelGate(Block):
    """Channel attention: `x * sigmoid(MLP(mean) + MLP(max))` (paper, section 3.2)."""

    reduction: int

    @nn.compact
    def __call__(self, x: Float[AnyArray, "b h w c"]) -> Float[AnyArray, "b h w c"]:
        c = x.shape[-1]
        squeeze = _blocks.dense(self, max(c // self.reduction, 1), use_bias=False)
        excite = _blocks.dense(self, c, use_bias=False)
        pooled = (x.mean(axis=(1, 2)), x.max(axis=(1, 2)))
        weights = sum(excite(nn.relu(squeeze(p))) for p in pooled)
        return x * nn.sigmoid(weights)[:, None, None, :]


class SpatialGate(Block):
    """Spatial attention: a 7x7 convolution over the maximum and the mean of the channels."""

    @nn.compact
    def __call__(self, x: Float[AnyArray, "b h w c"]) -> Float[AnyArray, "b h w c"]:
        pooled = jnp.stack([x.max(axis=-1), x.mean(axis=-1)], axis=-1)
        return x * nn.sigmoid(_blocks.conv(self, 1, 7, use_bias=False)(pooled))


class ContextFusion(Block):
    """CF-block: weighs the side maps by squeeze and excitation, then fuses them by a 1x1.

    The pooled vectors are added before the MLP; the published code fuses by 1x1 where the paper's
    text has 3x3 (section 3.3).
    """

    features: int

    @nn.compact
    def __call__(self, x: Float[AnyArray, "b h w _"]) -> Float[AnyArray, "b h w {self.features}"]:
        c = x.shape[-1]
        pooled = x.mean(axis=(1, 2)) + x.max(axis=(1, 2))
        hidden = nn.relu(_blocks.dense(self, c // self.features)(pooled))
        weights = nn.sigmoid(_blocks.dense(self, c)(hidden))
        return _blocks.conv(self, self.features)(x * weights[:, None, None, :])


class Model(Network):
    """HARU-Net and, by its arguments, U2-Net and every row of HARU-Net's ablation table.

    Attributes:
      outputs: channels of each map; `{"mask": 1, "contour": 1}` has sigmoid heads (the paper),
        2 channels softmax heads (the published code), only `"mask"` no contour branch.
      encoder: (block height or "4f", middle, output channels) of each stage, from full resolution.
      decoder: the same, from the deepest stage up; one stage fewer than the encoder.
      block: `"rsu"`, or `"double_conv"` for plain convolutions of the same output width.
      attention: on the skips: `"cbam"`, channel and spatial gate, at the deepest the channel gate
        alone; `"cbam_everywhere"`, both at the deepest too; `"channel"`, no spatial gate at all;
        or `"none"`.
      fusion: of the side maps: `"context"` (CF-block), `"conv"` (U2-Net's 1x1), or `"none"`
        (the finest side map is the output).
      deep_supervision: whether training gets the side maps; a U-Net has neither them nor fusion.
      reduction: of the channel gates; the deepest one takes `2 * reduction`.
      use_bias: biases in the convolutions before a normalization, as U2-Net has.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "small": {"encoder": uniform(ENCODER, 16, 64), "decoder": uniform(DECODER, 16, 64)},
        "tiny": {
            "encoder": ((3, 2, 4), (2, 2, 4), ("4f", 2, 4)),
            "decoder": ((2, 2, 4), (3, 2, 4)),
            "reduction": 1,
        },
    }

    encoder: Sequence[Stage] = ENCODER
    decoder: Sequence[Stage] = DECODER
    block: str = "rsu"
    attention: str = "cbam"
    fusion: str = "context"
    deep_supervision: bool = True
    reduction: int = 16
    use_bias: bool = False

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        one_of("block", self.block, ("rsu", "double_conv"))
        one_of("attention", self.attention, ("cbam", "cbam_everywhere", "channel", "none"))
        one_of("fusion", self.fusion, ("context", "conv", "none"))
        depth = len(self.encoder)
        if len(self.decoder) != depth - 1:
            raise ValueError(
                f"{depth} encoder stages need {depth - 1} decoder stages, got {len(self.decoder)}"
            )

        def stage(spec: Stage, name: str) -> nn.Module:
            if self.block == "double_conv":  # the U-Net row of the ablation table
                return DoubleConv(spec[-1], self.use_bias, name=name, **self.common)
            return ResidualUBlock(*spec, self.use_bias, name=name, **self.common)

        skips = []
        x = images.astype(self.dtype)
        for level, spec in enumerate(self.encoder, start=1):
            x = stage(spec, f"encoder{level}")(x if level == 1 else max_pool_ceil(x), train)
            skips.append(x)

        features = [x]
        for level, spec in zip(range(depth - 1, 0, -1), self.decoder, strict=True):
            skip = skips[level - 1]
            deepest = level == depth - 1
            if self.attention != "none":
                reduction = self.reduction * (2 if deepest else 1)
                skip = ChannelGate(reduction, name=f"channel_gate{level}", **self.common)(skip)
            if self.attention == "cbam_everywhere" or (self.attention == "cbam" and not deepest):
                skip = SpatialGate(name=f"spatial_gate{level}", **self.common)(skip)
            x = jnp.concatenate([resize_bilinear(x, skip), skip], axis=-1)
            x = stage(spec, f"decoder{level}")(x, train)
            features.append(x)

        levels = range(depth, 0, -1)
        if self.fusion == "none" and not self.deep_supervision:
            levels, features = levels[-1:], features[-1:]  # no other side map would be used
        maps: dict = {}
        side: dict = {}
        for name, channels in self.outputs.items():
            side[name] = [  # from the deepest to the finest
                resize_bilinear(_blocks.conv(self, channels, 3, f"{name}_side{level}")(f), images)
                for level, f in zip(levels, features, strict=True)
            ]
            stacked = jnp.concatenate(side[name], axis=-1)
            if self.fusion == "context":
                fused = ContextFusion(channels, name=f"{name}_fusion", **self.common)(stacked)
            elif self.fusion == "conv":
                fused = _blocks.conv(self, channels, name=f"{name}_fusion")(stacked)
            else:
                fused = side[name][-1]
            maps[name] = logits(fused)
        if train and self.deep_supervision:
            # Without fusion the finest side map is the output itself and is not supervised twice.
            last = -1 if self.fusion == "none" else None
            maps["side"] = {name: [logits(m) for m in side[name][:last]] for name in side}
        return maps
