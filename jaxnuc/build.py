"""From a configuration to the network and the representation it names, and whether they fit."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from jaxnuc import config as configs
from jaxnuc import models, representations
from jaxnuc.labels import LabelSet
from jaxnuc.losses.schedules import LossSchedule
from jaxnuc.representations import Representation
from jaxnuc.representations._classes import Classified

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

# What a section does not set, and what does.
ELSEWHERE = {
    "model": {
        "outputs": "the maps are those of the representation",
        "axis_name": "the training names the devices' axis",
        "dtype": "set compute_dtype",
    },
    "representation": {
        "classes": "set the section classes",
        "label_sets": "the label sets are those of the data",
    },
    "classes": {
        "base": "set the section representation",
        "label_sets": "the label sets are those of the data",
    },
}


def make_representation(config: ConfigDict, label_sets: Sequence[LabelSet] = ()) -> Representation:
    """The representation that a configuration describes.

    Args:
      config: its `representation` and `classes`.
      label_sets: the label sets of the data, for a class map.

    Raises:
      ValueError: unknown names or arguments, a class map without classes in the data, or nuclei
        that cannot be decoded from these maps.
    """
    name, arguments = _named(config, "representation")
    kind, options = _named(config, "classes")
    if kind == "none" and options:
        key = next(iter(options))
        raise ValueError(
            f"classes.{key}={options[key]!r} has no effect with classes.name='none'; take 'groups' "
            "or 'leaves', or leave it out"
        )
    classes = {"name": kind, **options}
    representation = representations.create(name, classes, label_sets, **arguments)
    # Refuses what it cannot decode now, and not after the first epoch.
    representation.decode({k: np.zeros((2, 2, c)) for k, c in representation.outputs.items()})
    return representation


def _named(config: ConfigDict, section: str) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a section, without any that are set elsewhere."""
    name, arguments = configs.named(config[section])
    for key, reason in ELSEWHERE[section].items():
        if key in arguments:
            raise ValueError(f"{section}.{key} cannot be set here; {reason}")
    return name, arguments


def make_model(
    config: ConfigDict, representation: Representation, axis_name: str | None = None
) -> nn.Module:
    """The network that a configuration describes, with the maps of a representation.

    Args:
      config: its `model` and `compute_dtype`.
      representation: whose maps it is to give.
      axis_name: pmapped axis over which batch statistics are taken.

    Raises:
      ValueError: unknown names, arguments that are set elsewhere, or a network that cannot give
        the maps on the representation's grid.
    """
    name, arguments = _named(config, "model")
    if config.compute_dtype not in DTYPES:
        raise ValueError(f"compute_dtype={config.compute_dtype!r}; known: {', '.join(DTYPES)}")
    grid = getattr(representation, "grid", 1)
    if grid > 1:
        arguments.setdefault("grid", grid)
        if "grid" not in models.arguments_of(name):
            raise ValueError(
                f"representation.grid={grid}, but the maps of {name!r} have the resolution of the "
                "image; take representation.grid=1, or a network with a grid, such as stardist"
            )
    if arguments.get("grid", grid) != grid:
        raise ValueError(
            f"model.grid={arguments['grid']}, but the representation {config.representation.name!r}"
            f" has its maps on a grid of {grid}; leave model.grid out, it follows the "
            "representation"
        )
    return models.create(
        name,
        outputs=representation.outputs,
        axis_name=axis_name,
        dtype=DTYPES[config.compute_dtype],
        **arguments,
    )


def check_schedule(schedule: LossSchedule, representation: Representation, name: str) -> None:
    """Refuses a loss schedule whose factors the representation's loss does not have.

    Raises:
      ValueError: names the factor and what there is.
    """
    known = ("side", *getattr(representation, "factors", ()))
    for factor in schedule.factors:
        if factor not in known:
            raise ValueError(
                f"loss_schedule {name!r} sets the factor {factor!r}, but the loss of this "
                f"representation has {', '.join(known)}; 'binary' with loss_name='dice_boundary' "
                "has a boundary"
            )


def cuts_of(source: Any) -> tuple[LabelSet, ...]:
    """The label sets of a source; none where it has no classes."""
    label_sets: tuple[LabelSet, ...] = getattr(source, "label_sets", ())
    label_set: LabelSet | None = getattr(source, "label_set", None)
    return label_sets or (() if label_set is None else (label_set,))


def with_thresholds(
    representation: Representation, thresholds: Mapping[str, float]
) -> Representation:
    """The representation with other thresholds."""
    if isinstance(representation, Classified):
        base = with_thresholds(representation.base, thresholds)
        return dataclasses.replace(representation, base=base)
    return dataclasses.replace(representation, **thresholds)  # type: ignore[type-var]
