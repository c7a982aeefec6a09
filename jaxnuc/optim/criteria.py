"""When `lion_then_sgd` switches: criteria, and the statistics that they keep in its state."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnuc.durations import TrainingLength
from jaxnuc.registry import Registry

SECTION = "optimizer.criterion"


class LossStatistics(NamedTuple):
    """A running mean of the loss."""

    means: jax.Array  # (patience,) float32, a ring: loss k, from 0, is at k modulo its length
    seen: jax.Array  # () int32, how many losses there have been


class RateStatistics(NamedTuple):
    """Estimates gamma of the rate at which SGD would have gone as far as Lion did."""

    gammas: jax.Array  # (window,) float32, a ring: gamma k, from 0, is at k modulo its length
    accepted: jax.Array  # () int32, how many there have been
    average: jax.Array  # () float32, their running average, which starts from 0


class Statistics(NamedTuple):
    """What a criterion keeps; None where it does not need it."""

    losses: LossStatistics | None = None
    rates: RateStatistics | None = None


class Observation(NamedTuple):
    """What a criterion sees of one of Lion's steps."""

    step: jax.Array  # () int32, its number, from 1
    value: jax.Array  # () float32, its loss
    ready: jax.Array  # () bool, whether the loss has reached its last stage
    increments: Any  # what Lion adds to the parameters
    gradients: Any  # of the loss, before any clipping


class Decision(NamedTuple):
    """What a criterion says after one of Lion's steps."""

    due: jax.Array  # () bool, whether SGD takes over
    rate: jax.Array  # () float32, its first learning rate if so
    estimate: jax.Array  # () float32, that rate before it is held within bounds


class Rule(NamedTuple):
    """A criterion in one training: a pair of pure functions."""

    init: Callable[[], Statistics]  # before the first step
    update: Callable[[Statistics, Observation], tuple[Decision, Statistics]]
    needs_loss: bool  # whether it looks at the loss


class Criterion:
    """When SGD takes over from Lion."""

    def rule(self, length: TrainingLength, latest: int, momentum: float) -> Rule:
        """The rule in a training.

        Args:
          length: of the training.
          latest: the step of the switch if it was not before.
          momentum: of SGD.

        Raises:
          ValueError: a number is out of range.
        """
        raise NotImplementedError


IsFlat = Callable[[Any, jax.Array], tuple[jax.Array, LossStatistics]]


@dataclass(frozen=True, kw_only=True)
class FlatLoss(Criterion):
    """A criterion that waits until the loss is flat.

    That is when its running mean is not better by `improvement`, relative to what it was `patience`
    before.

    Attributes:
      improvement: share.
      patience: length of time.
      smoothing: time constant of the running mean.
    """

    improvement: float = 0.005
    patience: str = "3 epochs"
    smoothing: str = "1 epochs"

    def flat(self, length: TrainingLength) -> tuple[Callable[[], LossStatistics], IsFlat]:
        """The statistics before the first step, and `(statistics, loss) -> (flat, statistics)`."""
        patience = length.steps(self.patience, f"{SECTION}.patience")
        smoothing = length.steps(self.smoothing, f"{SECTION}.smoothing")
        if min(patience, smoothing) < 1:
            raise ValueError(
                f"{SECTION}: patience={patience} and smoothing={smoothing} must each be at least "
                "one step"
            )

        def empty() -> LossStatistics:
            return LossStatistics(jnp.zeros(patience, jnp.float32), jnp.int32(0))

        def is_flat(state: LossStatistics, value: jax.Array) -> tuple[jax.Array, LossStatistics]:
            means, k = state
            weight = jnp.where(k == 0, 0.0, jnp.exp(-1.0 / jnp.float32(smoothing)))
            mean = weight * means[(k - 1) % patience] + (1 - weight) * value
            before = means[k % patience]
            flat = (k >= patience) & (before - mean < self.improvement * jnp.abs(before))
            return flat, LossStatistics(means.at[k % patience].set(mean), k + 1)

        return empty, is_flat


@dataclass(frozen=True, kw_only=True)
class Dynamic(FlatLoss):
    """Switches when the rate that SGD would need is stable and the loss is flat, or `ready`.

    After the warm-up, at the first step k at which |average - gamma_k| is below `kappa` standard
    deviations of the latest `window` gammas. With the increment p_k and the gradient g_k, gamma_k =
    <p_k, p_k> / -<p_k, g_k>; steps where this is not positive and finite are left out. SGD starts
    at (1 - momentum) times the average, within `bounds`: on a steady gradient, momentum carries it
    1 / (1 - momentum) times as far as its rate says.

    Attributes:
      warmup: no switch before the end of this time.
      kappa: standard deviations.
      window: number of gammas.
      decay: of the running average of gamma.
      bounds: smallest and largest first rate of SGD.
    """

    warmup: str = "5 epochs"
    kappa: float = 0.1
    window: int = 200
    decay: float = 0.999
    bounds: tuple[float, float] = (1e-4, 1.0)

    def rule(self, length: TrainingLength, latest: int, momentum: float) -> Rule:
        warmup = length.steps(self.warmup, f"{SECTION}.warmup")
        if warmup >= latest:
            raise ValueError(
                f"{SECTION}.warmup={warmup} must be less than latest={latest}, where the switch is "
                "in any case; shorten the warm-up or raise latest"
            )
        if not 0 < self.bounds[0] <= self.bounds[1]:
            raise ValueError(f"{SECTION}.bounds={tuple(self.bounds)} must be positive and in order")
        if not 0 < self.decay < 1:
            raise ValueError(f"{SECTION}.decay={self.decay} must be between 0 and 1")
        if self.window < 1:
            raise ValueError(f"{SECTION}.window={self.window} must be at least 1")
        empty, is_flat = self.flat(length)

        def init() -> Statistics:
            gammas = jnp.zeros(self.window, jnp.float32)
            return Statistics(empty(), RateStatistics(gammas, jnp.int32(0), jnp.float32(0)))

        def update(statistics: Statistics, seen: Observation) -> tuple[Decision, Statistics]:
            flat, losses = is_flat(statistics.losses, seen.value)
            stable, average, rates = is_stable(
                statistics.rates, seen.increments, seen.gradients, self.kappa, self.decay
            )
            due = (seen.step > warmup) & stable & (flat | seen.ready)
            estimate = (1 - momentum) * average
            decision = Decision(due, jnp.clip(estimate, *self.bounds), estimate)
            return decision, Statistics(losses, rates)

        return Rule(init, update, needs_loss=True)


@dataclass(frozen=True, kw_only=True)
class Plateau(FlatLoss):
    """Switches when the loss is flat.

    Attributes:
      sgd_learning_rate: SGD's first one.
    """

    sgd_learning_rate: float

    def rule(self, length: TrainingLength, latest: int, momentum: float) -> Rule:
        rate = checked_rate(self.sgd_learning_rate)
        empty, is_flat = self.flat(length)

        def update(statistics: Statistics, seen: Observation) -> tuple[Decision, Statistics]:
            flat, losses = is_flat(statistics.losses, seen.value)
            return Decision(flat, rate, rate), Statistics(losses)

        return Rule(lambda: Statistics(empty()), update, needs_loss=True)


@dataclass(frozen=True, kw_only=True)
class AtStep(Criterion):
    """Switches at a given time.

    Attributes:
      sgd_learning_rate: SGD's first one.
      at: the time from the start.
    """

    sgd_learning_rate: float
    at: str

    def rule(self, length: TrainingLength, latest: int, momentum: float) -> Rule:
        rate = checked_rate(self.sgd_learning_rate)
        at = length.steps(self.at, f"{SECTION}.at")
        if not 1 <= at <= latest:
            raise ValueError(
                f"{SECTION}.at={at} is not from 1 to latest={latest}, where the switch is in any "
                "case; raise latest or lower at"
            )
        update = lambda statistics, seen: (Decision(seen.step >= at, rate, rate), statistics)
        return Rule(Statistics, update, needs_loss=False)


CRITERIA = Registry(
    "criterion of lion_then_sgd",
    member="Criterion",
    table={"dynamic": Dynamic, "plateau": Plateau, "step": AtStep},
)


def checked_rate(rate: float) -> jax.Array:
    if not rate > 0:
        raise ValueError(f"{SECTION}.sgd_learning_rate={rate} must be greater than 0")
    return jnp.float32(rate)


def is_stable(
    state: Any, increments: Any, gradients: Any, kappa: float, decay: float
) -> tuple[jax.Array, jax.Array, RateStatistics]:
    """Whether this step's gamma is near the average of all; that average; the new state."""
    against = -optax.tree.vdot(increments, gradients)
    positive = against > 0
    gamma = optax.tree.norm(increments, squared=True) / jnp.where(positive, against, 1)
    accept = positive & jnp.isfinite(gamma)
    gammas, k, average = state
    window = len(gammas)
    average = decay * average + (1 - decay) * gamma
    taken = RateStatistics(gammas.at[k % window].set(gamma), k + 1, average)
    state = jax.tree.map(lambda new, old: jnp.where(accept, new, old), taken, state)
    # SWATS counts all steps here; those left out add nothing to the average, nor to its bias.
    number = jnp.maximum(state.accepted, 1)
    corrected = state.average / -jnp.expm1(number * math.log(decay))  # 1 - decay^number
    deviation = jnp.std(state.gammas, where=jnp.arange(window) < number)
    return accept & (jnp.abs(corrected - gamma) < kappa * deviation), corrected, state
