"""What a training starts from, in place of random parameters."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from jaxnuc import build, optim, pretrained
from jaxnuc import config as configs
from jaxnuc.models import Initialization, Network
from jaxnuc.prediction.predictor import diameter_of_crops
from jaxnuc.representations import Representation
from jaxnuc.representations.class_map import CLASS
from jaxnuc.run.checkpoints import find, is_trained, read_model
from jaxnuc.training import state

logger = logging.getLogger(__name__)

MOST_LISTED = 12


def create_from_weights(
    config: ConfigDict,
    initialization: Initialization,
    representation: Representation,
    optimizer: optax.GradientTransformation,
    **options: Any,
) -> tuple[state.TrainState, bool]:
    """The state before the first step with what fits of the configuration's `weights`.

    Arrays that the weights do not give have the seed's random values. The log names them.

    Args:
      config: its `weights`: `file`, published weights, a model by its name or file, the folder of
        a checkpoint, or the workdir of a run, of which the best checkpoint is taken; `layout`,
        `keep` and `drop`: see `jaxnuc.pretrained.load` and `transfer`; its `seed` and `model`.
      initialization: of the network.
      representation: whose maps it gives.
      optimizer: learns which parameters are taken.
      **options: as of `jaxnuc.training.state.begin`.

    Returns:
      The state, and whether the weights give all of it.

    Raises:
      FileNotFoundError: there is no such file or run.
      ValueError: the weights do not fit the network.
    """
    section = config.weights
    path = Path(section.file).expanduser()
    patterns = {"keep": section.keep, "drop": section.drop}
    network: Any = initialization.module
    shapes = {"batch_stats": {}, **initialization.shapes}
    if is_trained(section.file):
        folder = find(section.file)
        given = _of_run(folder, config, network, representation, shapes, patterns)
    else:
        given = pretrained.load(path, network, shapes, section.layout, **patterns)
    _report(section.file, given)
    taken = [_is_taken(leaf) for leaf in jax.tree.leaves(given["params"])]
    variables = initialization.values(config.seed, given)
    first = state.create_from(variables, optimizer, **options)
    complete = all(map(_is_taken, jax.tree.leaves(given)))
    return first.replace(opt_state=optim.mark_taken(first.opt_state, taken)), complete


def _of_run(
    folder: Path,
    config: ConfigDict,
    model: Network,
    representation: Representation,
    shapes: Mapping[str, Any],
    patterns: Mapping[str, str],
) -> dict[str, Any]:
    """The variables with what fits of a checkpoint, the parameters that are evaluated."""
    stored = read_model(folder)
    origin = configs.from_json(stored.config)
    try:
        given = pretrained.transfer(stored.variables, shapes, **patterns)
    except ValueError as error:
        raise ValueError(
            f"weights.file={str(folder)!r}, a run of {origin.model.name!r}, for the network "
            f"{config.model.name!r}: {error}"
        ) from None
    if diameter_of_crops(origin) and not diameter_of_crops(config):
        logger.warning(
            "%s sees nuclei at one diameter, since its transforms have crop_at_diameter; "
            "data.transforms has none, and so this network will not size images",
            config.weights.file,
        )
    if CLASS not in model.outputs:
        return given
    before = None
    if stored.label_sets:
        before = build.make_representation(origin, stored.label_sets).label_set
    now = representation.label_set
    if before is None or now is None or before.groups == now.groups:
        return given
    # As many classes, but others: what tells them apart would start as wrong as it can be.
    names = ", ".join(now.groups), ", ".join(before.groups)
    logger.info("the classes are %s, and %s in the weights", *names)
    more = model.clone(outputs={**model.outputs, CLASS: model.outputs[CLASS] + 1})
    return jax.tree.map(
        lambda array, shape, other: array if shape.shape == other.shape else shape,
        given,
        shapes,
        {"batch_stats": {}, **state.initialization(more).shapes},
    )


def _is_taken(leaf: Any) -> bool:
    return not isinstance(leaf, jax.ShapeDtypeStruct)


def _report(file: str, given: Mapping[str, Any]) -> None:
    leaves = jax.tree_util.tree_leaves_with_path(given)
    path = lambda keys: jax.tree_util.keystr(keys[1:], simple=True, separator="/")
    fresh = [path(keys) for keys, leaf in leaves if not _is_taken(leaf)]
    if not fresh:
        logger.info("all %d arrays are those of %s", len(leaves), file)
        return
    more = f" and {len(fresh) - MOST_LISTED} more" if len(fresh) > MOST_LISTED else ""
    logger.info(
        "%d of %d arrays are those of %s; these start fresh: %s%s",
        *(len(leaves) - len(fresh), len(leaves), file, ", ".join(fresh[:MOST_LISTED]), more),
    )
