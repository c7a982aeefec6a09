"""Representations: how nuclei become maps a network can learn, and maps become nuclei again.

A representation has four members, and the rest of the library knows it only by them:

- `outputs`: `{map: channels}`, what the network is to produce;
- `encode(instances, classes, ignore)`: label maps (H, W) to target maps `{name: (H, W, C)}`; NumPy.
  With `ignore`, the map `valid` is among them; the loss leaves out the pixels in which it is 0;
- `loss(maps, targets, axis_name)`: a batch of maps and targets to a scalar and named parts; JAX;
- `decode(maps)`: the maps of one image, NumPy logits (H, W, C), to `Nuclei`; NumPy.

`encode` runs in the input workers: no module here imports JAX before a loss is computed.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxnuc import registry


class Nuclei(NamedTuple):
    """What is found in one image.

    Attributes:
      instances: (H, W) int32 label map, 0 background, ids 1..N.
      classes: (N,) int32 class of each nucleus in the order of ids, or None.
      scores: (N,) float32 in [0, 1] in the order of ids.
    """

    instances: np.ndarray
    classes: np.ndarray | None
    scores: np.ndarray


class Representation(Protocol):
    """The bridge between nuclei and maps."""

    @property
    def outputs(self) -> Mapping[str, int]: ...

    def encode(
        self,
        instances: np.ndarray,
        classes: np.ndarray | None = None,
        ignore: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]: ...

    def loss(
        self, maps: Mapping[str, Any], targets: Mapping[str, Any], axis_name: str | None = None
    ) -> tuple[Any, dict[str, Any]]: ...

    def decode(self, maps: Mapping[str, np.ndarray]) -> Nuclei: ...


def create(name: str, **arguments: Any) -> Representation:
    """Makes a representation: `create("contour", channels=2)`.

    Raises:
      ValueError: unknown name, argument or value; the message lists the known ones.
    """
    module = registry.load("jaxnuc.representations", name, "representation")
    fields = [f.name for f in dataclasses.fields(module.Representation)]
    for argument in arguments:
        if argument not in fields:
            raise registry.unknown(f"argument of {name}", argument, fields)
    return module.Representation(**arguments)
