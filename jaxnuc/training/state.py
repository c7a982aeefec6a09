"""What a training is, between two steps."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxnuc.losses.schedules import LossSchedule
from jaxnuc.models import Network, initialize


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


def begin(
    variables: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    *,
    ema: bool = False,
    loss_schedule: LossSchedule | None = None,
    teacher: bool = False,
) -> TrainState:
    """The state before the first step.

    Args:
      variables: of the network.
      optimizer: makes its own state.
      ema: whether to average the parameters, for evaluations.
      loss_schedule: without it the loss stays the same.
      teacher: whether to average them for self-training.
    """
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


def create(
    model: Network, optimizer: optax.GradientTransformation, seed: int, **options: Any
) -> TrainState:
    """The state before the first step, a pure function of the seed; options as of `begin`."""
    return create_from(initialize(model, seed, _images(model)), optimizer, **options)


def create_from(
    variables: Mapping[str, Any], optimizer: optax.GradientTransformation, **options: Any
) -> TrainState:
    """The state before the first step with given variables; options as of `begin`."""
    return jax.jit(lambda given: begin(given, optimizer, **options))(variables)


def complete(model: Network, seed: int, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Variables with the seed's random values in place of those that are shapes."""
    if not any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(variables)):
        return variables
    return initialize(model, seed, _images(model), given=variables)


def variable_shapes(model: Network) -> dict[str, Any]:
    """Shapes and types of the network's variables."""
    return jax.eval_shape(model.init, jax.random.key(0), _images(model))


def shapes(model: Network, optimizer: optax.GradientTransformation, **options: Any) -> TrainState:
    """Shapes and types of `create`'s state, for restoring one without making it first."""
    begun = lambda given: begin(given, optimizer, **options)
    return jax.eval_shape(begun, variable_shapes(model))


def _images(model: Network) -> jax.ShapeDtypeStruct:
    """Images to make parameters by: their shapes do not depend on the image's size."""
    side = 64 + model.margin
    return jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
