"""The learning rate by step, and what a plateau of the evaluations does to it."""

import logging
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnuc.durations import TrainingLength
from jaxnuc.registry import Registry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A learning rate by step.

    Attributes:
      warmup: length of time over which the rate rises linearly from 0; a tenth of the training
        where it is as long as that or longer.
    """

    warmup: str = "0 steps"

    from_start: ClassVar[bool] = False
    """Whether steps count from the start of the training, and not from the end of the warm-up."""
    lowers_rate: ClassVar[bool] = False
    """Whether `observe` may lower the rate."""

    def rate(self, peak: float, length: TrainingLength) -> optax.Schedule:
        """The learning rate by step, without what a plateau does to it.

        Args:
          peak: the highest rate.
          length: of the training.

        Raises:
          ValueError: a number out of range.
        """
        warmup = length.steps(self.warmup, "schedule.warmup")
        if warmup and warmup >= length.total:
            shortened = length.total // 10
            logger.info(
                "schedule.warmup=%r is %d steps of %d in all; shortened to %d",
                *(self.warmup, warmup, length.total, shortened),
            )
            warmup = shortened
        main = self.after_warmup(peak, length, length.total - warmup)
        if not warmup:
            return main
        rise = optax.linear_schedule(0.0, peak, warmup)
        offset = 0 if self.from_start else warmup
        return lambda step: jnp.where(
            step < warmup, rise(step), main(jnp.maximum(step - offset, 0))
        )

    def after_warmup(self, peak: float, length: TrainingLength, left: int) -> optax.Schedule:
        """The rate by step after the warm-up, in the `left` steps of the training."""
        raise NotImplementedError

    def observe(self, opt_state: Any, value: float) -> Any:
        """Tells the schedule the figure of an evaluation; larger is better.

        Args:
          opt_state: of a chain made by `make`.
          value: the monitored figure, with its sign changed where smaller is better.

        Returns:
          The new optimizer state; the same for all schedules but a plateau.
        """
        return opt_state

    def begin_episode(self, opt_state: Any) -> Any:
        """Tells the schedule that the figures of what follows are not comparable with those so far.

        Args:
          opt_state: of a chain made by `make`.

        Returns:
          The new optimizer state; the same for all schedules but a plateau, which begins anew.
        """
        return opt_state


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The same rate throughout."""

    def after_warmup(self, peak: float, length: TrainingLength, left: int) -> optax.Schedule:
        return optax.constant_schedule(peak)


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Half a cosine down to `final` times the highest rate at the end of the training."""

    final: float = 0.0

    def after_warmup(self, peak: float, length: TrainingLength, left: int) -> optax.Schedule:
        return optax.cosine_decay_schedule(peak, left, self.final)


@dataclass(frozen=True, kw_only=True)
class Step(Schedule):
    """A staircase: `factor` times as much after `every`; it begins again at `restart`, if any."""

    every: str
    factor: float = 0.1
    restart: str = ""

    from_start: ClassVar[bool] = True

    def after_warmup(self, peak: float, length: TrainingLength, left: int) -> optax.Schedule:
        def steps(text: str, key: str) -> int:
            found = length.steps(text, key)
            if found < 1:
                raise ValueError(f"{key}={text!r} must be at least one step")
            return found

        every = steps(self.every, "schedule.every")
        stairs = optax.exponential_decay(peak, every, self.factor, staircase=True)
        if not self.restart:
            return stairs
        restart = steps(self.restart, "schedule.restart")
        return lambda step: stairs(jnp.where(step < restart, step, step - restart))


@dataclass(frozen=True, kw_only=True)
class Plateau(Constant):
    """Lowers the rate when evaluations do not get better.

    Attributes:
      factor: by which the rate is multiplied.
      patience: evaluations without a better figure that still pass, as in PyTorch.
      smallest: share of the highest rate below which it does not fall.
    """

    factor: float = 0.1
    patience: int = 10
    smallest: float = 0.0

    lowers_rate: ClassVar[bool] = True

    def observe(self, opt_state: Any, value: float) -> Any:
        state: PlateauState = opt_state["plateau"]
        better = value > state.best
        waited = jnp.where(better, 0, state.waited + 1)
        lower = waited > self.patience
        scale = jnp.where(lower, jnp.maximum(state.scale * self.factor, self.smallest), state.scale)
        best = jnp.where(better, jnp.float32(value), state.best)
        state = PlateauState(
            scale.astype(jnp.float32), best, jnp.where(lower, 0, waited).astype(jnp.int32)
        )
        # `|` keeps the type of the dict, without which a jitted step would be compiled once more.
        return opt_state | {"plateau": state}

    def begin_episode(self, opt_state: Any) -> Any:
        return opt_state | {"plateau": _no_plateau()}


SCHEDULES = Registry(
    "schedule",
    member="Schedule",
    table={"constant": Constant, "cosine": Cosine, "step": Step, "plateau": Plateau},
    base=Schedule,
)


class PlateauState(NamedTuple):
    """`scale` multiplies the updates; `waited` observations have not been better than `best`."""

    scale: jax.Array
    best: jax.Array
    waited: jax.Array


def _no_plateau() -> PlateauState:
    return PlateauState(jnp.float32(1), jnp.float32(-jnp.inf), jnp.int32(0))


def scale_on_plateau() -> optax.GradientTransformation:
    """Multiplies the updates by a scale that `Plateau.observe` lowers."""

    def init(params: Any) -> PlateauState:
        return _no_plateau()

    def update(updates: Any, state: PlateauState, params: Any = None) -> tuple[Any, PlateauState]:
        return jax.tree.map(lambda u: u * state.scale, updates), state

    return optax.GradientTransformation(init, update)


def current_scale(opt_state: Any) -> jax.Array | float:
    """What a plateau schedule multiplies the learning rate by now; 1 for the others."""
    return opt_state["plateau"].scale if "plateau" in opt_state else 1.0
