"""Lion first, SGD later: an optimizer that decides by itself when to change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxnuc.durations import TrainingLength
from jaxnuc.optim.base import Chain, Optimizer
from jaxnuc.optim.criteria import CRITERIA, Criterion, Observation, Statistics
from jaxnuc.registry import Registry


@dataclass(frozen=True, kw_only=True)
class SgdPhase:
    """SGD: its momentum, whether that is Nesterov's, and the weight decay, of the gradient."""

    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4


class LionThenSgdState(NamedTuple):
    """Both methods and the decision between them; numbers are () int32 or float32."""

    count: jax.Array  # type: ignore[assignment]  # updates made
    switched_at: jax.Array  # how many of them were Lion's; -1 while they all are
    lion: optax.ScaleByLionState
    trace: optax.TraceState  # SGD's momentum
    statistics: Statistics  # of the criterion
    sgd_rate: jax.Array  # SGD's first rate; 0 before it is known
    estimate: jax.Array  # that rate before it was held within the criterion's bounds
    rate: jax.Array  # of the latest update, or of the first one before it is made


def renewed(state: LionThenSgdState, fresh: LionThenSgdState) -> LionThenSgdState:
    """The state with moments and statistics of a fresh one; time and decision stay."""
    return state._replace(lion=fresh.lion, trace=fresh.trace, statistics=fresh.statistics)


PHASES = Registry("phase of lion_then_sgd", table={"sgd": SgdPhase})


@dataclass(frozen=True, kw_only=True)
class LionThenSgd(Optimizer):
    """Lion, and from some step on SGD, whose rate falls to 0 along a cosine.

    `learning_rate` and `weight_decay` are Lion's; the schedule, best constant, ends at the switch,
    which is decided within `update` and never undone.

    The paper's abstract says that Lion is followed by gradient fine-tuning past a dynamic threshold
    and no more: the rule is that of SWATS with Lion in Adam's place, and all numbers are choices
    made here. SWATS' projection makes SGD's step as long as Lion's along the gradient, so a step
    advances 1 / cos^2 of the angle between Lion's step and the gradient times as far after the
    switch: 1.6 times for Gaussian gradients.

    Attributes:
      criterion: when to switch: `{"name": "dynamic" | "plateau" | "step", ...}`, with the arguments
        of `Dynamic`, `Plateau` and `AtStep` in `jaxnuc.optim.criteria`.
      latest: share of the training after which the switch is in any case.
      b1: Lion's weight of the momentum in the direction.
      b2: Lion's decay of the momentum.
      sgd: arguments of `SgdPhase`.

    References:
      Chen et al., "AL-Net: Adaptive Learning for Enhanced Cell Nucleus Segmentation in Pathological
      Images", Electronics 14(17), 2025 (abstract).
      Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023 (Lion).
      Keskar and Socher, "Improving Generalization Performance by Switching from Adam to SGD", 2017
      (SWATS, Algorithm 1).
    """

    criterion: Mapping[str, Any] = field(default_factory=lambda: {"name": "dynamic"})
    latest: float = 0.6
    weight_decay: float = 1e-2
    b1: float = 0.9
    b2: float = 0.99
    sgd: Mapping[str, Any] = field(default_factory=dict)

    own_rate: ClassVar[bool] = True

    def chain(self, rate: optax.Schedule, length: TrainingLength) -> Chain:
        """One transformation, which also scales by the learning rate.

        Its `update` takes `value`, the loss of the step, () float32, which all criteria but
        `AtStep` need; `ready`, () bool or None: the loss has reached its last stage; and
        `unclipped`, the gradients before any clipping, from which SGD's rate is estimated, where
        they are not the updates. On several devices all of them must be given the same.
        """
        if not 0 < self.latest <= 1:
            raise ValueError(f"optimizer.latest={self.latest} is a share in (0, 1]")
        latest = max(round(self.latest * length.total), 1)
        criterion: Criterion = CRITERIA.build(self.criterion)
        sgd: SgdPhase = PHASES.build({"name": "sgd", **self.sgd})
        rule = criterion.rule(length, latest, sgd.momentum)
        scale, trace = (
            optax.scale_by_lion(self.b1, self.b2),
            optax.trace(sgd.momentum, sgd.nesterov),
        )

        def with_decay(updates: Any, params: Any, weight_decay: float) -> Any:
            decay = self.decay_of(weight_decay)
            return decay.update(updates, decay.init(params), params)[0]  # it has no state

        def init(params: Any) -> LionThenSgdState:
            return LionThenSgdState(
                count=jnp.int32(0),
                switched_at=jnp.int32(-1),
                lion=scale.init(params),
                trace=trace.init(params),
                statistics=rule.init(),
                sgd_rate=jnp.float32(0),
                estimate=jnp.float32(0),
                rate=jnp.asarray(rate(0), jnp.float32),
            )

        def with_lion(
            gradients: Any, state: LionThenSgdState, params: Any, *seen: Any
        ) -> tuple[Any, LionThenSgdState]:
            value, ready, unclipped = seen
            directions, moments = scale.update(gradients, state.lion, params)
            now = jnp.asarray(rate(state.count), jnp.float32)
            increments = _scaled(with_decay(directions, params, self.weight_decay), -now)
            step = state.count + 1
            decision, statistics = rule.update(
                state.statistics, Observation(step, value, ready, increments, unclipped)
            )
            due = decision.due | (step >= latest)
            return increments, state._replace(
                count=step,
                switched_at=jnp.where(due, step, state.switched_at),
                lion=moments,
                statistics=statistics,
                sgd_rate=jnp.where(due, decision.rate, state.sgd_rate),
                estimate=jnp.where(due, decision.estimate, state.estimate),
                rate=now,
            )

        def with_sgd(
            gradients: Any, state: LionThenSgdState, params: Any, *_: Any
        ) -> tuple[Any, LionThenSgdState]:
            gradients = with_decay(gradients, params, sgd.weight_decay)
            directions, momentum = trace.update(gradients, state.trace, params)
            span = jnp.maximum(length.total - state.switched_at, 1)
            gone = jnp.minimum(state.count - state.switched_at, span)
            now = state.sgd_rate * (0.5 * (1 + jnp.cos(jnp.pi * gone / span)))
            state = state._replace(count=state.count + 1, trace=momentum, rate=now)
            return _scaled(directions, -now), state

        def update(
            updates: Any,
            state: LionThenSgdState,
            params: Any = None,
            *,
            value: jax.Array | None = None,
            ready: jax.Array | None = None,
            unclipped: Any = None,
            **extra_args: Any,
        ) -> tuple[Any, LionThenSgdState]:
            if value is None and rule.needs_loss:
                name = type(criterion).__name__
                raise ValueError(f"lion_then_sgd: {name} needs the loss: update(..., value=loss)")
            value = jnp.float32(0 if value is None else value)
            ready = jnp.bool_(False if ready is None else ready)
            seen = (value, ready, updates if unclipped is None else unclipped)
            return lax.cond(
                state.switched_at < 0, with_lion, with_sgd, updates, state, params, *seen
            )

        return {"lion_then_sgd": optax.GradientTransformationExtraArgs(init, update)}


def _scaled(tree: Any, factor: jax.Array) -> Any:
    return jax.tree.map(lambda x: factor.astype(x.dtype) * x, tree)
