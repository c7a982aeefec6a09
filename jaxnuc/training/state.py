"""What a training is, between two steps."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxnuc.losses.schedules import LossSchedule
from jaxnuc.models import Network


class TrainState(struct.PyTreeNode):
    """Everything that a step reads and writes, in natural shapes."""

    step: jax.Array  # () int32, steps taken
    params: Any  # float32
    batch_stats: Any  # running statistics of the normalizations; empty where a network has none
    opt_state: Any  # of the Optax chain
    loss_state: Any = struct.field(default_factory=dict)  # of the loss schedule; may be empty
    ema: Any = None  # exponential moving average of the parameters, or None
    teacher: Any = None  # another one, for self-training, or None

    def variables(self) -> dict[str, Any]:
        """What `model.apply` takes to evaluate: the averaged parameters where there are some."""
        params = self.params if self.ema is None else self.ema
        return {"params": params, "batch_stats": self.batch_stats}


def create(
    model: Network,
    optimizer: optax.GradientTransformation,
    seed: int,
    ema: bool,
    loss_schedule: LossSchedule | None = None,
    teacher: bool = False,
) -> TrainState:
    """The state before the first step, a pure function of the seed.

    `ema`, `teacher`: whether to average the parameters, for evaluations and for self-training;
    without a loss schedule the loss stays the same.
    """

    def init(key: jax.Array) -> TrainState:
        # The parameters' shapes do not depend on the image's size.
        side = 64 + model.margin
        variables = model.init(key, jnp.zeros((1, side, side, 3), jnp.float32))
        params = variables["params"]
        return TrainState(
            step=jnp.int32(0),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimizer.init(params),
            loss_state=loss_schedule.init() if loss_schedule else {},
            ema=jax.tree.map(jnp.copy, params) if ema else None,
            teacher=jax.tree.map(jnp.copy, params) if teacher else None,
        )

    return jax.jit(init)(jax.random.key(seed))
