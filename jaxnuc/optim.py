"""Optimizers and schedules: chains of named Optax transformations made from a configuration.

The chain's order: clip elements, clip norm, coupled weight decay, the method, decoupled weight
decay, learning rate, plateau. Its state is a dict under these names.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnuc import registry

# Defaults of each method; `learning_rate` has none. SGD, Adam and RMSprop couple weight decay to
# the gradient (L2), as PyTorch does; AdamW and Lion decouple it.
METHODS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
    "adam": {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "adamw": {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 1e-4},
    "rmsprop": {"decay": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0},
    "lion": {"b1": 0.9, "b2": 0.99, "weight_decay": 1e-2},
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {"warmup": "0 steps"},
    "cosine": {"warmup": "0 steps", "final": 0.0},
    "step": {"warmup": "0 steps", "every": "", "factor": 0.1},
    "plateau": {"warmup": "0 steps", "factor": 0.1, "patience": 10, "smallest": 0.0},
}


def _filled(kind: str, section: Mapping[str, Any], table: Mapping[str, dict]) -> dict[str, Any]:
    name = section["name"]
    if name not in table:
        raise registry.unknown(kind, name, table)
    known = {"name": name, **table[name]}
    if kind == "optimizer":
        if "learning_rate" not in section:
            raise ValueError(f"optimizer {name!r} needs a learning_rate")
        known["learning_rate"] = 0.0
    for key in section:
        if key not in known:
            raise registry.unknown(f"argument of {kind} {name}", key, known)
    return {**known, **section}


def schedule(
    section: Mapping[str, Any],
    learning_rate: float,
    total_steps: int,
    to_steps: Callable[[str, str], int],
) -> optax.Schedule:
    """Learning rate by step, without what a plateau does to it.

    Args:
      section: `{"name": "constant" | "cosine" | "step" | "plateau", ...}`; all take `warmup`, a
        length of time over which the rate rises linearly from 0.
      learning_rate: the highest.
      total_steps: of the training; the cosine ends there at `final * learning_rate`.
      to_steps: turns a length of time and its key into steps.

    Raises:
      ValueError: unknown schedule or argument, or a warm-up as long as the training.
    """
    given = _filled("schedule", section, SCHEDULES)
    warmup = to_steps(given["warmup"], "schedule.warmup")
    if warmup and warmup >= total_steps:
        raise ValueError(
            f"schedule.warmup={given['warmup']!r} is {warmup} steps of {total_steps} in all; "
            "it must be shorter"
        )
    if given["name"] == "cosine":
        main = optax.cosine_decay_schedule(learning_rate, total_steps - warmup, given["final"])
    elif given["name"] == "step":
        every = to_steps(given["every"], "schedule.every")
        if every < 1:
            raise ValueError(f"schedule.every={given['every']!r} must be at least one step")
        main = optax.exponential_decay(learning_rate, every, given["factor"], staircase=True)
    else:
        main = optax.constant_schedule(learning_rate)
    if not warmup:
        return main
    # The step's factor counts from the start of training, the others from the end of the warm-up.
    rise = optax.linear_schedule(0.0, learning_rate, warmup)
    offset = 0 if given["name"] == "step" else warmup
    return lambda step: jnp.where(step < warmup, rise(step), main(jnp.maximum(step - offset, 0)))


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
    given = _filled("schedule", section, SCHEDULES)
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
    return {**opt_state, "plateau": state}


def current_scale(opt_state: Any) -> jax.Array | float:
    """What a plateau schedule multiplies the learning rate by now; 1 for the others."""
    return opt_state["plateau"].scale if "plateau" in opt_state else 1.0


def make(
    section: Mapping[str, Any],
    learning_rate: optax.Schedule,
    *,
    plateau: bool = False,
    clip_value: float = 0.0,
    clip_norm: float = 0.0,
) -> optax.GradientTransformation:
    """Makes the optimizer.

    Args:
      section: `{"name": "sgd" | "adam" | "adamw" | "rmsprop" | "lion", "learning_rate": ..., ...}`
        with the arguments in `METHODS`.
      learning_rate: by step.
      plateau: whether `observe` may lower the rate.
      clip_value: largest magnitude of a gradient's element; 0 is off.
      clip_norm: largest global norm of the gradient; 0 is off.

    Raises:
      ValueError: unknown optimizer or argument.
    """
    given = _filled("optimizer", section, METHODS)
    name, decay = given["name"], given["weight_decay"]
    decoupled = name in ("adamw", "lion")
    parts: list[tuple[str, optax.GradientTransformation]] = []
    if clip_value:
        parts.append(("clip_value", optax.clip(clip_value)))
    if clip_norm:
        parts.append(("clip_norm", optax.clip_by_global_norm(clip_norm)))
    if decay and not decoupled:
        parts.append(("weight_decay", optax.add_decayed_weights(decay)))
    if name in ("adam", "adamw"):
        parts.append((name, optax.scale_by_adam(given["b1"], given["b2"], given["eps"])))
    elif name == "lion":
        parts.append((name, optax.scale_by_lion(given["b1"], given["b2"])))
    elif name == "rmsprop":
        # PyTorch's form: epsilon outside the root, momentum after the scaling.
        parts.append((name, optax.scale_by_rms(given["decay"], given["eps"], eps_in_sqrt=False)))
    if given.get("momentum"):
        trace = optax.trace(given["momentum"], nesterov=given.get("nesterov", False))
        parts.append(("momentum", trace))
    if decay and decoupled:
        parts.append(("weight_decay", optax.add_decayed_weights(decay)))
    parts.append(("learning_rate", optax.scale_by_learning_rate(learning_rate)))
    if plateau:
        parts.append(("plateau", scale_on_plateau()))
    return optax.named_chain(*parts)
