"""Residual networks as encoders: ResNet-18, 34, 50 and 101, and any layout between them.

Sources: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016; padding,
names and the place of the stride are torchvision's, so that its weights fit: the path of a
parameter, joined by "_", is torchvision's key with "_" for ".".
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from flax import linen as nn

from jaxnuc.models import _blocks, base
from jaxnuc.models._initial_values import fan_out_normal
from jaxnuc.models.base import FeatureMap, Images, batch_norm
from jaxnuc.registry import one_of

RESNET18: dict[str, Any] = {"blocks": (2, 2, 2, 2), "block": "basic"}
RESNET34: dict[str, Any] = {"blocks": (3, 4, 6, 3), "block": "basic"}
RESNET50: dict[str, Any] = {"blocks": (3, 4, 6, 3), "block": "bottleneck"}
RESNET101: dict[str, Any] = {"blocks": (3, 4, 23, 3), "block": "bottleneck"}

# channels behind a block, as a multiple of the channels within it
EXPANSION = {"basic": 1, "bottleneck": 4}


def conv(
    block: base.Block, name: str, features: int, kernel: int, stride: int = 1, dilation: int = 1
) -> nn.Conv:
    """Convolution without bias, padded alike on both sides whatever the stride."""
    return _blocks.conv(
        block,
        features,
        kernel,
        name,
        strides=stride,
        padding=dilation * (kernel // 2),
        kernel_dilation=dilation,
        use_bias=False,
        kernel_init=fan_out_normal,
    )


class Block(base.Block):
    """Residual block: two 3x3 (`basic`), or 1x1, 3x3, 1x1 (`bottleneck`), and the input added.

    The first 3x3 has the stride and a dilation of its own, `first_dilation`.
    """

    width: int
    block: str
    stride: int = 1
    first_dilation: int = 1
    dilation: int = 1

    @nn.compact
    def __call__(self, x: FeatureMap, train: bool) -> FeatureMap:
        out = self.width * EXPANSION[self.block]
        first: tuple[int, ...] = (self.width, 3, self.stride, self.first_dilation)
        if self.block == "basic":
            convs = [first, (out, 3, 1, self.dilation)]
        else:
            # The paper has the stride in the first 1x1, the published weights in the 3x3 ("v1.5").
            convs = [(self.width, 1), first, (out, 1)]
        y = x
        for i, spec in enumerate(convs, start=1):
            y = batch_norm(self, train, f"bn{i}")(conv(self, f"conv{i}", *spec)(y))
            if i < len(convs):
                y = nn.relu(y)
        if self.stride != 1 or x.shape[-1] != out:
            x = conv(self, "downsample_0", out, 1, self.stride)(x)
            x = batch_norm(self, train, "downsample_1")(x)
        return nn.relu(x + y)


class ResNet(base.Block):
    """The convolutional part of a residual network.

    Attributes:
      blocks: number of blocks in each layer.
      block: `"basic"` or `"bottleneck"`.
      base_width: channels of the stem and within the blocks of layer 1; they double a layer.
      output_stride: of the last layers: 32, or 16 or 8, by dilation in place of the strides beyond.
    """

    blocks: Sequence[int] = RESNET50["blocks"]
    block: str = RESNET50["block"]
    base_width: int = 64
    output_stride: int = 32

    @nn.compact
    def __call__(
        self,
        images: FeatureMap,
        train: bool,
        between: Callable[[int, FeatureMap], FeatureMap] = lambda level, x: x,
    ) -> list[jax.Array]:
        """Computes the feature maps.

        Args:
          images: `(B, H, W, C)`, scaled as the weights want them.
          train: whether batch statistics are those of this batch.
          between: `between(level, x)` takes the place of each `x` that enters a layer: level 0 is
            the pooled stem, 1 to 3 are the layers before the last.

        Returns:
          The maps of the stem (stride 2, before the pool, not by way of `between`) and of layers 1
          to 4 (strides 4 to `output_stride`). Sides are rounded up.

        """
        one_of("block", self.block, EXPANSION)
        one_of("output_stride", self.output_stride, (8, 16, 32))
        if len(self.blocks) != 4:
            raise ValueError(f"blocks={tuple(self.blocks)}; one number for each of the 4 layers")
        x = conv(self, "conv1", self.base_width, 7, 2)(images.astype(self.dtype))
        x = nn.relu(batch_norm(self, train, "bn1")(x))
        features = [x]
        x = between(0, nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1))))
        reached, dilation = 4, 1
        for layer, number in enumerate(self.blocks, start=1):
            # Where dilation takes the place of the stride, the 3x3 that had it still sees the grid
            # of the layer before: every second pixel is then what the stride would have given.
            stride, first_dilation = 1, dilation
            if layer > 1 and reached < self.output_stride:
                stride, reached = 2, 2 * reached
            elif layer > 1:
                dilation *= 2
            for i in range(number):
                x = Block(
                    self.base_width * 2 ** (layer - 1),
                    self.block,
                    stride if i == 0 else 1,
                    first_dilation if i == 0 else dilation,
                    dilation,
                    **self.common,
                    name=f"layer{layer}_{i}",
                )(x, train)
            if layer < len(self.blocks):
                x = between(layer, x)
            features.append(x)
        return features


class ResNetNetwork(base.Network):
    """A network whose features are those of a residual encoder.

    Attributes:
      blocks: number of residual blocks in each of the four layers of the encoder.
      block: `"bottleneck"` or `"basic"`.
      base_width: channels of the encoder's stem.
      output_stride: of the encoder: 32, 16 or 8.
      input_scale: images are `input_scale * images + input_offset` first, as in the published code.
      input_offset: as above; 1 and 0 leave the images as they are.
    """

    blocks: Sequence[int] = RESNET50["blocks"]
    block: str = RESNET50["block"]
    base_width: int = 64
    output_stride: int = 8
    input_scale: float = 2.0
    input_offset: float = -1.0

    def encode(self, images: Images, train: bool) -> list[jax.Array]:
        """The feature maps of the encoder; to be called once, within `__call__`."""
        layout = (self.blocks, self.block, self.base_width, self.output_stride)
        encoder = ResNet(*layout, name="encoder", **self.common)
        return encoder(images * self.input_scale + self.input_offset, train)
