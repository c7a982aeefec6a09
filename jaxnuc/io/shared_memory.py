"""Shared memory that is named after the process it is for.

What is left of it when all processes that know it are killed at once can then be removed.
"""

import multiprocessing
import secrets
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

from jaxnuc.io.atomic import remove_leftovers, temporary_name

FOLDER = Path("/dev/shm")  # where Linux keeps it; elsewhere it has no place that can be listed


class _NamedSharedMemory(shared_memory.SharedMemory):
    """Takes a name that `remove_leftovers` knows, where none is asked for."""

    def __init__(self, name: str | None = None, create: bool = False, *more: Any, **options: Any):
        parent = multiprocessing.parent_process()
        if create and name is None and parent is not None:
            name = temporary_name(f"shared_{secrets.token_hex(8)}", parent.pid)
        super().__init__(name, create, *more, **options)


def name_after_parent() -> None:
    """Names what this worker process will make, as Grain does for every batch, after its parent."""
    if FOLDER.is_dir():
        shared_memory.SharedMemory = _NamedSharedMemory  # type: ignore[misc]


def remove_orphans() -> None:
    """Removes what is named after processes on this machine that have ended."""
    if FOLDER.is_dir():
        remove_leftovers(FOLDER)
