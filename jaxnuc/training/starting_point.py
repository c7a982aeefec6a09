"""What a training starts from, in place of random parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxnuc import config as configs
from jaxnuc import pretrained
from jaxnuc.models import Network
from jaxnuc.run.checkpoints import find, read_config, read_variables
from jaxnuc.training.state import TrainState


def with_weights(current: TrainState, model: Network, section: Mapping[str, Any]) -> TrainState:
    """A first state with given parameters, also as the averages of them, and statistics.

    Args:
      current: the state with random ones; what a published file does not hold stays.
      model: the network.
      section: the configuration's `weights`: `file`, published weights or the workdir of a run, of
        which the best checkpoint is taken; `layout`, `keep` and `drop`: see
        `jaxnuc.pretrained.load`.

    Raises:
      FileNotFoundError: there is no such file or run.
      ValueError: the weights do not fit the network.
    """
    path = Path(section["file"]).expanduser()
    keep, drop = section["keep"], section["drop"]
    variables = {"params": current.params, "batch_stats": current.batch_stats}
    if path.is_dir():
        if keep or drop:
            raise ValueError(
                f"weights.keep={keep!r} and weights.drop={drop!r} are for published files, but "
                f"{path} is a run; leave them out"
            )
        folder = find(path)
        averaged = configs.from_json(read_config(folder)).ema_decay > 0
        variables = read_variables(folder, variables, averaged)
    else:
        variables = pretrained.load(path, model, variables, section["layout"], keep=keep, drop=drop)
    params = jax.tree.map(jnp.asarray, variables["params"])
    copied = lambda average: None if average is None else jax.tree.map(jnp.copy, params)
    return current.replace(
        params=params,
        batch_stats=jax.tree.map(jnp.asarray, variables["batch_stats"]),
        ema=copied(current.ema),
        teacher=copied(current.teacher),
    )
