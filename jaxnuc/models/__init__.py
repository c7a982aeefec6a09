"""Networks: an image goes in, named maps of logits come out; nothing here knows of nuclei.

The file name is the registry: `create("harunet", ...)` makes `jaxnuc.models.harunet.Model`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from jaxnuc import registry


def create(
    name: str, outputs: Mapping[str, int], variant: str | None = None, **arguments: Any
) -> nn.Module:
    """Makes a network.

    Args:
      name: a file of this package, such as `harunet` or `hovernet`.
      outputs: the maps to produce and their channels, e.g. `{"mask": 1, "contour": 1}`.
      variant: a named set of arguments of that network (its `VARIANTS`).
      **arguments: any field of the network; they win over the variant.

    Returns:
      A Linen module. `apply(variables, images, train=False)` takes `images: (B, H, W, 3)` float32
      in [0, 1] and returns `{map: (B, H, W, channels)}`, float32 logits at input resolution; with
      `train=True` networks with deep supervision add `"side": {map: [logits, ...]}`. A network
      without padding has a `margin`: its maps are that much smaller than the image, all around its
      centre. One with a `grid` has maps of (ceil(H / grid), ceil(W / grid)).

    Raises:
      ValueError: unknown network, variant or argument; the message lists the known ones.

    >>> create("harunet", outputs={"mask": 1, "contour": 1}, variant="small").attention
    'cbam'
    """
    module = registry.load("jaxnuc.models", name, "model")
    if variant is not None:
        if variant not in module.VARIANTS:
            raise registry.unknown(f"variant of {name}", variant, module.VARIANTS)
        arguments = {**module.VARIANTS[variant], **arguments}
    known = arguments_of(name)
    for argument in arguments:
        if argument not in known:
            raise registry.unknown(f"argument of {name}", argument, known)
    if not outputs:
        raise ValueError(f"{name} needs at least one output map, such as outputs={{'mask': 1}}")
    return module.Model(outputs=dict(outputs), **arguments)


def arguments_of(name: str) -> list[str]:
    """The names of the arguments of a network.

    Raises:
      ValueError: unknown network.
    """
    module = registry.load("jaxnuc.models", name, "model")
    return [f.name for f in dataclasses.fields(module.Model) if f.name not in ("parent", "name")]
