"""A network with its training step and forward pass, to be timed on one batch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnuc import optim
from jaxnuc.durations import TrainingLength
from jaxnuc.models import Network
from jaxnuc.prediction.predictor import make_forward
from jaxnuc.representations import Representation
from jaxnuc.training import state
from jaxnuc.training.step import make_train_step

RATE = 1e-3


def example_batch(representation: Representation, count: int, side: int) -> dict[str, Any]:
    """Images (count, side, side, 3) uint8 with the targets of a representation.

    The images are noise, and a square is the only nucleus of each.
    """
    shape = (count, side, side, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = np.zeros((side, side), np.int32)
    labels[side // 4 : side // 2, side // 4 : side // 2] = 1
    targets = representation.encode(labels)
    return {"image": images, "targets": {k: np.stack([x] * count) for k, x in targets.items()}}


class TrainingStep:
    """A network that AdamW trains on one batch again and again.

    Attributes:
      parameters: how many the network has.
      images: of the batch, `(count, side, side, 3)` uint8.
    """

    def __init__(self, model: Network, representation: Representation, count: int, side: int):
        section = {"name": "adamw", "learning_rate": RATE}
        optimizer = optim.make(section, lambda step: RATE, TrainingLength(1))
        self._state = state.create(model, optimizer, seed=0)
        self._variables = jax.tree.map(jnp.copy, self._state.variables())
        self.parameters = sum(x.size for x in jax.tree.leaves(self._state.params))
        batch = example_batch(representation, count, side)
        self.images = batch["image"]
        self._batch, self._key = jax.device_put(batch), jax.random.key(0)
        step = make_train_step(model, representation, optimizer)
        self._step: Any = jax.jit(step, donate_argnums=0)
        self._forward: Any = make_forward(model)

    def train(self) -> Any:
        """One step; the result is what it leaves to the device."""
        self._state, metrics = self._step(self._state, self._batch, self._key)
        return metrics

    def predict(self) -> Any:
        """One forward pass with the first parameters."""
        return self._forward(self._variables, self._batch["image"])

    def lowered(self) -> tuple[jax.stages.Lowered, jax.stages.Lowered]:
        """The step and the forward pass, not yet compiled."""
        return (
            self._step.lower(self._state, self._batch, self._key),
            self._forward.lower(self._variables, self._batch["image"]),
        )

    def take(self, step: jax.stages.Compiled, forward: jax.stages.Compiled) -> None:
        """Runs these programs from here on, compiled from what is lowered."""
        self._step, self._forward = step, forward
