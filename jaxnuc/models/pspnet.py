"""PSPNet: a dilated residual encoder and means over coarse grids of the image beside its features.

Source: Zhao, Shi, Qi, Wang, Jia, "Pyramid scene parsing network", CVPR 2017.
"""

from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from jaxnuc.models._blocks import ConvNormAct, heads, resize_bilinear
from jaxnuc.models._resnet import RESNET18, RESNET101, ResNetNetwork
from jaxnuc.models.base import AnyArray, FeatureMap, Images, Maps


def mean_of_cells(x: Float[AnyArray, "b h w c"], bins: int) -> Float[AnyArray, "b {bins} {bins} c"]:
    """Means over a grid of `bins` x `bins` cells that cover the image: `(B, bins, bins, C)`.

    Cell i reaches from row `i H / bins`, rounded down, to row `(i + 1) H / bins`, rounded up: cells
    share a row where the height is no multiple of their number, as in PyTorch's adaptive pooling.
    """

    _, h, w, _ = x.shape
    return jnp.einsum("ih,jw,bhwc->bijc", _weights(h, bins), _weights(w, bins), x).astype(x.dtype)


def _weights(side: int, bins: int) -> Float[AnyArray, "{bins} _"]:
    """What each pixel of a row weighs in the mean of each cell."""
    cell, pixel = jnp.arange(bins)[:, None], jnp.arange(side)
    inside = (pixel >= cell * side // bins) & (pixel < -(-(cell + 1) * side // bins))
    return inside / inside.sum(axis=1, keepdims=True)


class Model(ResNetNetwork):
    """PSPNet.

    With the fields of the residual encoder that `ResNetNetwork` has.

    Attributes:
      outputs: channels of each map; one 1x1 head a map, bilinear to the size of the images.
      bins: cells each way of the grids over which means are taken.
      features: channels of the last 3x3 and of each grid.
      auxiliary: channels of a second branch behind layer 3, which gives one side map each in
        training, which the paper weighs 0.4 (`side_weight` of the representation's loss); 0: none.
      dropout_rate: before the heads.
    """

    VARIANTS: ClassVar = {
        "full": {},
        "resnet101": RESNET101,
        "small": {**RESNET18, "base_width": 16, "features": 32, "auxiliary": 32},
        "tiny": {"blocks": (1, 1, 1, 1), "base_width": 4, "features": 4, "auxiliary": 4},
    }

    bins: Sequence[int] = (1, 2, 3, 6)
    features: int = 512
    auxiliary: int = 256
    dropout_rate: float = 0.1

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> Maps:
        *_, before, x = self.encode(images, train)

        def maps_of(x: FeatureMap, suffix: str) -> Maps:
            x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
            maps = heads(self, x, suffix=suffix)
            return {name: resize_bilinear(head, images) for name, head in maps.items()}

        levels = [x]
        for bins in self.bins:
            # The paper's 1x1 has a quarter of the encoder's channels, 512 of ResNet's 2048.
            reduce = ConvNormAct(self.features, 1, name=f"grid{bins}", **self.common)
            levels.append(resize_bilinear(reduce(mean_of_cells(x, bins), train), x))
        x = jnp.concatenate(levels, axis=-1)
        maps = maps_of(ConvNormAct(self.features, name="last", **self.common)(x, train), "head")
        if self.auxiliary and (train or self.is_initializing()):
            branch = ConvNormAct(self.auxiliary, name="auxiliary", **self.common)(before, train)
            side = maps_of(branch, "auxiliary_head")
            if train:
                maps["side"] = {name: [x] for name, x in side.items()}
        return maps
