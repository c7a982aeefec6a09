"""The training's loss on crops of the validation images that are the same at every evaluation."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnuc import losses
from jaxnuc.data import pipeline
from jaxnuc.data.sample import Source
from jaxnuc.data.transforms import Transform
from jaxnuc.evaluation.validate import LOSS, SOFT_IOU
from jaxnuc.models import Network
from jaxnuc.representations import Representation
from jaxnuc.representations.base import VALID
from jaxnuc.training.state import TrainState
from jaxnuc.training.step import as_input, central


def make_validation_loss(
    model: Network,
    representation: Representation,
    source: Source,
    transforms: Sequence[Transform],
    batch_size: int,
    seed: int,
) -> Callable[[TrainState], dict[str, float]]:
    """Makes the function from a state to the loss, `loss`, and its parts, such as `loss/mask/dice`.

    Where the representation has a map of the foreground there is also `soft_iou`, the mean over the
    batches of `sum(p t) / sum(p + t - p t)`, of probabilities p and targets t of all pixels of a
    batch: what the flexible U-Net's projects report.

    A crop is what the training would make of the image, with all its transforms, by randomness that
    depends on the seed and the number of the image alone. The network computes as in evaluations:
    averaged parameters where there are some, running statistics, no dropout, no side maps. The
    loss has the factors that a loss schedule gives it at that step.

    Args:
      model: without an axis of devices.
      representation: whose loss it is.
      source: of the split, without images to draw again.
      transforms: of the training, normalization included.
      batch_size: crops at a time.
      seed: of the crops.
    """

    @jax.jit
    def of_batch(variables: Any, factors: Any, batch: pipeline.Batch) -> dict[str, jax.Array]:
        maps: Any = model.apply(variables, as_input(batch["image"]))
        targets = central(batch["targets"], model.margin)
        loss, parts = representation.loss(maps, targets, None, factors)
        figures = {LOSS: loss, **{f"{LOSS}/{name}": part for name, part in parts.items()}}
        if (name := representation.foreground) is not None:
            valid = targets[VALID].astype(jnp.float32) if VALID in targets else None
            _, p, t = losses.foreground_entropy(maps[name], targets[name], valid=valid)
            figures[SOFT_IOU] = 1 - losses.soft_iou(p[..., -1:], t[..., -1:])
        return figures

    def compute(state: TrainState) -> dict[str, float]:
        # One device computes, in every process all of it: there are few crops.
        given = (state.variables(), state.loss_state.get("factors", {}))
        given = jax.device_put(jax.device_get(given), jax.local_devices()[0])
        sums: dict[str, float] = {}
        for batch in pipeline.fixed_batches(
            source, transforms, representation.encode, batch_size, seed
        ):
            for name, value in of_batch(*given, batch).items():
                sums[name] = sums.get(name, 0.0) + len(batch["image"]) * float(value)
        return {name: total / len(source) for name, total in sums.items()}

    return compute
