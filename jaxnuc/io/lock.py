"""A folder that one process at a time writes into."""

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from jaxnuc.io.atomic import remove_leftovers
from jaxnuc.io.shared_memory import remove_orphans

logger = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path, name: str = ".lock") -> Iterator[None]:
    """Keeps a folder, made where it is missing, for this process while the block runs.

    What processes that were killed left is removed: in the folder what `replacing` wrote, and the
    shared memory of their workers. The lock is one of the system (flock), which ends with its
    process, on a file that says who holds it.

    Args:
      folder: to write into.
      name: of the lock's file; processes that may share the folder take different ones.

    Raises:
      ValueError: another process holds the folder; says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _acquired(folder, folder / name) as file:
        file.seek(0)
        if earlier := file.read():
            logger.warning("%s is taken over from %s, which was killed", folder, earlier)
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        file.write(f"process {os.getpid()} on {socket.gethostname()}, there since {since}")
        file.flush()
        remove_leftovers(folder)
        remove_orphans()
        try:
            yield
        finally:
            (folder / name).unlink(missing_ok=True)


def _acquired(folder: Path, path: Path) -> TextIO:
    """The lock's file, open and locked."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            with file:
                holder = file.read() or "another process"
            raise ValueError(
                f"{folder} is written to by {holder}; wait for its end, or give another folder"
            ) from None
        except OSError as error:
            logger.warning("%s cannot be locked (%s): let no other process use it", folder, error)
            return file
        # Whoever held it has removed the file, and a third process may have made a new one.
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
        file.close()
