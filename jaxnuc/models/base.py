"""What every network is: a Linen module from an image to named maps of logits."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from jaxnuc.models._normalization import BatchNorm

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


def batch_norm(
    block: Block, train: bool, name: str | None = None, momentum: float = 0.9, epsilon: float = 1e-5
) -> BatchNorm:
    """Batch normalization within `block`, whose `axis_name` and `dtype` it takes.

    The statistics are taken over the whole batch of all devices when the axis is bound.
    """
    # An axis name may be looked up only where it is bound, hence not while initializing.
    axis_name = None if block.is_initializing() else block.axis_name
    return BatchNorm(train, momentum, epsilon, axis_name, block.dtype, name=name)


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
      batch are taken over `axis_name`: `jaxnuc.models.batch_norm` does both;
    - dropout takes the random stream `"dropout"`.

    Training refuses maps of other names or shapes, see `check_maps`.

    Attributes:
      outputs: channels of each map that is asked for.
      VARIANTS: sets of arguments by name, for `"variant"` in a configuration; without one, the
        fields have their defaults. `"full"` is the published network, `"small"` trains on a laptop
        in minutes, `"tiny"` has the same graph with as few channels as tests need.
    """

    outputs: Mapping[str, int]

    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": {}}

    @property
    def margin(self) -> int:
        """Side of the image minus side of the maps in pixels, half of it at each end."""
        return 0

    @property
    def grid(self) -> int:
        """Pixels of the image for one of the maps, each way; maps begin at the first pixel."""
        return 1


def check_maps(network: Network, maps: Any, shape: Sequence[int]) -> None:
    """Refuses what a network returned if it is not what `Network` says.

    Args:
      network: that returned it.
      maps: what it returned; tracers will do.
      shape: of the images, `(B, H, W, 3)`.

    Raises:
      ValueError: names the first map that is missing, or of another shape or type.
    """
    name = type(network).__module__
    if not isinstance(maps, Mapping):
        raise ValueError(
            f"network {name!r} returns {type(maps).__name__}; a dict of maps by name is expected"
        )
    batch, *sides = shape[:3]
    own = [-(-(side - network.margin) // network.grid) for side in sides]
    for key, channels in network.outputs.items():
        if key not in maps:
            raise ValueError(
                f"network {name!r} gives no map {key!r}, which its `outputs` asks for; there are "
                f"{', '.join(maps) or 'none'}"
            )
        expected, found = (batch, *own, channels), tuple(maps[key].shape)
        if found != expected:
            raise ValueError(
                f"network {name!r} gives the map {key!r} as {found}; {expected} is expected, by "
                f"its outputs, margin={network.margin} and grid={network.grid}"
            )
        if maps[key].dtype != jnp.float32:
            raise ValueError(
                f"network {name!r} gives the map {key!r} in {maps[key].dtype}; float32 is expected"
            )
