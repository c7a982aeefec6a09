"""SIGTERM, which a preempted job gets some time before it is killed."""

import signal
import threading
from types import FrameType
from typing import Any, Self

import jax

from jaxnuc.run.checkpoints import Checkpoints

# Of a process that was stopped, as shells have it. A command after `&&` must not take what is half
# trained for trained, nor a scheduler a job for done.
STATUS = 128 + signal.SIGTERM


class Stopped(Exception):
    """SIGTERM ended a training early."""


class Preemption:
    """Takes note of a SIGTERM while it is entered."""

    def __init__(self) -> None:
        self._received = False
        self._previous: Any = None

    def reached(self, step: int, checkpoints: Checkpoints) -> bool:
        """Whether to save and stop after this step."""
        # Several processes must stop at the same step: JAX's own handler agrees on one.
        if jax.process_count() > 1:
            return checkpoints.reached_preemption(step)
        return self._received

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = True

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        if main and jax.process_count() == 1:
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
