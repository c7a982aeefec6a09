"""Representations: how nuclei become maps a network can learn, and maps become nuclei again.

A representation has four members, and the rest of the library knows it only by them:

- `outputs`: `{map: channels}`, what the network is to produce;
- `encode(instances, classes, ignore)`: label maps (H, W) to target maps `{name: (H, W, C)}`; NumPy.
  With `ignore`, the map `valid` is among them; the loss leaves out the pixels in which it is 0;
- `loss(maps, targets, axis_name, factors)`: a batch of maps and targets to a scalar and named
  parts; JAX. `factors` is what a loss schedule says at this step, by name
  (`jaxnuc.losses.schedules`): `"side"` multiplies the weight of the side maps of every
  representation, others are in the representation's attribute `factors`;
- `decode(maps)`: the maps of one image, NumPy logits (H, W, C), to `Nuclei`; NumPy.

`encode` runs in the input workers: no module here imports JAX before a loss is computed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxnuc import registry
from jaxnuc.labels import LabelSet
from jaxnuc.postprocess.masks import Mask


class Nuclei(NamedTuple):
    """What is found in one image.

    Attributes:
      instances: (H, W) int32 label map, 0 background, ids 1..N.
      classes: (N,) int32 class of each nucleus in the order of ids, or None.
      scores: (N,) float32 in [0, 1] in the order of ids.
      class_probabilities: (N, C) float32, background first, rows of sum 1, or of 0 where others
        cover all of a nucleus; None without classes.
      points: (N, 2) float32 (row, col) in pixels, where a representation detects nuclei at points.
      masks: the nuclei one by one where they may overlap, in the order of ids.
      agreement: (N,) float32 in [0, 1], in how far the members of an average (networks, symmetries)
        find the same nucleus: see `jaxnuc.prediction.agreement`; None where it was not asked for.
    """

    instances: np.ndarray
    classes: np.ndarray | None
    scores: np.ndarray
    class_probabilities: np.ndarray | None = None
    points: np.ndarray | None = None
    masks: tuple[Mask, ...] | None = None
    agreement: np.ndarray | None = None


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
        self,
        maps: Mapping[str, Any],
        targets: Mapping[str, Any],
        axis_name: str | None = None,
        factors: Mapping[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]: ...

    def decode(self, maps: Mapping[str, np.ndarray]) -> Nuclei: ...


def create(
    name: str,
    classes: Mapping[str, Any] | None = None,
    label_sets: Sequence[LabelSet] = (),
    **arguments: Any,
) -> Representation:
    """Makes a representation: `create("contour", channels=2)`.

    Args:
      name: a file of this package: `binary`, `contour`, `distance`, `hover`, `stardist`.
      classes: of the class map beside its maps, `{"name": "groups", **arguments}`: see
        `_classes.with_classes`; None or the name `"none"`: no class map.
      label_sets: the label sets of the data, for the class map.
      **arguments: any field of the representation.

    Raises:
      ValueError: unknown name, argument or value; the message lists the known ones.
    """
    module = registry.load("jaxnuc.representations", name, "representation")
    fields = [f.name for f in dataclasses.fields(module.Representation)]
    for argument in arguments:
        if argument not in fields:
            raise registry.unknown(f"argument of {name}", argument, fields)
    representation: Representation = module.Representation(**arguments)
    if classes is None or classes["name"] == "none":
        return representation
    from jaxnuc.representations import _classes

    return _classes.with_classes(representation, label_sets, **classes)
