"""Optimizers by name.

The chain's order: clip elements, clip norm, coupled weight decay, the method, decoupled weight
decay, learning rate, plateau. Its state is a dict under these names.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from jaxnuc import registry
from jaxnuc.optim._section import filled
from jaxnuc.optim.lion_then_sgd import lion_then_sgd
from jaxnuc.optim.phases import frozen_at_first
from jaxnuc.optim.schedules import current_scale, scale_on_plateau

# Defaults of each method; `learning_rate` has none. SGD, Adam and RMSprop couple weight decay to
# the gradient (L2), as PyTorch does; AdamW and Lion decouple it.
METHODS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
    "adam": {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
    "adamw": {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 1e-4},
    "rmsprop": {"decay": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0},
    "lion": {"b1": 0.9, "b2": 0.99, "weight_decay": 1e-2},
    "lion_then_sgd": {
        "criterion": "dynamic",
        "latest": 0.6,  # share of the training
        **{"b1": 0.9, "b2": 0.99, "weight_decay": 1e-2},
        **{"momentum": 0.9, "nesterov": True, "sgd_weight_decay": 1e-4},
    },
}
_FLAT = {"improvement": 0.005, "patience": "3 epochs", "smoothing": "1 epochs"}
# What `lion_then_sgd` takes besides, by criterion; `sgd_learning_rate` and `at` have no default.
CRITERIA: dict[str, dict[str, Any]] = {
    "dynamic": {
        **{"warmup": "5 epochs", "kappa": 0.1, "window": 200, "decay": 0.999},
        **{"bounds": (1e-4, 1e-1), **_FLAT},
    },
    "plateau": {"sgd_learning_rate": 0.0, **_FLAT},
    "step": {"sgd_learning_rate": 0.0, "at": ""},
}
LENGTHS = ("at", "warmup", "patience", "smoothing")
# What all methods take; see `frozen_at_first`.
FROZEN = {"frozen": "", "frozen_until": ""}


def _filled(section: Mapping[str, Any]) -> dict[str, Any]:
    more: dict[str, Any] = {"learning_rate": 0.0, **FROZEN}
    if section["name"] == "lion_then_sgd":
        criterion = section.get("criterion", "dynamic")
        if criterion not in CRITERIA:
            raise registry.unknown("criterion of optimizer lion_then_sgd", criterion, CRITERIA)
        more |= CRITERIA[criterion]
    given = filled("optimizer", section, METHODS, **more)
    if "learning_rate" not in section:
        raise ValueError(f"optimizer {given['name']!r} needs a learning_rate")
    if bool(given["frozen"]) != bool(given["frozen_until"]):
        raise ValueError(
            f"optimizer.frozen={given['frozen']!r} and optimizer.frozen_until="
            f"{given['frozen_until']!r} need each other: what, and for how long"
        )
    return given


def make(
    section: Mapping[str, Any],
    learning_rate: optax.Schedule,
    *,
    to_steps: Callable[[str, str], int] | None = None,
    total_steps: int | None = None,
    plateau: bool = False,
    clip_value: float = 0.0,
    clip_norm: float = 0.0,
) -> optax.GradientTransformationExtraArgs:
    """Makes the optimizer.

    Args:
      section: `{"name": "sgd" | "adam" | "adamw" | "rmsprop" | "lion" | "lion_then_sgd",
        "learning_rate": ..., ...}` with the arguments in `METHODS`. With `frozen`, a regular
        expression, the parameters whose paths it matches are held for the length of time
        `frozen_until`; see `frozen_at_first`.
      learning_rate: by step; with `lion_then_sgd` it is Lion's, best constant, and ends at the
        switch.
      to_steps: turns a length of time and its key into steps; for `frozen` and `lion_then_sgd`.
      total_steps: of the training; for `lion_then_sgd`, whose `latest` is a share of it.
      plateau: whether `observe` may lower the rate.
      clip_value: largest magnitude of a gradient's element; 0 is off.
      clip_norm: largest global norm of the gradient; 0 is off.

    Raises:
      ValueError: unknown optimizer or argument, one that is out of range, or one that is missing.
    """
    given = _filled(section)
    name, decay = given["name"], given["weight_decay"]
    decoupled = name in ("adamw", "lion")
    parts: list[tuple[str, optax.GradientTransformation]] = []
    if clip_value:
        parts.append(("clip_value", optax.clip(clip_value)))
    if clip_norm:
        parts.append(("clip_norm", optax.clip_by_global_norm(clip_norm)))
    if name == "lion_then_sgd":
        if plateau:
            raise ValueError(
                "schedule 'plateau' cannot lower the rate of optimizer 'lion_then_sgd', which "
                "sets its own after the switch; take schedule 'constant'"
            )
        parts.append((name, _lion_then_sgd(given, learning_rate, to_steps, total_steps)))
    else:
        if decay and not decoupled:
            parts.append(("weight_decay", optax.add_decayed_weights(decay)))
        parts += _method(given)
        if decay and decoupled:
            parts.append(("weight_decay", optax.add_decayed_weights(decay)))
        parts.append(("learning_rate", optax.scale_by_learning_rate(learning_rate)))
    if plateau:
        parts.append(("plateau", scale_on_plateau()))
    chain = optax.named_chain(*parts)
    if not given["frozen"]:
        return chain
    until = _steps(given, "frozen_until", to_steps)
    return frozen_at_first(chain, given["frozen"], until)


def _method(given: Mapping[str, Any]) -> list[tuple[str, optax.GradientTransformation]]:
    """What makes a direction of a gradient."""
    name = given["name"]
    parts: list[tuple[str, optax.GradientTransformation]] = []
    if name in ("adam", "adamw"):
        parts.append((name, optax.scale_by_adam(given["b1"], given["b2"], given["eps"])))
    elif name == "lion":
        parts.append((name, optax.scale_by_lion(given["b1"], given["b2"])))
    elif name == "rmsprop":
        # PyTorch's form: epsilon outside the root, momentum after the scaling.
        parts.append((name, optax.scale_by_rms(given["decay"], given["eps"], eps_in_sqrt=False)))
    if given.get("momentum"):
        trace = optax.trace(given["momentum"], nesterov=given.get("nesterov", False))
        parts.append(("momentum", trace))
    return parts


def _lion_then_sgd(
    given: Mapping[str, Any],
    learning_rate: optax.Schedule,
    to_steps: Callable[[str, str], int] | None,
    total_steps: int | None,
) -> optax.GradientTransformationExtraArgs:
    if total_steps is None:
        raise ValueError("optimizer 'lion_then_sgd' needs the training's total_steps")
    if not 0 < given["latest"] <= 1:
        raise ValueError(f"optimizer.latest={given['latest']} is a share in (0, 1]")
    arguments: dict[str, Any] = {
        key: _steps(given, key, to_steps) if key in LENGTHS else given[key]
        for key in given
        if key not in ("name", "learning_rate", "latest", *FROZEN)
    }
    latest = max(round(given["latest"] * total_steps), 1)
    return lion_then_sgd(learning_rate, total_steps, latest, **arguments)


def _steps(given: Mapping[str, Any], key: str, to_steps: Callable[[str, str], int] | None) -> int:
    if to_steps is None:
        raise ValueError(f"optimizer.{key}={given[key]!r} needs to_steps, which counts its steps")
    return to_steps(given[key], f"optimizer.{key}")


def current_rate(opt_state: Any, learning_rate: optax.Schedule, step: int) -> jax.Array | float:
    """The learning rate of the latest update, for the log.

    Args:
      opt_state: of a chain made by `make`, after the update.
      learning_rate: the schedule that `make` was given.
      step: the number of updates before that one.
    """
    if "lion_then_sgd" in opt_state:
        return opt_state["lion_then_sgd"].rate
    return learning_rate(step) * current_scale(opt_state)


def switched_at(opt_state: Any) -> jax.Array | None:
    """How many updates were Lion's before SGD's began: () int32, -1 while there is no SGD.

    Args:
      opt_state: of a chain made by `make`.

    Returns:
      None for other methods than `lion_then_sgd`.
    """
    return opt_state["lion_then_sgd"].switched_at if "lion_then_sgd" in opt_state else None
