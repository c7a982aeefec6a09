"""DCAN: a VGG trunk; every map is the sum of three scales of it, brought to full resolution.

Source: Chen, Qi, Yu, Heng, "DCAN: Deep contour-aware networks for accurate gland segmentation",
CVPR 2016, section 2. The paper leaves kernels and widths to a figure; the layers here are those of
the reimplementation for Graham et al., "HoVer-Net", Medical Image Analysis 58, 2019.
"""

from collections.abc import Sequence
from typing import ClassVar

from flax import linen as nn

from jaxnuc.models import _blocks
from jaxnuc.models._blocks import heads, resize_bilinear
from jaxnuc.models._gradients import max_pool_ceil
from jaxnuc.models._initial_values import he_normal
from jaxnuc.models.base import FeatureMap, Images, Maps, Network, batch_norm


class Model(Network):
    """DCAN: `{"mask": 2, "contour": 2}` are the paper's maps of objects and of their outlines.

    With `train=True`, `side` holds the three scales of each map, from the deepest to the finest;
    the map is their sum. Any size goes in.

    Attributes:
      outputs: channels of each map.
      stages: channels and number of 3x3 convolutions of each stage; each ends at half the
        resolution of the last, and the last two stages and the bottom feed the maps.
      bottom: channels behind the last stage, of a 7x7 and a 1x1 convolution.
      dropout_rate: between those two.
      batch_norm: a normalization before each activation. The paper has none, and starts from
        weights learned on natural images; without either a training starts slowly.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "small": {
            "stages": ((12, 2), (24, 2), (48, 3), (96, 3), (96, 3)),
            "bottom": 192,
            "batch_norm": True,
        },
        "tiny": {"stages": ((4, 1), (4, 1), (4, 1), (4, 1), (4, 1)), "bottom": 8},
    }

    stages: Sequence[tuple[int, int]] = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    bottom: int = 1024
    dropout_rate: float = 0.5
    batch_norm: bool = False

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        def conv(x: FeatureMap, features: int, kernel: int, name: str) -> FeatureMap:
            # The reimplementation has Xavier's, which halves the variance at each ReLU.
            x = _blocks.conv(self, features, kernel, name, kernel_init=he_normal)(x)
            return nn.relu(batch_norm(self, train, f"{name}_norm")(x) if self.batch_norm else x)

        x = images.astype(self.dtype)
        scales = []
        for stage, (features, count) in enumerate(self.stages, start=1):
            for i in range(1, count + 1):
                x = conv(x, features, 3, f"conv{stage}_{i}")
            scales.append(x)
            x = max_pool_ceil(x)
        x = conv(x, self.bottom, 7, "bottom_1")
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        scales = [conv(x, self.bottom, 1, "bottom_2"), scales[-1], scales[-2]]

        # In the paper and the reimplementation the features are upsampled, then the 1x1 follows.
        # Both are linear and the weights of an interpolation sum to 1, so that the order does not
        # matter to the numbers; it does to the cost, by a factor of hundreds. Half-pixel centers,
        # where the reimplementation shifts by up to half a coarse pixel.
        numbered = zip((3, 2, 1), scales, strict=True)
        coarse = [heads(self, x, suffix=f"scale{i}") for i, x in numbered]
        side = {
            name: [resize_bilinear(scale[name], images) for scale in coarse]
            for name in self.outputs
        }
        maps: dict = {name: sum(scales) for name, scales in side.items()}
        if train:
            maps["side"] = side
        return maps
