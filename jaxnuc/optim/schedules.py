"""The learning rate by step, and what a plateau of the evaluations does to it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnuc.optim._section import filled

SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {"warmup": "0 steps"},
    "cosine": {"warmup": "0 steps", "final": 0.0},
    "step": {"warmup": "0 steps", "every": "", "factor": 0.1, "restart": ""},
    "plateau": {"warmup": "0 steps", "factor": 0.1, "patience": 10, "smallest": 0.0},
}


def schedule(
    section: Mapping[str, Any],
    learning_rate: float,
    total_steps: int,
    to_steps: Callable[[str, str], int],
) -> optax.Schedule:
    """Learning rate by step, without what a plateau does to it.

    Args:
      section: `{"name": "constant" | "cosine" | "step" | "plateau", ...}`; all take `warmup`, a
        length of time over which the rate rises linearly from 0. The step's staircase begins again
        from the highest rate at `restart`, where one is given.
      learning_rate: the highest.
      total_steps: of the training; the cosine ends there at `final * learning_rate`.
      to_steps: turns a length of time and its key into steps.

    Raises:
      ValueError: unknown schedule or argument, or a warm-up as long as the training.
    """
    given = filled("schedule", section, SCHEDULES)
    warmup = to_steps(given["warmup"], "schedule.warmup")
    if warmup and warmup >= total_steps:
        raise ValueError(
            f"schedule.warmup={given['warmup']!r} is {warmup} steps of {total_steps} in all; "
            "it must be shorter"
        )
    if given["name"] == "cosine":
        main = optax.cosine_decay_schedule(learning_rate, total_steps - warmup, given["final"])
    elif given["name"] == "step":
        main = _staircase(given, learning_rate, to_steps)
    else:
        main = optax.constant_schedule(learning_rate)
    if not warmup:
        return main
    # The step's factor counts from the start of training, the others from the end of the warm-up.
    rise = optax.linear_schedule(0.0, learning_rate, warmup)
    offset = 0 if given["name"] == "step" else warmup
    return lambda step: jnp.where(step < warmup, rise(step), main(jnp.maximum(step - offset, 0)))


def _staircase(
    given: Mapping[str, Any], learning_rate: float, to_steps: Callable[[str, str], int]
) -> optax.Schedule:
    def steps(key: str) -> int:
        found = to_steps(given[key], f"schedule.{key}")
        if found < 1:
            raise ValueError(f"schedule.{key}={given[key]!r} must be at least one step")
        return found

    stairs = optax.exponential_decay(learning_rate, steps("every"), given["factor"], staircase=True)
    if not given["restart"]:
        return stairs
    restart = steps("restart")
    return lambda step: stairs(jnp.where(step < restart, step, step - restart))


class PlateauState(NamedTuple):
    """`scale` multiplies the updates; `waited` observations have not been better than `best`."""

    scale: jax.Array
    best: jax.Array
    waited: jax.Array


def scale_on_plateau() -> optax.GradientTransformation:
    """Multiplies the updates by a scale that `observe` lowers; its state is checkpointed."""

    def init(params: Any) -> PlateauState:
        return PlateauState(jnp.float32(1), jnp.float32(-jnp.inf), jnp.int32(0))

    def update(updates: Any, state: PlateauState, params: Any = None) -> tuple[Any, PlateauState]:
        return jax.tree.map(lambda u: u * state.scale, updates), state

    return optax.GradientTransformation(init, update)


def observe(section: Mapping[str, Any], opt_state: Any, value: float) -> Any:
    """Tells a plateau schedule the monitored figure of an evaluation; larger is better.

    Args:
      section: the configuration's `schedule`.
      opt_state: of a chain made by `make`.
      value: the figure.

    Returns:
      The new optimizer state; the same for every other schedule.
    """
    given = filled("schedule", section, SCHEDULES)
    if given["name"] != "plateau":
        return opt_state
    state: PlateauState = opt_state["plateau"]
    better = value > state.best
    waited = jnp.where(better, 0, state.waited + 1)
    lower = waited > given["patience"]  # as in PyTorch: the patience itself still passes
    scale = jnp.where(
        lower, jnp.maximum(state.scale * given["factor"], given["smallest"]), state.scale
    )
    best = jnp.where(better, jnp.float32(value), state.best)
    state = PlateauState(
        scale.astype(jnp.float32), best, jnp.where(lower, 0, waited).astype(jnp.int32)
    )
    # `|` keeps the type of the dict, without which a jitted step would be compiled once more.
    return opt_state | {"plateau": state}


def current_scale(opt_state: Any) -> jax.Array | float:
    """What a plateau schedule multiplies the learning rate by now; 1 for the others."""
    return opt_state["plateau"].scale if "plateau" in opt_state else 1.0
