"""Optimizers and schedules: chains of named Optax transformations made from a configuration."""

from jaxnuc.optim.lion_then_sgd import LionThenSgdState, lion_then_sgd
from jaxnuc.optim.methods import CRITERIA, METHODS, current_rate, make, switched_at
from jaxnuc.optim.phases import frozen_at_first
from jaxnuc.optim.schedules import (
    SCHEDULES,
    PlateauState,
    current_scale,
    observe,
    scale_on_plateau,
    schedule,
)

__all__ = [
    "CRITERIA",
    "METHODS",
    "SCHEDULES",
    "LionThenSgdState",
    "PlateauState",
    "current_rate",
    "current_scale",
    "frozen_at_first",
    "lion_then_sgd",
    "make",
    "observe",
    "scale_on_plateau",
    "schedule",
    "switched_at",
]
