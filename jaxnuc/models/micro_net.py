"""Micro-Net: every level of the encoder sees the image itself again, at its own resolution.

Source: Raza, Cheung, Shaban, Graham, Epstein, Pelengaris, Khan, Rajpoot, "Micro-Net: A unified
model for segmentation of various objects in microscopy images", Medical Image Analysis 52, 2019;
the layers are those of the reimplementation for Graham et al., "HoVer-Net", Medical Image
Analysis 58, 2019.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models import _blocks
from jaxnuc.models._blocks import Enlarge, heads
from jaxnuc.models._gradients import max_pool_ceil
from jaxnuc.models._initial_values import VarianceScaling, glorot_uniform
from jaxnuc.models.base import Block, FeatureMap, Images, Maps, Network, batch_norm

BIAS = nn.initializers.constant(0.1)
# An unpadded convolution; `padding=kernel - 1` adds to the sides what it would take.
conv = partial(_blocks.conv, padding=0, kernel_init=glorot_uniform, bias_init=BIAS)


def shrink(images: FeatureMap, height: int, width: int) -> FeatureMap:
    """Bicubic: (B, H, W, C) to (B, height, width, C).

    The kernel widens with the factor. The reimplementation samples single 4x4 neighborhoods, of
    which the coarsest image skips most pixels.
    """
    b, _, _, c = images.shape
    return jax.image.resize(images, (b, height, width, c), "cubic")


def enlarge(block: Block, features: int, factor: int, name: str) -> Enlarge:
    """A transposed convolution; its kernel is drawn for one input pixel, whatever the factor."""
    init = VarianceScaling(1.0, "in", "truncated_normal", space=False)
    return Enlarge(features, factor, init, BIAS, name=name, **block.common)


class Down(Block):
    """Two convolutions and a maximum on the features, beside two convolutions on the image."""

    features: int

    @nn.compact
    def __call__(self, x: FeatureMap, image: FeatureMap, train: bool) -> FeatureMap:
        def convs(x: FeatureMap, name: str) -> FeatureMap:
            x = conv(self, self.features, 3, f"{name}_1", use_bias=False)(x)
            x = nn.relu(batch_norm(self, train, f"{name}_norm")(x))
            return nn.relu(conv(self, self.features, 3, f"{name}_2")(x))

        main, resized = max_pool_ceil(convs(x, "main")), convs(image, "resized")
        return jnp.concatenate([main, resized], axis=-1)


class Up(Block):
    """Twice the size, two convolutions, and the skip beside, both padded to the level's size."""

    features: int

    @nn.compact
    def __call__(self, x: FeatureMap, skip: FeatureMap) -> FeatureMap:
        _, h, w, _ = skip.shape  # four less than the level's, and `x` may have one too many
        x = enlarge(self, self.features, 2, "double")(x)[:, : h + 4, : w + 4]
        for i in (1, 2):
            x = nn.relu(conv(self, self.features, 3, f"conv{i}")(x))
        # A 5x5 transposed convolution of stride 1 is a convolution padded by 4.
        x = conv(self, self.features, 5, "extend", padding=4)(x)
        skip = conv(self, self.features, 5, "extend_skip", padding=4)(skip)
        x = jnp.concatenate([x, skip], axis=-1)
        return nn.relu(conv(self, self.features, name="fuse")(x))


class Model(Network):
    """Micro-Net: `{"mask": 2}` is the paper's map; 252 pixels in, 252 out.

    The convolutions are unpadded, but levels grow back what they lose, and the `margin` is 0.
    With `train=True`, `side` holds the three auxiliary outputs, from the deepest to the finest.

    Halving and doubling the levels fit each other at any size, save at the bottom: half the pixels
    must go, and its convolutions take 8. At 237 to 252 there are 16 of them; at other sizes the
    bottom's input is resized to what its convolutions need. As the bottom sees another scale then,
    it is best to train and to predict at one size.

    Attributes:
      outputs: channels of each map. The auxiliary branches have as many channels as the maps
        together, and at least 2; the maps share them, each with its own last convolution.
      widths: channels of each half (features, resized image) of the encoder's levels.
      bottom: channels of the deepest level.
      dropout_rate: of the auxiliary branches.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "small": {"widths": (6, 12, 24, 48), "bottom": 192},
        "tiny": {"widths": (4, 4, 4, 4), "bottom": 8},
    }

    widths: Sequence[int] = (64, 128, 256, 512)
    bottom: int = 2048
    dropout_rate: float = 0.5

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        b, height, width, _ = images.shape
        smallest = 4 * 2 ** len(self.widths) - 3
        if height < smallest or width < smallest:
            raise ValueError(
                f"images of {height} x {width} px do not fit: the unpadded convolutions "
                f"leave nothing of them; the nearest side that fits is {smallest}"
            )

        h, w = height + 4, width + 4  # of a level; the last two convolutions take the 4 off
        x = images.astype(self.dtype)
        skips = []
        for level, features in enumerate(self.widths, start=1):
            h, w = (h + 1) // 2, (w + 1) // 2
            image = shrink(images, h, w).astype(self.dtype)
            x = Down(features, name=f"down{level}", **self.common)(x, image, train)
            skips.append(x)  # (B, h - 4, w - 4, 2 * features)

        h, w = (h + 1) // 2, (w + 1) // 2
        x = jax.image.resize(x, (b, h + 4, w + 4, x.shape[-1]), "linear")
        for i in (1, 2):
            x = nn.relu(conv(self, self.bottom, 3, f"bottom{i}")(x))

        branches = []
        branch_features = max(2, sum(self.outputs.values()))
        for level in range(len(self.widths), 0, -1):
            features, skip = 2 * self.widths[level - 1], skips[level - 1]
            x = Up(features, name=f"up{level}", **self.common)(x, skip)
            if level == len(self.widths):
                continue  # the deepest level has no auxiliary output
            y = enlarge(self, x.shape[-1], 2**level, f"branch{level}_enlarge")(x)
            y = y[:, : height + 4, : width + 4]
            y = nn.relu(conv(self, branch_features, 3, f"branch{level}")(y))
            branches.append(nn.Dropout(self.dropout_rate, deterministic=not train)(y))

        maps = heads(self, jnp.concatenate(branches, axis=-1), 3, make=conv)
        numbered = zip(range(len(branches), 0, -1), branches, strict=True)
        sides = [heads(self, branch, 3, f"side{level}", make=conv) for level, branch in numbered]
        if train:
            maps["side"] = {name: [side[name] for side in sides] for name in self.outputs}
        return maps
