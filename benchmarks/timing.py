"""Seconds that calls take."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

Call = Callable[[], Any]


def seconds(call: Call, repeats: int = 1) -> list[float]:
    """Of calls one after the other, each up to the end of what it left to a device."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return times


def in_turn(calls: Mapping[str, Call], repeats: int) -> dict[str, list[float]]:
    """Of each call, all in turn, so that what else the machine does slows all of them alike.

    A first round, which compiles and allocates, is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            times[name] += seconds(call)
    return {name: each[1:] for name, each in times.items()}


def medians(calls: Mapping[str, Call], repeats: int) -> dict[str, float]:
    """Median seconds of each call, all in turn."""
    return {name: float(np.median(each)) for name, each in in_turn(calls, repeats).items()}
