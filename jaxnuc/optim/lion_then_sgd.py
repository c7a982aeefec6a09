"""Lion first, SGD later: a transformation that decides by itself when to change."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxnuc import registry
from jaxnuc.optim._statistics import LossStatistics, RateStatistics, is_flat, is_stable

CRITERIA = ("dynamic", "plateau", "step")


class LionThenSgdState(NamedTuple):
    """Both methods and the decision between them.

    Attributes:
      count: () int32, updates made.
      switched_at: () int32, how many of them were Lion's; -1 while they all are.
      lion: state of Lion.
      trace: SGD's momentum.
      rates: statistics of the criterion `"dynamic"`, otherwise None.
      losses: statistics of `"dynamic"` and `"plateau"`, otherwise None.
      sgd_rate: () float32, SGD's first rate; 0 before it is known.
      rate: () float32, learning rate of the latest update, or of the first one before it is made.
    """

    count: jax.Array  # type: ignore[assignment]
    switched_at: jax.Array
    lion: optax.ScaleByLionState
    trace: optax.TraceState
    rates: RateStatistics | None
    losses: LossStatistics | None
    sgd_rate: jax.Array
    rate: jax.Array


def renewed(state: LionThenSgdState, fresh: LionThenSgdState) -> LionThenSgdState:
    """The state with moments and statistics of a fresh one; time and decision stay."""
    return state._replace(
        lion=fresh.lion, trace=fresh.trace, rates=fresh.rates, losses=fresh.losses
    )


def lion_then_sgd(
    learning_rate: optax.Schedule,
    total_steps: int,
    latest: int,
    *,
    criterion: str = "dynamic",
    b1: float = 0.9,
    b2: float = 0.99,
    weight_decay: float = 1e-2,
    momentum: float = 0.9,
    nesterov: bool = True,
    sgd_weight_decay: float = 1e-4,
    sgd_learning_rate: float = 0.0,
    at: int = 0,
    warmup: int = 0,
    kappa: float = 0.1,
    window: int = 200,
    decay: float = 0.999,
    bounds: tuple[float, float] = (1e-4, 1e-1),
    improvement: float = 0.005,
    patience: int = 0,
    smoothing: int = 0,
) -> optax.GradientTransformationExtraArgs:
    """Lion, and from some step on SGD, whose rate falls to 0 along a cosine.

    The switch is decided within `update` and never undone. By criterion:

    - `"dynamic"`: after the warm-up, the first step k at which |average - gamma_k| is below `kappa`
      standard deviations of the latest `window` gammas, and the loss is flat or `ready`. With the
      increment p_k and the gradient g_k, gamma_k = <p_k, p_k> / -<p_k, g_k>; steps where this is
      not positive and finite are left out. SGD starts at the average, within `bounds`.
    - `"plateau"`: the loss is flat: its running mean is not better by `improvement`, relative to
      what it was `patience` steps before.
    - `"step"`: step `at`.

    The paper's abstract says that Lion is followed by gradient fine-tuning past a dynamic threshold
    and no more: the rule is that of SWATS with Lion in Adam's place, and all numbers are choices
    made here.

    Args:
      learning_rate: Lion's, by step.
      total_steps: of the training, where the cosine ends.
      latest: the switch is here if it was not before.
      criterion: `"dynamic"`, `"plateau"` or `"step"`.
      b1: Lion's weight of the momentum in the direction.
      b2: Lion's decay of the momentum.
      weight_decay: Lion's, decoupled.
      momentum: SGD's.
      nesterov: whether it is Nesterov's.
      sgd_weight_decay: SGD's, added to the gradient.
      sgd_learning_rate: SGD's first; for `"plateau"` and `"step"`.
      at: for `"step"`.
      warmup: steps; for `"dynamic"`.
      kappa: for `"dynamic"`.
      window: for `"dynamic"`.
      decay: of the average of gamma; for `"dynamic"`.
      bounds: smallest and largest first rate of SGD; for `"dynamic"`.
      improvement: share; for `"dynamic"` and `"plateau"`.
      patience: steps; for `"dynamic"` and `"plateau"`.
      smoothing: time constant of the running mean in steps; for `"dynamic"` and `"plateau"`.

    Returns:
      A transformation that is complete: it scales by the learning rate. `update` takes `value`, the
      loss of the step, () float32, which all criteria but `"step"` need, and `ready`, () bool or
      None: the loss has reached its last stage. On several devices all of them must be given the
      same gradients, loss and `ready`.

    Raises:
      ValueError: unknown criterion, or a number out of range; on `update`, if `value` is missing.

    References:
      Chen et al., "AL-Net: Adaptive Learning for Enhanced Cell Nucleus Segmentation in Pathological
      Images", Electronics 14(17), 2025 (abstract).
      Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023 (Lion).
      Keskar and Socher, "Improving Generalization Performance by Switching from Adam to SGD", 2017
      (SWATS, Algorithm 1).
    """
    if criterion not in CRITERIA:
        raise registry.unknown("criterion of lion_then_sgd", criterion, CRITERIA)
    if not 1 <= latest <= total_steps:
        raise ValueError(f"lion_then_sgd: latest={latest} is not one of {total_steps} steps")
    if criterion == "step" and not 1 <= at <= latest:
        raise ValueError(
            f"lion_then_sgd: at={at} is not from 1 to latest={latest}, where the switch is in any "
            "case; raise latest or lower at"
        )
    if criterion == "dynamic" and warmup >= latest:
        raise ValueError(
            f"lion_then_sgd: warmup={warmup} must be less than latest={latest}, where the switch "
            "is in any case; shorten the warm-up or raise latest"
        )
    if not 0 < bounds[0] <= bounds[1]:
        raise ValueError(f"lion_then_sgd: bounds={tuple(bounds)} must be positive and in order")
    if criterion != "dynamic" and not sgd_learning_rate > 0:
        raise ValueError(
            f"lion_then_sgd: criterion {criterion!r} needs an sgd_learning_rate greater than 0, "
            f"got {sgd_learning_rate}"
        )
    if criterion != "step" and min(window, patience, smoothing) < 1:
        raise ValueError(
            f"lion_then_sgd: criterion {criterion!r} needs at least one step each of patience="
            f"{patience}, smoothing={smoothing} and window={window}"
        )
    if not 0 < decay < 1:
        raise ValueError(f"lion_then_sgd: decay={decay} must be between 0 and 1")
    lion = optax.chain(optax.scale_by_lion(b1, b2), optax.add_decayed_weights(weight_decay))
    sgd = optax.chain(
        optax.add_decayed_weights(sgd_weight_decay), optax.trace(momentum, nesterov=nesterov)
    )

    def init(params: Any) -> LionThenSgdState:
        return LionThenSgdState(
            count=jnp.int32(0),
            switched_at=jnp.int32(-1),
            lion=lion.init(params)[0],
            trace=sgd.init(params)[1],
            rates=RateStatistics.create(window) if criterion == "dynamic" else None,
            losses=LossStatistics.create(patience) if criterion != "step" else None,
            sgd_rate=jnp.float32(0),
            rate=jnp.asarray(learning_rate(0), jnp.float32),
        )

    def with_lion(
        gradients: Any, state: LionThenSgdState, params: Any, value: Any, ready: Any
    ) -> tuple[Any, LionThenSgdState]:
        directions, (moments, _) = lion.update(gradients, (state.lion, optax.EmptyState()), params)
        rate = jnp.asarray(learning_rate(state.count), jnp.float32)
        increments = _scaled(directions, -rate)
        step = state.count + 1
        sgd_rate, due, rates, losses = jnp.float32(sgd_learning_rate), step >= at, None, None
        if state.losses is not None:
            due, losses = is_flat(state.losses, value, improvement, smoothing)
        if state.rates is not None:
            stable, average, rates = is_stable(state.rates, increments, gradients, kappa, decay)
            due = (step > warmup) & stable & (due | ready)
            # SWATS takes (1 - momentum) times this, Adam's momentum being SGD's; not so here.
            sgd_rate = jnp.clip(average, *bounds)
        due |= step >= latest
        return increments, state._replace(
            count=step,
            switched_at=jnp.where(due, step, state.switched_at),
            lion=moments,
            rates=rates,
            losses=losses,
            sgd_rate=jnp.where(due, sgd_rate, state.sgd_rate),
            rate=rate,
        )

    def with_sgd(
        gradients: Any, state: LionThenSgdState, params: Any, value: Any, ready: Any
    ) -> tuple[Any, LionThenSgdState]:
        directions, (_, trace) = sgd.update(gradients, (optax.EmptyState(), state.trace), params)
        length = jnp.maximum(total_steps - state.switched_at, 1)
        gone = jnp.minimum(state.count - state.switched_at, length)
        rate = state.sgd_rate * (0.5 * (1 + jnp.cos(jnp.pi * gone / length)))
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
        if value is None and criterion != "step":
            raise ValueError(
                f"lion_then_sgd: criterion {criterion!r} needs the loss: update(..., value=loss)"
            )
        value = jnp.float32(0 if value is None else value)
        ready = jnp.bool_(False if ready is None else ready)
        return lax.cond(
            state.switched_at < 0, with_lion, with_sgd, updates, state, params, value, ready
        )

    return optax.GradientTransformationExtraArgs(init, update)


def _scaled(tree: Any, factor: jax.Array) -> Any:
    return jax.tree.map(lambda x: factor.astype(x.dtype) * x, tree)
