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
      name: a file of this package: `harunet`, `u2net`, `flexible_unet`.
      outputs: the maps to produce and their channels, e.g. `{"mask": 1, "contour": 1}`.
      variant: a named set of arguments of that network (its `VARIANTS`).
      **arguments: any field of the network; they win over the variant.

    Returns:
      A Linen module. `apply(variables, images, train=False)` takes `images: (B, H, W, 3)` float32
      in [0, 1] and returns `{map: (B, H, W, channels)}`, float32 logits at input resolution; with
      `train=True` networks with deep supervision add `"side": {map: [logits, ...]}`.

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
    fields = [f.name for f in dataclasses.fields(module.Model) if f.name not in ("parent", "name")]
    for argument in arguments:
        if argument not in fields:
            raise registry.unknown(f"argument of {name}", argument, fields)
    if not outputs:
        raise ValueError(f"{name} needs at least one output map, such as outputs={{'mask': 1}}")
    return module.Model(outputs=dict(outputs), **arguments)
