"""Networks: an image goes in, named maps of logits come out; nothing here knows of nuclei.

The file name is the registry: `create("harunet", ...)` makes `jaxnuc.models.harunet.Model`, and
`create("my_package.my_net", ...)` the class `Model` of that module. `jaxnuc.models.base` says what
a network must do.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxnuc.models._initial_values import Initialization, initialize
from jaxnuc.models.base import Dtype, Network, batch_norm, check_maps
from jaxnuc.registry import Registry, split, unknown

__all__ = [
    "REGISTRY",
    "Initialization",
    "Network",
    "batch_norm",
    "build",
    "check_maps",
    "create",
    "initialize",
]

REGISTRY = Registry(
    "network",
    "jaxnuc.models",
    "Model",
    helpers=("base", "cost"),
    base=Network,
    elsewhere={
        "outputs": "the maps are those of the representation",
        "axis_name": "the training names the devices' axis",
        "dtype": "set compute_dtype",
        "parent": "Flax sets it",
        "name": "Flax sets it",
    },
)


def create(
    name: str,
    outputs: Mapping[str, int],
    variant: str | None = None,
    *,
    axis_name: str | None = None,
    dtype: Dtype = jnp.float32,
    **arguments: Any,
) -> Network:
    """Makes a network.

    Args:
      name: a file of this package, such as `harunet` or `hovernet`, or a dotted name.
      outputs: the maps to produce and their channels, e.g. `{"mask": 1, "contour": 1}`.
      variant: a named set of arguments of that network (its `VARIANTS`).
      axis_name: name of the pmapped axis over which batch statistics are taken, if any.
      dtype: of the computation; parameters and logits are float32.
      **arguments: any field of the network; they win over the variant.

    Returns:
      A Linen module: `apply(variables, images, train=False)` takes `images: (B, H, W, 3)` float32
      in [0, 1] and returns `{map: (B, H, W, channels)}`; see `jaxnuc.models.Network`.

    Raises:
      ValueError: unknown network, variant or argument; the message lists the known ones.

    >>> create("harunet", outputs={"mask": 1, "contour": 1}, variant="small").attention
    'cbam'
    """
    section = {"name": name, "variant": variant, **arguments}
    return build(section, outputs, axis_name=axis_name, dtype=dtype)


def build(
    section: Mapping[str, Any],
    outputs: Mapping[str, int],
    *,
    axis_name: str | None = None,
    dtype: Dtype = jnp.float32,
) -> Network:
    """Makes the network of a section `{"name": ..., "variant": ..., **arguments}`; see `create`."""
    name, arguments = split(section, REGISTRY.kind)
    variants = REGISTRY.find(name).VARIANTS  # type: ignore[attr-defined]
    variant = arguments.pop("variant", None)
    if variant is not None and variant not in variants:
        raise unknown(f"variant of network {name!r}:", variant, variants)
    if not outputs:
        raise ValueError(
            f"network {name!r} needs at least one output map, such as outputs={{'mask': 1}}"
        )
    section = {**variants.get(variant, {}), **arguments, "name": name}
    return REGISTRY.build(section, outputs=dict(outputs), axis_name=axis_name, dtype=dtype)
