"""Work in other processes and threads: results come in order, and only a few tasks wait."""

import functools
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")

logger = logging.getLogger(__name__)

_PER_CORE = 4  # workers; more would only wait, each in memory of its own

# Tasks of a worker that are under way or wait: at least, and while all are small, at most.
_FEW, _MANY, _MOST_BYTES = 2, 6, 2**28


def cores() -> int:
    """The cores that this process may use, which on shared machines are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def affordable(workers: int) -> int:
    """So many worker processes, or, with a warning, as many as are of use on this machine."""
    most = _PER_CORE * cores()
    if workers > most:
        logger.warning(
            "%d workers are asked for; %d are started, for %d cores", workers, most, cores()
        )
    return min(workers, most)


def ordered_map(
    function: Callable[..., T],
    tasks: Iterable[tuple[Any, ...]],
    workers: int,
    size: Callable[..., int] | None = None,
) -> Iterator[T]:
    """Calls a function on every task, in worker processes, and yields the results in order.

    Tasks are taken one by one as workers get free. Two per worker are under way or wait, or up to
    six while all of them have no more than 256 MiB, so that memory is bounded however slow the
    function is. The processes are spawned, which takes a second or two.

    Args:
      function: picklable; called as `function(*task)`.
      tasks: arguments, picklable; taken in the calling process, while the workers work.
      workers: number of processes, see `affordable`; 0 calls the function here.
      size: bytes of a task, of the same arguments; None: unknown.

    Yields:
      The results, in the order of the tasks, the same whatever the number of workers.

    Raises:
      ValueError: `workers` is negative.
      ChildProcessError: a worker process died, as when the memory is used up.
      Exception: whatever the function or the tasks raise; the rest is not started.
    """
    if workers < 0:
        raise ValueError(f"workers is {workers}; it must be 0 (this process) or more")
    if not workers:
        yield from (function(*task) for task in tasks)
        return
    workers = affordable(workers)
    spawn = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=spawn, initializer=follow_parent)
    waiting: deque[tuple[Future[T], int]] = deque()  # with their bytes
    try:
        for task in tasks:
            taken = _MOST_BYTES if size is None else size(*task)
            with _hidden_script():
                waiting.append((executor.submit(function, *task), taken))
            while len(waiting) >= _FEW * workers and (
                len(waiting) >= _MANY * workers or sum(each for _, each in waiting) > _MOST_BYTES
            ):
                yield waiting.popleft()[0].result()
        while waiting:
            yield waiting.popleft()[0].result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            f"one of {workers} worker processes died, perhaps for want of memory; try fewer "
            "workers, or 0 to see its error here"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _hidden_script() -> Iterator[None]:
    """Keeps processes that start meanwhile from running the caller's script once more.

    A spawned process imports the script, for functions that are defined in it. One without
    `if __name__ == "__main__":` would call what started the process again, and has no functions for
    it: those are in packages.
    """
    main = sys.modules["__main__"]
    path: str | None = getattr(main, "__file__", None)
    if path is None or main.__spec__ is not None or _is_guarded(path):
        yield
        return
    del main.__file__
    try:
        yield
    finally:
        main.__file__ = path


@functools.cache
def _is_guarded(path: str) -> bool:
    """Whether a script finds out if it is imported."""
    return b"__name__" in Path(path).read_bytes()


def threaded_map(
    function: Callable[[S], T], items: Iterable[S], threads: int, ahead: int
) -> Iterator[T]:
    """Calls a function on every item, in threads, and yields the results in order.

    Args:
      function: that threads may call at the same time.
      items: taken in the calling thread.
      threads: number of them.
      ahead: results, done or under way, that wait at most.

    Raises:
      Exception: whatever the function or the items raise; the rest is not started.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def follow_parent() -> None:
    """Ends this worker where the process that it works for is killed and cannot say so."""
    # A terminal sends Ctrl-C to all processes; this one is ended by the one that it works for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
