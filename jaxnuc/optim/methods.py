"""Optimizers by name.

The chain's order: clip elements, clip norm, coupled weight decay, the method, decoupled weight
decay, learning rate, plateau, share of what weights gave. Its state is a dict under these names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import optax

from jaxnuc.durations import TrainingLength
from jaxnuc.optim.base import Chain, Optimizer
from jaxnuc.optim.lion_then_sgd import LionThenSgd
from jaxnuc.optim.phases import frozen_at_first, matching
from jaxnuc.optim.schedules import current_scale, scale_on_plateau
from jaxnuc.optim.taken import TAKEN, scale_taken, treats_taken_differently, which_taken
from jaxnuc.registry import Registry


def _momentum(value: float, nesterov: bool = False) -> Chain:
    return {"momentum": optax.trace(value, nesterov=nesterov)} if value else {}


@dataclass(frozen=True, kw_only=True)
class Sgd(Optimizer):
    """Stochastic gradient descent with momentum."""

    momentum: float = 0.9
    nesterov: bool = False

    def direction(self) -> Chain:
        return _momentum(self.momentum, self.nesterov)


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Kingma and Ba, "Adam: A method for stochastic optimization", 2015."""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def direction(self) -> Chain:
        return {"adam": optax.scale_by_adam(self.b1, self.b2, self.eps)}


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Loshchilov and Hutter, "Decoupled weight decay regularization", 2019."""

    weight_decay: float = 1e-4

    decoupled: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class RmsProp(Optimizer):
    """Hinton's RMSprop in PyTorch's form: epsilon outside the root, momentum after the scaling."""

    decay: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0

    def direction(self) -> Chain:
        scale = optax.scale_by_rms(self.decay, self.eps, eps_in_sqrt=False)
        return {"rmsprop": scale} | _momentum(self.momentum)


@dataclass(frozen=True, kw_only=True)
class Lion(Optimizer):
    """Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023."""

    weight_decay: float = 1e-2
    b1: float = 0.9
    b2: float = 0.99

    decoupled: ClassVar[bool] = True

    def direction(self) -> Chain:
        return {"lion": optax.scale_by_lion(self.b1, self.b2)}


OPTIMIZERS = Registry(
    "optimizer",
    member="Optimizer",
    table={
        "sgd": Sgd,
        "adam": Adam,
        "adamw": AdamW,
        "rmsprop": RmsProp,
        "lion": Lion,
        "lion_then_sgd": LionThenSgd,
    },
    base=Optimizer,
)


def make(
    section: Mapping[str, Any],
    learning_rate: optax.Schedule,
    length: TrainingLength,
    *,
    plateau: bool = False,
    clip_value: float = 0.0,
    clip_norm: float = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """Makes the optimizer.

    Args:
      section: `{"name": ..., "learning_rate": ..., **arguments}`, a choice of `OPTIMIZERS`.
      learning_rate: by step.
      length: of the training.
      plateau: whether `Schedule.observe` may lower the rate.
      clip_value: largest magnitude of a gradient's element; 0 is off.
      clip_norm: largest global norm of the gradient; 0 is off.

    Raises:
      ValueError: unknown optimizer or argument, one that is out of range, or one that is missing.
    """
    method: Optimizer = OPTIMIZERS.build(section)
    if plateau and method.own_rate:
        raise ValueError(
            f"schedule 'plateau' cannot lower the rate of optimizer {section['name']!r}, which "
            "sets its own; take schedule 'constant'"
        )
    if bool(method.frozen) != bool(method.frozen_until):
        raise ValueError(
            f"optimizer.frozen={method.frozen!r} and optimizer.frozen_until="
            f"{method.frozen_until!r} need each other: what, and for how long"
        )
    if method.frozen and method.taken_frozen_until:
        raise ValueError(
            "optimizer.frozen and optimizer.taken_frozen_until both hold parameters at first; "
            "leave one of them out"
        )
    if method.taken_rate < 0:
        raise ValueError(f"optimizer.taken_rate={method.taken_rate} must be 0 or more")
    parts: Chain = {}
    if clip_value:
        parts["clip_value"] = optax.clip(clip_value)
    if clip_norm:
        parts["clip_norm"] = optax.clip_by_global_norm(clip_norm)
    parts |= method.chain(learning_rate, length)
    if plateau:
        parts["plateau"] = scale_on_plateau()
    if treats_taken_differently(section):
        parts[TAKEN] = scale_taken(method.taken_rate)
    chain = _with_unclipped(optax.named_chain(*parts.items()))
    if method.frozen:
        until = length.steps(method.frozen_until, "optimizer.frozen_until")
        return frozen_at_first(chain, matching(method.frozen), until, "optimizer.frozen_until")
    if method.taken_frozen_until:
        until = length.steps(method.taken_frozen_until, "optimizer.taken_frozen_until")
        return frozen_at_first(chain, which_taken, until, "optimizer.taken_frozen_until")
    return chain


def _with_unclipped(
    chain: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """Passes the gradients that the chain is given to all its parts, behind the clipping too."""

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        return chain.update(updates, state, params, unclipped=updates, **extra_args)

    return optax.GradientTransformationExtraArgs(chain.init, update)


def current_rate(opt_state: Any, learning_rate: optax.Schedule, step: int) -> jax.Array | float:
    """The learning rate of the latest update, for the log; `step` is the number of those before."""
    if "lion_then_sgd" in opt_state:
        return opt_state["lion_then_sgd"].rate
    return learning_rate(step) * current_scale(opt_state)


def switched_at(opt_state: Any) -> jax.Array | None:
    """How many updates were Lion's before SGD's began: () int32, -1 while there is no SGD.

    None for other methods than `lion_then_sgd`.
    """
    return opt_state["lion_then_sgd"].switched_at if "lion_then_sgd" in opt_state else None


def sgd_rate(opt_state: Any) -> tuple[jax.Array, jax.Array]:
    """The rate that SGD began with after Lion, and the estimate behind it; both () float32.

    They differ where a bound of the criterion `dynamic` ruled.
    """
    state = opt_state["lion_then_sgd"]
    return state.sgd_rate, state.estimate
