"""What a training is, between two steps."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxnuc import traced
from jaxnuc.losses.schedules import LossSchedule
from jaxnuc.models import Initialization, Network


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


def initialization(model: Network) -> Initialization:
    """How the variables of a network are made."""
    # Their shapes do not depend on the image's size.
    side = 64 + model.margin
    return Initialization(model, jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32))


def create(
    model: Network, optimizer: optax.GradientTransformation, seed: int, **options: Any
) -> TrainState:
    """The state before the first step, a pure function of the seed; options as of `begin`."""
    return create_from(initialization(model).values(seed), optimizer, **options)


def create_from(
    variables: Mapping[str, Any], optimizer: optax.GradientTransformation, **options: Any
) -> TrainState:
    """The state before the first step with given variables, in NumPy; options as of `begin`."""
    make = lambda given: begin(given, optimizer, **options)
    program, state = jax.make_jaxpr(make, return_shape=True)(variables)
    places = range(len(program.jaxpr.outvars))
    leaves = traced.results(program, jax.tree.leaves(variables), places)
    return jax.tree.unflatten(jax.tree.structure(state), leaves)


def shapes(
    variables: Mapping[str, Any], optimizer: optax.GradientTransformation, **options: Any
) -> TrainState:
    """The same of variables that are shapes: for restoring a state without making one first."""
    return jax.eval_shape(lambda given: begin(given, optimizer, **options), variables)
