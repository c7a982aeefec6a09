"""Loss schedules: (init, update) pairs whose state says how the terms of a loss weigh at a step.

The state is part of what a training saves, and `update` runs inside the jitted step. Its entry
`factors` goes to the loss of a representation; `switched_at`, where there is one, is the step after
which the schedule left its first stage, -1 before.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnuc import registry

State = dict[str, Any]

SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "self_scheduled": {
        "watch": "mask/dice",
        "smoothing": "1 epochs",
        "window": "5 epochs",
        "improvement": 0.01,
        "earliest": "10 epochs",
        "latest": 0.5,
        "ramp": "10 epochs",
        "final": 0.5,
    },
    "side_steps": {"every": "50 epochs", "factor": 0.1},
    "side_decay": {"every": "1 epochs"},
}


class LossSchedule(NamedTuple):
    """A pair of pure functions.

    Attributes:
      init: the state before the first step.
      update: `(parts, state) -> state`: what the loss's parts at this step make of it.
      factors: the names that the states' `factors` have.
    """

    init: Callable[[], State]
    update: Callable[[Mapping[str, Any], State], State]
    factors: tuple[str, ...]


def make(
    section: Mapping[str, Any], total_steps: int, to_steps: Callable[[str, str], int]
) -> LossSchedule:
    """Makes the loss schedule of a configuration.

    Args:
      section: `{"name": ..., **arguments}`: `"constant"`; `"self_scheduled"`: see
        `self_scheduled`; `"side_steps"`: side maps weigh `factor` as much after `every`, and so on
        (DCAN); `"side_decay"`: they weigh 1 / n in the n-th period of `every` (Micro-Net).
      total_steps: of the training.
      to_steps: turns a length of time and its key into steps.

    Raises:
      ValueError: unknown schedule or argument, or one that is out of range.
    """
    name = section["name"]
    if name not in SCHEDULES:
        raise registry.unknown("loss schedule", name, SCHEDULES)
    for key in section:
        if key != "name" and key not in SCHEDULES[name]:
            raise registry.unknown(f"argument of loss schedule {name}", key, SCHEDULES[name])
    given = {**SCHEDULES[name], **section}

    def steps(key: str) -> int:
        return to_steps(given[key], f"loss_schedule.{key}")

    if name == "constant":
        return LossSchedule(dict, lambda parts, state: state, ())
    if name == "self_scheduled":
        if not 0 < given["latest"] <= 1:
            raise ValueError(f"loss_schedule.latest={given['latest']} is a share in (0, 1]")
        return self_scheduled(
            watch=given["watch"],
            smoothing=steps("smoothing"),
            window=steps("window"),
            improvement=given["improvement"],
            earliest=steps("earliest"),
            latest=round(given["latest"] * total_steps),
            ramp=steps("ramp"),
            final=given["final"],
        )
    every = steps("every")
    if every < 1:
        raise ValueError(f"loss_schedule.every={given['every']!r} must be at least one step")

    def weight(period: jax.Array) -> jax.Array:
        if name == "side_steps":
            return jnp.float32(given["factor"]) ** period
        return 1 / (1 + period).astype(jnp.float32)

    return _of_time("side", lambda step: weight(step // every))


def _of_time(factor: str, weight: Callable[[jax.Array], jax.Array]) -> LossSchedule:
    """A factor that depends on the step alone."""

    def state(step: jax.Array) -> State:
        return {"step": step, "factors": {factor: weight(step)}}

    return LossSchedule(
        lambda: state(jnp.int32(0)), lambda parts, before: state(before["step"] + 1), (factor,)
    )


def self_scheduled(
    *,
    watch: str,
    smoothing: int,
    window: int,
    improvement: float,
    earliest: int,
    latest: int,
    ramp: int,
    final: float,
) -> LossSchedule:
    """From a region loss to a boundary loss, once the region is learnt.

    The factor `"boundary"` is a in `(1 - a) region + a boundary`. It is 0 until a running mean of
    the region loss improves, from one window of steps to the next, by less than a share; then it
    rises linearly to its final value and stays. There is no way back.

    The paper's abstract says that the loss begins with Dice and later switches to a stage of
    boundary refinement, and no more: the criterion and all numbers are choices made here. The
    training's own loss decides, and not that of the validation, so that the switch happens within
    the jitted step.

    Args:
      watch: name of the part of the loss that is the region's, such as `"mask/dice"`.
      smoothing: time constant of the running mean, in steps.
      window: steps between the two running means that are compared.
      improvement: relative; less than this switches.
      earliest: no switch before this step.
      latest: a switch at this step in any case.
      ramp: steps over which the factor rises.
      final: value of the factor, in [0, 1].

    Raises:
      ValueError: a number is out of range; on tracing, if the loss has no such part.

    References:
      Chen et al., "AL-Net: Adaptive Learning for Enhanced Cell Nucleus Segmentation in Pathological
      Images", Electronics 14(17), 2025 (abstract).
    """
    if not 0 <= final <= 1:
        raise ValueError(f"loss_schedule.final={final} is not in [0, 1]")
    if min(smoothing, window, ramp) < 1:
        raise ValueError(
            f"loss_schedule: smoothing={smoothing}, window={window} and ramp={ramp} steps must "
            "each be at least one"
        )
    if earliest > latest:
        raise ValueError(
            f"loss_schedule: the earliest switch, step {earliest}, is after the latest, {latest}"
        )

    def init() -> State:
        return {
            "step": jnp.int32(0),
            "mean": jnp.float32(0),
            "reference": jnp.float32(jnp.inf),
            "switched_at": jnp.int32(-1),
            "factors": {"boundary": jnp.float32(0)},
        }

    def update(parts: Mapping[str, Any], state: State) -> State:
        if watch not in parts:
            raise ValueError(
                f"loss_schedule.watch={watch!r} is no part of the loss; there are {sorted(parts)}"
            )
        step = state["step"] + 1
        decay = jnp.exp(-1.0 / jnp.float32(smoothing))
        value = jnp.where(step == 1, parts[watch], state["mean"])
        mean = (decay * value + (1 - decay) * parts[watch]).astype(jnp.float32)
        ends = step % window == 0
        reference = state["reference"]
        stalled = jnp.isfinite(reference) & (reference - mean < improvement * reference)
        due = (ends & stalled & (step >= earliest)) | (step >= latest)
        switched = state["switched_at"]
        switched = jnp.where((switched < 0) & due, step, switched)
        share = jnp.clip((step - switched) / ramp, 0, 1) * (switched >= 0)
        return {
            "step": step,
            "mean": mean,
            "reference": jnp.where(ends, mean, reference),
            "switched_at": switched,
            "factors": {"boundary": jnp.float32(final * share)},
        }

    return LossSchedule(init, update, ("boundary",))
