"""Optimizers and schedules: chains of named Optax transformations made from a configuration."""

from jaxnuc.optim.base import Optimizer
from jaxnuc.optim.criteria import CRITERIA
from jaxnuc.optim.methods import OPTIMIZERS, current_rate, make, sgd_rate, switched_at
from jaxnuc.optim.schedules import SCHEDULES, Schedule, current_scale
from jaxnuc.optim.taken import mark_taken, treats_taken_differently

__all__ = [
    "CRITERIA",
    "OPTIMIZERS",
    "SCHEDULES",
    "Optimizer",
    "Schedule",
    "current_rate",
    "current_scale",
    "make",
    "mark_taken",
    "sgd_rate",
    "switched_at",
    "treats_taken_differently",
]
