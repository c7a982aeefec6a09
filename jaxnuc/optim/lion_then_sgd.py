"""Lion first, SGD later: a transformation that decides by itself when to change."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxnuc.durations import TrainingLength
from jaxnuc.optim.criteria import Criterion, Observation, Statistics


@dataclass(frozen=True, kw_only=True)
class LionPhase:
    """Lion: weight of the momentum in the direction, its decay, and the decoupled weight decay."""

    b1: float = 0.9
    b2: float = 0.99
    weight_decay: float = 1e-2


@dataclass(frozen=True, kw_only=True)
class SgdPhase:
    """SGD: its momentum, whether that is Nesterov's, and the weight decay, of the gradient."""

    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4


class LionThenSgdState(NamedTuple):
    """Both methods and the decision between them.

    Attributes:
      count: () int32, updates made.
      switched_at: () int32, how many of them were Lion's; -1 while they all are.
      lion: state of Lion.
      trace: SGD's momentum.
      statistics: of the criterion.
      sgd_rate: () float32, SGD's first rate; 0 before it is known.
      rate: () float32, learning rate of the latest update, or of the first one before it is made.
    """

    count: jax.Array  # type: ignore[assignment]
    switched_at: jax.Array
    lion: optax.ScaleByLionState
    trace: optax.TraceState
    statistics: Statistics
    sgd_rate: jax.Array
    rate: jax.Array


def renewed(state: LionThenSgdState, fresh: LionThenSgdState) -> LionThenSgdState:
    """The state with moments and statistics of a fresh one; time and decision stay."""
    return state._replace(lion=fresh.lion, trace=fresh.trace, statistics=fresh.statistics)


def lion_then_sgd(
    learning_rate: optax.Schedule,
    length: TrainingLength,
    latest: int,
    *,
    criterion: Criterion,
    lion: LionPhase = LionPhase(),
    sgd: SgdPhase = SgdPhase(),
) -> optax.GradientTransformationExtraArgs:
    """Lion, and from some step on SGD, whose rate falls to 0 along a cosine.

    The switch is decided within `update` and never undone.

    The paper's abstract says that Lion is followed by gradient fine-tuning past a dynamic threshold
    and no more: the rule is that of SWATS with Lion in Adam's place, and all numbers are choices
    made here.

    Args:
      learning_rate: Lion's, by step.
      length: of the training, at whose end the cosine ends.
      latest: the switch is at this step if it was not before.
      criterion: when to switch: `Dynamic`, `Plateau` or `AtStep` of `jaxnuc.optim.criteria`.
      lion: numbers of Lion.
      sgd: numbers of SGD.

    Returns:
      A transformation that is complete: it scales by the learning rate. `update` takes `value`, the
      loss of the step, () float32, which all criteria but `AtStep` need, and `ready`, () bool or
      None: the loss has reached its last stage. On several devices all of them must be given the
      same gradients, loss and `ready`.

    Raises:
      ValueError: a number out of range; on `update`, if `value` is missing.

    References:
      Chen et al., "AL-Net: Adaptive Learning for Enhanced Cell Nucleus Segmentation in Pathological
      Images", Electronics 14(17), 2025 (abstract).
      Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023 (Lion).
      Keskar and Socher, "Improving Generalization Performance by Switching from Adam to SGD", 2017
      (SWATS, Algorithm 1).
    """
    if not 1 <= latest <= length.total:
        raise ValueError(f"lion_then_sgd: latest={latest} is not one of {length.total} steps")
    rule = criterion.rule(length, latest)
    first = optax.chain(
        optax.scale_by_lion(lion.b1, lion.b2), optax.add_decayed_weights(lion.weight_decay)
    )
    second = optax.chain(
        optax.add_decayed_weights(sgd.weight_decay),
        optax.trace(sgd.momentum, nesterov=sgd.nesterov),
    )

    def init(params: Any) -> LionThenSgdState:
        return LionThenSgdState(
            count=jnp.int32(0),
            switched_at=jnp.int32(-1),
            lion=first.init(params)[0],
            trace=second.init(params)[1],
            statistics=rule.init(),
            sgd_rate=jnp.float32(0),
            rate=jnp.asarray(learning_rate(0), jnp.float32),
        )

    def with_lion(
        gradients: Any, state: LionThenSgdState, params: Any, value: Any, ready: Any
    ) -> tuple[Any, LionThenSgdState]:
        directions, (moments, _) = first.update(gradients, (state.lion, optax.EmptyState()), params)
        rate = jnp.asarray(learning_rate(state.count), jnp.float32)
        increments = _scaled(directions, -rate)
        step = state.count + 1
        due, sgd_rate, statistics = rule.update(
            state.statistics, Observation(step, value, ready, increments, gradients)
        )
        due |= step >= latest
        return increments, state._replace(
            count=step,
            switched_at=jnp.where(due, step, state.switched_at),
            lion=moments,
            statistics=statistics,
            sgd_rate=jnp.where(due, sgd_rate, state.sgd_rate),
            rate=rate,
        )

    def with_sgd(
        gradients: Any, state: LionThenSgdState, params: Any, value: Any, ready: Any
    ) -> tuple[Any, LionThenSgdState]:
        directions, (_, trace) = second.update(gradients, (optax.EmptyState(), state.trace), params)
        span = jnp.maximum(length.total - state.switched_at, 1)
        gone = jnp.minimum(state.count - state.switched_at, span)
        rate = state.sgd_rate * (0.5 * (1 + jnp.cos(jnp.pi * gone / span)))
        return _scaled(directions, -rate), state._replace(
            count=state.count + 1, trace=trace, rate=rate
        )

    def update(
        updates: Any,
        state: LionThenSgdState,
        params: Any = None,
        *,
        value: jax.Array | None = None,
        ready: jax.Array | None = None,
        **extra_args: Any,
    ) -> tuple[Any, LionThenSgdState]:
        if value is None and rule.needs_loss:
            raise ValueError(
                f"lion_then_sgd: {type(criterion).__name__} needs the loss: update(..., value=loss)"
            )
        value = jnp.float32(0 if value is None else value)
        ready = jnp.bool_(False if ready is None else ready)
        return lax.cond(
            state.switched_at < 0, with_lion, with_sgd, updates, state, params, value, ready
        )

    return optax.GradientTransformationExtraArgs(init, update)


def _scaled(tree: Any, factor: jax.Array) -> Any:
    return jax.tree.map(lambda x: factor.astype(x.dtype) * x, tree)
