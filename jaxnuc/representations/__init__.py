"""Representations: how nuclei become maps that a network can learn, and maps become nuclei again.

`base.Representation` is the contract; every file beside it that is no helper is a representation
by its name. `class_map` adds a map of classes to any of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxnuc.labels import LabelSet
from jaxnuc.representations.base import (
    REGISTRY,
    Nuclei,
    OutputMap,
    Representation,
    Wrapper,
    foreground_probability,
)

__all__ = [
    "REGISTRY",
    "Nuclei",
    "OutputMap",
    "Representation",
    "Wrapper",
    "create",
    "foreground_probability",
]


def create(
    name: str,
    classes: Mapping[str, Any] | None = None,
    label_sets: Sequence[LabelSet] = (),
    **arguments: Any,
) -> Representation:
    """Makes a representation: `create("contour", channels=2, decoder={"name": "overlaps"})`.

    Args:
      name: a file of this package (`binary`, `contour`, `distance`, `hover`, `stardist`), or the
        dotted name of a module or class elsewhere.
      classes: section of the class map beside its maps, `{"name": "groups", **arguments}`: see
        `class_map`; None or the name `"none"`: no class map.
      label_sets: the label sets of the data, for the class map.
      **arguments: fields of the representation; losses, decoders and targets are sections of their
        own.

    Raises:
      ValueError: unknown name, argument or value; the message lists the known ones.
    """
    # Imported here, as it derives from what this module exports.
    from jaxnuc.representations.class_map import CLASSES

    nuclei = REGISTRY.build({"name": name, **arguments})
    class_map = CLASSES.build(classes or {"name": "none"})
    representation: Representation = class_map.added_to(nuclei, tuple(label_sets))
    return representation
