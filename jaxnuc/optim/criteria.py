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
    """A running mean of the loss.

    Attributes:
      means: (patience,) float32, the latest ones in a ring: that of loss k, from 0, is at k modulo
        the length.
      seen: () int32, how many losses there have been.
    """

    means: jax.Array
    seen: jax.Array

    @classmethod
    def create(cls, patience: int) -> "LossStatistics":
        return cls(jnp.zeros(patience, jnp.float32), jnp.int32(0))


class RateStatistics(NamedTuple):
    """Estimates gamma of the rate at which SGD would have gone as far as Lion did.

    Attributes:
      gammas: (window,) float32, the latest ones in a ring: gamma k, from 0, is at k modulo the
        length.
      accepted: () int32, how many there have been.
      average: () float32, their running average, which starts from 0.
    """

    gammas: jax.Array
    accepted: jax.Array
    average: jax.Array

    @classmethod
    def create(cls, window: int) -> "RateStatistics":
        return cls(jnp.zeros(window, jnp.float32), jnp.int32(0), jnp.float32(0))


class Statistics(NamedTuple):
    """What a criterion keeps; None where it does not need it."""

    losses: LossStatistics | None = None
    rates: RateStatistics | None = None


class Observation(NamedTuple):
    """What a criterion sees of one of Lion's steps.

    Attributes:
      step: () int32, number of the step, from 1.
      value: () float32, its loss.
      ready: () bool, whether the loss has reached its last stage.
      increments: what Lion adds to the parameters.
      gradients: of the loss.
    """

    step: jax.Array
    value: jax.Array
    ready: jax.Array
    increments: Any
    gradients: Any


class Rule(NamedTuple):
    """A criterion in one training: a pair of pure functions.

    Attributes:
      init: the statistics before the first step.
      update: `(statistics, observation) -> (due, rate, statistics)`: whether to switch after this
        step, () bool, and SGD's first learning rate if so, () float32.
      needs_loss: whether it looks at the loss.
    """

    init: Callable[[], Statistics]
    update: Callable[[Statistics, Observation], tuple[jax.Array, jax.Array, Statistics]]
    needs_loss: bool


class Criterion:
    """When SGD takes over from Lion."""

    def rule(self, length: TrainingLength, latest: int) -> Rule:
        """The rule in a training of this length, where the switch is at step `latest` at last.

        Raises:
          ValueError: a number is out of range.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Dynamic(Criterion):
    """Switches when the rate that SGD would need is stable and the loss is flat, or `ready`.

    After the warm-up, at the first step k at which |average - gamma_k| is below `kappa` standard
    deviations of the latest `window` gammas. With the increment p_k and the gradient g_k, gamma_k =
    <p_k, p_k> / -<p_k, g_k>; steps where this is not positive and finite are left out. SGD starts
    at the average, within `bounds`. For the loss see `Plateau`.

    Attributes:
      warmup: no switch before the end of this time.
      kappa: standard deviations.
      window: number of gammas.
      decay: of the running average of gamma.
      bounds: smallest and largest first rate of SGD.
      improvement: of the loss, as for `Plateau`.
      patience: as for `Plateau`.
      smoothing: as for `Plateau`.
    """

    warmup: str = "5 epochs"
    kappa: float = 0.1
    window: int = 200
    decay: float = 0.999
    bounds: tuple[float, float] = (1e-4, 1e-1)
    improvement: float = 0.005
    patience: str = "3 epochs"
    smoothing: str = "1 epochs"

    def rule(self, length: TrainingLength, latest: int) -> Rule:
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
        patience, is_flat = flat_loss(self, length)

        def update(
            statistics: Statistics, seen: Observation
        ) -> tuple[jax.Array, jax.Array, Statistics]:
            flat, losses = is_flat(statistics.losses, seen.value)
            stable, average, rates = is_stable(
                statistics.rates, seen.increments, seen.gradients, self.kappa, self.decay
            )
            due = (seen.step > warmup) & stable & (flat | seen.ready)
            # SWATS takes (1 - momentum) times this, Adam's momentum being SGD's; not so here.
            return due, jnp.clip(average, *self.bounds), Statistics(losses, rates)

        create = lambda: Statistics(
            LossStatistics.create(patience), RateStatistics.create(self.window)
        )
        return Rule(create, update, needs_loss=True)


@dataclass(frozen=True, kw_only=True)
class Plateau(Criterion):
    """Switches when the loss is flat.

    That is when its running mean is not better by `improvement`, relative to what it was `patience`
    before.

    Attributes:
      sgd_learning_rate: SGD's first one.
      improvement: share.
      patience: length of time.
      smoothing: time constant of the running mean.
    """

    sgd_learning_rate: float
    improvement: float = 0.005
    patience: str = "3 epochs"
    smoothing: str = "1 epochs"

    def rule(self, length: TrainingLength, latest: int) -> Rule:
        rate = checked_rate(self.sgd_learning_rate)
        patience, is_flat = flat_loss(self, length)

        def update(
            statistics: Statistics, seen: Observation
        ) -> tuple[jax.Array, jax.Array, Statistics]:
            flat, losses = is_flat(statistics.losses, seen.value)
            return flat, jnp.float32(rate), Statistics(losses)

        return Rule(lambda: Statistics(LossStatistics.create(patience)), update, needs_loss=True)


@dataclass(frozen=True, kw_only=True)
class AtStep(Criterion):
    """Switches at a given time.

    Attributes:
      sgd_learning_rate: SGD's first one.
      at: the time from the start.
    """

    sgd_learning_rate: float
    at: str

    def rule(self, length: TrainingLength, latest: int) -> Rule:
        rate = checked_rate(self.sgd_learning_rate)
        at = length.steps(self.at, f"{SECTION}.at")
        if not 1 <= at <= latest:
            raise ValueError(
                f"{SECTION}.at={at} is not from 1 to latest={latest}, where the switch is in any "
                "case; raise latest or lower at"
            )
        update = lambda statistics, seen: (seen.step >= at, jnp.float32(rate), statistics)
        return Rule(Statistics, update, needs_loss=False)


CRITERIA = Registry(
    "criterion of lion_then_sgd",
    member="Criterion",
    table={"dynamic": Dynamic, "plateau": Plateau, "step": AtStep},
)


def checked_rate(rate: float) -> float:
    if not rate > 0:
        raise ValueError(f"{SECTION}.sgd_learning_rate={rate} must be greater than 0")
    return rate


def flat_loss(
    criterion: Dynamic | Plateau, length: TrainingLength
) -> tuple[int, Callable[[Any, jax.Array], tuple[jax.Array, LossStatistics]]]:
    """The patience in steps, and `(statistics, loss) -> (flat, statistics)`."""
    patience = length.steps(criterion.patience, f"{SECTION}.patience")
    smoothing = length.steps(criterion.smoothing, f"{SECTION}.smoothing")
    if min(patience, smoothing) < 1:
        raise ValueError(
            f"{SECTION}: patience={patience} and smoothing={smoothing} must each be at least one "
            "step"
        )

    def is_flat(state: LossStatistics, value: jax.Array) -> tuple[jax.Array, LossStatistics]:
        means, k = state
        weight = jnp.where(k == 0, 0.0, jnp.exp(-1.0 / jnp.float32(smoothing)))
        mean = weight * means[(k - 1) % patience] + (1 - weight) * value
        before = means[k % patience]
        flat = (k >= patience) & (before - mean < criterion.improvement * jnp.abs(before))
        return flat, LossStatistics(means.at[k % patience].set(mean), k + 1)

    return patience, is_flat


def is_stable(
    state: Any, increments: Any, gradients: Any, kappa: float, decay: float
) -> tuple[jax.Array, jax.Array, RateStatistics]:
    """Whether this step's gamma is near the average of all; that average; the new state."""
    against = -optax.tree.vdot(increments, gradients)
    positive = against > 0
    gamma = optax.tree.norm(increments, squared=True) / jnp.where(positive, against, 1)
    accept = positive & jnp.isfinite(gamma)
    gammas, k, average = state
    (window,) = gammas.shape
    taken = RateStatistics(
        gammas.at[k % window].set(gamma), k + 1, decay * average + (1 - decay) * gamma
    )
    state = jax.tree.map(lambda new, old: jnp.where(accept, new, old), taken, state)
    # SWATS counts all steps here; those left out add nothing to the average, nor to its bias.
    number = jnp.maximum(state.accepted, 1)
    corrected = state.average / -jnp.expm1(number * math.log(decay))  # 1 - decay^number
    deviation = jnp.std(state.gammas, where=jnp.arange(window) < number)
    return accept & (jnp.abs(corrected - gamma) < kappa * deviation), corrected, state
