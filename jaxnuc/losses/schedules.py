"""Loss schedules: (init, update) pairs whose state says how the terms of a loss weigh at a step.

The state is part of what a training saves, and `update` runs inside the jitted step. Its entry
`factors` goes to the loss of a representation; `switched_at`, where there is one, is the step after
which the schedule left its first stage, -1 before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnuc.durations import TrainingLength
from jaxnuc.registry import Registry

State = dict[str, Any]


class LossSchedule(NamedTuple):
    """A pair of pure functions."""

    init: Callable[[], State]  # the state before the first step
    update: Callable[[Mapping[str, Any], State], State]  # what a step makes of it
    factors: tuple[str, ...]  # the names that the states' `factors` have


class Schedule:
    """How the terms of a loss weigh in the course of a training."""

    def start(self, length: TrainingLength) -> LossSchedule:
        """The functions for a training of this length.

        Raises:
          ValueError: a number is out of range.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The loss stays the same."""

    def start(self, length: TrainingLength) -> LossSchedule:
        return LossSchedule(dict, lambda parts, state: state, ())


@dataclass(frozen=True, kw_only=True)
class SideSteps(Schedule):
    """Side maps weigh `factor` as much after each `every` (DCAN)."""

    every: str = "50 epochs"
    factor: float = 0.1

    def start(self, length: TrainingLength) -> LossSchedule:
        return _side(self.every, length, lambda period: jnp.float32(self.factor) ** period)


@dataclass(frozen=True, kw_only=True)
class SideDecay(Schedule):
    """Side maps weigh 1 / n in the n-th period of `every` (Micro-Net)."""

    every: str = "1 epochs"

    def start(self, length: TrainingLength) -> LossSchedule:
        return _side(self.every, length, lambda period: 1 / (1 + period).astype(jnp.float32))


def _side(
    every: str, length: TrainingLength, weight: Callable[[jax.Array], jax.Array]
) -> LossSchedule:
    """The weight of the side maps in the n-th period, from 0."""
    steps = length.steps(every, "loss_schedule.every")
    if steps < 1:
        raise ValueError(f"loss_schedule.every={every!r} must be at least one step")

    def state(step: jax.Array) -> State:
        return {"step": step, "factors": {"side": weight(step // steps)}}

    return LossSchedule(
        lambda: state(jnp.int32(0)), lambda parts, before: state(before["step"] + 1), ("side",)
    )


@dataclass(frozen=True, kw_only=True)
class SelfScheduled(Schedule):
    """From a region loss to a boundary loss, once the region is learned.

    The factor `"boundary"` is a in `(1 - a) region + a boundary`. It is 0 until a running mean of
    the region loss improves, from one window of steps to the next, by less than a share; then it
    rises linearly to its final value and stays. There is no way back.

    The paper's abstract says that the loss begins with Dice and later switches to a stage of
    boundary refinement, and no more: the criterion and all numbers are choices made here. The
    training's own loss decides, and not that of the validation, so that the switch happens within
    the jitted step.

    Attributes:
      watch: name of the part of the loss that is the region's.
      smoothing: time constant of the running mean.
      window: time between the two running means that are compared.
      improvement: relative; less than this switches.
      earliest: no switch before this time.
      latest: share of the training after which there is a switch in any case.
      ramp: time over which the factor rises.
      final: value of the factor, in [0, 1].

    References:
      Chen et al., "AL-Net: Adaptive Learning for Enhanced Cell Nucleus Segmentation in Pathological
      Images", Electronics 14(17), 2025 (abstract).
    """

    watch: str = "mask/dice"
    smoothing: str = "1 epochs"
    window: str = "5 epochs"
    improvement: float = 0.01
    earliest: str = "10 epochs"
    latest: float = 0.5
    ramp: str = "10 epochs"
    final: float = 0.5

    def start(self, length: TrainingLength) -> LossSchedule:
        """The functions for a training; `update` raises if the loss has no part `watch`."""
        smoothing, window, earliest, ramp = (
            length.steps(getattr(self, key), f"loss_schedule.{key}")
            for key in ("smoothing", "window", "earliest", "ramp")
        )
        if not 0 < self.latest <= 1:
            raise ValueError(f"loss_schedule.latest={self.latest} is a share in (0, 1]")
        latest = round(self.latest * length.total)
        if not 0 <= self.final <= 1:
            raise ValueError(f"loss_schedule.final={self.final} is not in [0, 1]")
        if min(smoothing, window, ramp) < 1:
            raise ValueError(
                f"loss_schedule: smoothing={smoothing}, window={window} and ramp={ramp} steps must "
                "each be at least one"
            )
        if earliest > latest:
            raise ValueError(
                f"loss_schedule: the earliest switch, step {earliest}, is after the latest, "
                f"{latest}"
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
            if self.watch not in parts:
                raise ValueError(
                    f"loss_schedule.watch={self.watch!r} is no part of the loss; there are "
                    f"{sorted(parts)}"
                )
            step = state["step"] + 1
            decay = jnp.exp(-1.0 / jnp.float32(smoothing))
            value = jnp.where(step == 1, parts[self.watch], state["mean"])
            mean = (decay * value + (1 - decay) * parts[self.watch]).astype(jnp.float32)
            ends = step % window == 0
            reference = state["reference"]
            stalled = jnp.isfinite(reference) & (reference - mean < self.improvement * reference)
            due = (ends & stalled & (step >= earliest)) | (step >= latest)
            switched = state["switched_at"]
            switched = jnp.where((switched < 0) & due, step, switched)
            share = jnp.clip((step - switched) / ramp, 0, 1) * (switched >= 0)
            return {
                "step": step,
                "mean": mean,
                "reference": jnp.where(ends, mean, reference),
                "switched_at": switched,
                "factors": {"boundary": jnp.float32(self.final * share)},
            }

        return LossSchedule(init, update, ("boundary",))


SCHEDULES = Registry(
    "loss schedule",
    member="Schedule",
    table={
        "constant": Constant,
        "self_scheduled": SelfScheduled,
        "side_steps": SideSteps,
        "side_decay": SideDecay,
    },
    base=Schedule,
)


def make(section: Mapping[str, Any], length: TrainingLength) -> LossSchedule:
    """Makes the loss schedule of a configuration: `section` is a choice of `SCHEDULES`."""
    return SCHEDULES.build(section).start(length)
