"""From a configuration to the network and the representation it names, and whether they fit."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from jaxnuc import config as configs
from jaxnuc import models, representations
from jaxnuc.labels import Cut
from jaxnuc.losses.schedules import LossSchedule
from jaxnuc.representations import Representation
from jaxnuc.representations._classes import Classified

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def make_representation(config: ConfigDict, cuts: Sequence[Cut] = ()) -> Representation:
    """The representation that a configuration describes.

    Args:
      config: its `representation` and `classes`.
      cuts: the label sets of the data, for a class map.
    """
    name, arguments = configs.named(config.representation)
    return representations.create(name, config.classes.to_dict(), cuts, **arguments)


def make_model(
    config: ConfigDict, representation: Representation, axis_name: str | None = None
) -> nn.Module:
    """The network that a configuration describes, with the maps of a representation.

    Args:
      config: its `model` and `compute_dtype`.
      representation: whose maps it is to give.
      axis_name: pmapped axis over which batch statistics are taken.

    Raises:
      ValueError: unknown names, or a network that cannot give the maps on the representation's
        grid.
    """
    name, arguments = configs.named(config.model)
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


def cuts_of(source: Any) -> tuple[Cut, ...]:
    """The label sets of a source; none where it has no classes."""
    cuts: tuple[Cut, ...] = getattr(source, "cuts", ())
    cut: Cut | None = getattr(source, "cut", None)
    return cuts or (() if cut is None else (cut,))


THRESHOLDS = "thresholds.json"  # beside the state of a checkpoint, where they were optimised


def with_thresholds(
    representation: Representation, thresholds: Mapping[str, float]
) -> Representation:
    """The representation with other thresholds."""
    if isinstance(representation, Classified):
        base = with_thresholds(representation.base, thresholds)
        return dataclasses.replace(representation, base=base)
    return dataclasses.replace(representation, **thresholds)  # type: ignore[type-var]


def read_thresholds(folder: Path) -> dict[str, float]:
    """The thresholds stored in a checkpoint; empty where none were optimised."""
    path = folder / THRESHOLDS
    return json.loads(path.read_text())["thresholds"] if path.is_file() else {}
