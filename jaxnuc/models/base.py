"""What every network is: a Linen module from an image to named maps of logits."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

# Networks compute with JAX's arrays; from outside they take those of NumPy too.
if TYPE_CHECKING:
    AnyArray = Array
else:
    AnyArray = Array | np.ndarray
Dtype = Any
Images = Float[AnyArray, "b h w 3"]
FeatureMap = Float[AnyArray, "_ _ _ _"]
Maps = dict[str, Any]  # by name: logits (B, H', W', channels); "side": lists of them by name


class Block(nn.Module, kw_only=True):
    """A network or a part of one.

    Attributes:
      axis_name: name of the pmapped axis over which batch statistics are taken; None: this batch.
      dtype: of the computation; parameters and running statistics are float32 in any case.
    """

    axis_name: str | None = None
    dtype: Dtype = jnp.float32

    @property
    def common(self) -> dict[str, Any]:
        """What a block hands on to the blocks within it."""
        return {"axis_name": self.axis_name, "dtype": self.dtype}


class Network(Block):
    """Base class of the networks.

    A network is a subclass named `Model` in a module of its own. It adds its arguments as fields
    and implements `__call__(images, train=False)` under `nn.compact`:

    - `images` are `(B, H, W, 3)` float32 in [0, 1], of any sides unless it says which ones fit;
    - it returns `{name: (B, H', W', channels)}` for the names and channels in `outputs`, float32
      logits. `H'` is `H - margin`, then divided by `grid` and rounded up, and so is `W'`;
    - with `train=True` a network with deep supervision adds `"side"`: for each name a list of such
      maps, from the deepest to the finest;
    - parameters and running statistics are float32 whatever `dtype` is, and the statistics of a
      batch are taken over `axis_name`: `jaxnuc.models._blocks.batch_norm` does both;
    - dropout takes the random stream `"dropout"`.

    Attributes:
      outputs: channels of each map that is asked for.
    """

    outputs: Mapping[str, int]

    # Sets of arguments by name. "full" is the published network, "small" trains on a laptop in
    # minutes, "tiny" has the same graph with as few channels as tests need.
    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": {}}

    @property
    def margin(self) -> int:
        """Side of the image minus side of the maps in pixels, half of it at each end."""
        return 0

    @property
    def grid(self) -> int:
        """Pixels of the image for one of the maps, each way; maps begin at the first pixel."""
        return 1
