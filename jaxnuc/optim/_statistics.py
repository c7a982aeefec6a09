"""What `lion_then_sgd` observes before it switches."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


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


def is_flat(
    state: LossStatistics, value: jax.Array, improvement: float, smoothing: int
) -> tuple[jax.Array, LossStatistics]:
    """Whether the mean is not better by a share of what it was as many steps ago as are kept."""
    means, k = state
    (patience,) = means.shape
    weight = jnp.where(k == 0, 0.0, jnp.exp(-1.0 / jnp.float32(smoothing)))
    mean = weight * means[(k - 1) % patience] + (1 - weight) * value
    before = means[k % patience]
    flat = (k >= patience) & (before - mean < improvement * jnp.abs(before))
    return flat, LossStatistics(means.at[k % patience].set(mean), k + 1)


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


def is_stable(
    state: RateStatistics, increments: Any, gradients: Any, kappa: float, decay: float
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
