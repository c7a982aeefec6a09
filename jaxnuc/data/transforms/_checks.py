"""Checks of the arguments of transforms."""

import numpy as np


def check_probability(p: float) -> None:
    """ValueError where `p` is not in 0..1."""
    if not 0 <= p <= 1:
        raise ValueError(f"p={p}: a probability is expected")


def check_spread(name: str, value: float, limit: float = np.inf) -> None:
    """ValueError where `value` is not in 0..`limit`."""
    if not 0 <= value <= limit:
        raise ValueError(f"{name}={value}: 0 <= {name} <= {limit} is expected")


def check_count(name: str, value: int) -> None:
    """ValueError where `value` is not an integer of 1 or more."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: an integer of 1 or more is expected")
