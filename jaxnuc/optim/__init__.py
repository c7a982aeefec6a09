"""Optimizers and schedules: chains of named Optax transformations made from a configuration."""

from jaxnuc.optim.criteria import CRITERIA, AtStep, Criterion, Dynamic, Plateau
from jaxnuc.optim.lion_then_sgd import LionPhase, LionThenSgdState, SgdPhase, lion_then_sgd
from jaxnuc.optim.methods import OPTIMIZERS, Optimizer, current_rate, make, switched_at
from jaxnuc.optim.phases import frozen_at_first
from jaxnuc.optim.schedules import (
    SCHEDULES,
    PlateauState,
    Schedule,
    current_scale,
    scale_on_plateau,
)

__all__ = [
    "CRITERIA",
    "OPTIMIZERS",
    "SCHEDULES",
    "AtStep",
    "Criterion",
    "Dynamic",
    "LionPhase",
    "LionThenSgdState",
    "Optimizer",
    "Plateau",
    "PlateauState",
    "Schedule",
    "SgdPhase",
    "current_rate",
    "current_scale",
    "frozen_at_first",
    "lion_then_sgd",
    "make",
    "scale_on_plateau",
    "switched_at",
]
