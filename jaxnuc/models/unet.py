"""The U-Net, as it is commonly built now (`full`) and with the unpadded convolutions of the paper.

Sources: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", 2015; variant `valid` is the one that Graham et al., "HoVer-Net: Simultaneous
segmentation and classification of nuclei in multi-tissue histology images", 2019, compare with.
"""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from jaxnuc.models._blocks import DoubleConv, Enlarge, heads
from jaxnuc.models._gradients import max_pool_ceil
from jaxnuc.models.base import FeatureMap, Images, Maps, Network
from jaxnuc.registry import one_of


class Model(Network):
    """U-Net.

    Attributes:
      widths: channels of each level, from full resolution down.
      padding: `"same"`: maps have the size of the image; `"valid"`: convolutions see no padding and
        maps are `margin` px smaller. Any side above the margin fits; those of 16 k + 12 (five
        levels) are pooled without a remainder, as in the publication (268 to 84).
      batch_norm: a normalization behind each convolution.
      halve_on_the_way_up: whether the transposed convolutions take the channels of the level they
        lead to, as in the paper, or keep those of the level they come from.
      dropout_rate: behind the deepest convolutions.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "valid": {
            "padding": "valid",
            "batch_norm": False,
            "halve_on_the_way_up": False,
            "dropout_rate": 0.5,
        },
        "small": {"widths": (16, 32, 64, 128)},
        "tiny": {"widths": (4, 8, 8)},
    }

    widths: Sequence[int] = (64, 128, 256, 512, 1024)
    padding: str = "same"
    batch_norm: bool = True
    halve_on_the_way_up: bool = True
    dropout_rate: float = 0.0

    @property
    def margin(self) -> int:
        """Input side minus output side in pixels, half of it at each end: 184 for `valid`."""
        if self.padding == "same":
            return 0
        # Two convolutions take 4 px of their level: in all levels down, in all but one up.
        levels = len(self.widths)
        return 4 * (2**levels - 1) + 4 * (2 ** (levels - 1) - 1)

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        one_of("padding", self.padding, ("same", "valid"))
        _, height, width, _ = images.shape
        if min(height, width) <= self.margin:
            raise ValueError(
                f"an image of {height} x {width} px does not fit: the maps are {self.margin} px "
                f"smaller; the nearest side that fits is {self.margin + 1}"
            )

        def convs(x: FeatureMap, level: int, name: str) -> FeatureMap:
            options = {"padding": self.padding, "batch_norm": self.batch_norm, **self.common}
            return DoubleConv(self.widths[level], name=name, **options)(x, train)

        x = images.astype(self.dtype)
        skips = []
        for level in range(len(self.widths)):
            x = convs(x if level == 0 else max_pool_ceil(x), level, f"down{level}")
            skips.append(x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)

        lost = 2 if self.padding == "valid" else 0  # by two convolutions, at the left and the top
        start = 0  # where x begins in the coordinates of the skip of its level
        for level in reversed(range(len(self.widths) - 1)):
            features = self.widths[level] if self.halve_on_the_way_up else x.shape[-1]
            x = Enlarge(features, name=f"double{level}", **self.common)(x)
            start = 2 * (start + lost)
            skip = skips[level][:, start:, start:]
            # Padded, x can be a pixel larger than the skip; unpadded, the skip is the larger one.
            h, w = min(x.shape[1], skip.shape[1]), min(x.shape[2], skip.shape[2])
            x = jnp.concatenate([x[:, :h, :w], skip[:, :h, :w]], axis=-1)
            x = convs(x, level, f"up{level}")
            start += lost
        # Unpadded, a few px more than the margin allows come out where pooling met an odd side.
        return heads(self, x[:, : height - self.margin, : width - self.margin])
