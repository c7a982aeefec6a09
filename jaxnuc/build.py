"""From a configuration to the network and the representation it names, and whether they fit."""

from collections.abc import Sequence

import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxnuc import models, registry, representations
from jaxnuc.data.sample import Source
from jaxnuc.labels import LabelSet
from jaxnuc.losses.schedules import LossSchedule
from jaxnuc.models import Network
from jaxnuc.representations import Representation
from jaxnuc.representations.base import MapLoss

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def make_representation(config: ConfigDict, label_sets: Sequence[LabelSet] = ()) -> Representation:
    """The representation that a configuration describes.

    Args:
      config: its `representation` and `classes`.
      label_sets: the label sets of the data, for a class map.

    Raises:
      ValueError: unknown names or arguments, a class map without classes in the data, or nuclei
        that cannot be decoded from these maps.
    """
    name, arguments = registry.split(config.representation, "representation")
    representations.REGISTRY.check(name, arguments)
    made = representations.create(name, config.classes.to_dict(), label_sets, **arguments)
    what = f"of representation {name!r}:"
    if made.foreground is not None:
        registry.check_known(f"foreground {what}", made.foreground, made.outputs)
    if isinstance(made.loss, MapLoss):
        for each in made.loss.maps:
            registry.check_known(f"map in the loss {what}", each, made.outputs)
    return made


def make_model(
    config: ConfigDict, representation: Representation, axis_name: str | None = None
) -> Network:
    """The network that a configuration describes, with the maps of a representation.

    Args:
      config: its `model` and `compute_dtype`.
      representation: whose maps it is to give.
      axis_name: pmapped axis over which batch statistics are taken.

    Raises:
      ValueError: unknown names, arguments that are set elsewhere, or a network that cannot give
        the maps on the representation's grid.
    """
    if config.compute_dtype not in DTYPES:
        raise ValueError(f"compute_dtype={config.compute_dtype!r}; known: {', '.join(DTYPES)}")
    name, arguments = registry.split(config.model, models.REGISTRY.kind)
    grid = representation.grid
    if "grid" in models.REGISTRY.parameters(name):
        arguments.setdefault("grid", grid)
    model = models.build(
        {"name": name, **arguments},
        representation.outputs,
        axis_name=axis_name,
        dtype=DTYPES[config.compute_dtype],
    )
    if model.grid == grid:
        return model
    if "grid" not in arguments:
        raise ValueError(
            f"representation.grid={grid}, but the maps of {name!r} have the resolution of the "
            "image; take representation.grid=1, or a network with a grid, such as stardist"
        )
    raise ValueError(
        f"model.grid={model.grid}, but the representation {config.representation.name!r} has its "
        f"maps on a grid of {grid}; leave model.grid out, it follows the representation"
    )


def check_schedule(schedule: LossSchedule, representation: Representation, name: str) -> None:
    """Refuses a loss schedule whose factors the representation's loss does not have.

    Raises:
      ValueError: names the factor and what there is.
    """
    known = ("side", *representation.factors)
    for factor in schedule.factors:
        if factor not in known:
            raise ValueError(
                f"loss_schedule {name!r} sets the factor {factor!r}, but the loss of this "
                f"representation has {', '.join(known)}; that of 'binary' with the loss "
                "'dice_boundary' has a boundary"
            )


def label_sets_of(source: Source) -> tuple[LabelSet, ...]:
    """The label sets of a source; none where it has no classes."""
    return source.label_sets or (() if source.label_set is None else (source.label_set,))
