"""Rows of tiles that the workers of a Dask cluster do, and this process keeps.

A task is a block of rows of an image. Dask gives it to another worker where one is lost.
"""

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from distributed import Client, WorkerPlugin, as_completed, get_worker
from distributed.scheduler import KilledWorker
from tqdm import tqdm

from jaxnuc.io import FilledImage
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.prediction.image_task import ImageTask, OpenTask, Outcome, attempt
from jaxnuc.prediction.partial_results import PartialResults
from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.settings import check_same
from jaxnuc.prediction.sizing import sized
from jaxnuc.prediction.stitching import Row
from jaxnuc.prediction.stream import predict_rows
from jaxnuc.prediction.tiles import Tile

logger = logging.getLogger(__name__)

_TILES = 8  # of a task at least: opening the image is little beside them
_SECONDS = 30  # until a scheduler must have answered

Wanted = Callable[[Tile], bool]
FindTissue = Callable[[OpenTask], Wanted | None]


class _Networks(WorkerPlugin):
    """Gives the networks to each worker, also to those that come later."""

    def __init__(self, predictor: Predictor, batch_size: int) -> None:
        self._predictor, self._batch_size = predictor, batch_size

    def setup(self, worker: Any) -> None:
        self._lock, self._runner = threading.Lock(), cast(BatchRunner | None, None)

    @contextmanager
    def runner(self) -> Iterator[BatchRunner]:
        """For one task at a time, however many threads the worker has."""
        with self._lock:
            if self._runner is None:
                self._runner = BatchRunner(self._predictor, self._batch_size)
            yield self._runner


@dataclass(frozen=True)
class _Block:
    """Rows of an image, for a worker.

    Attributes:
      number: of the image.
      task: the image.
      settings: as they are here: another file of the same name is refused.
      rows: of the grid of tiles.
      wanted: whether the networks are to see a tile; None: they see all.
    """

    number: int
    task: ImageTask
    settings: Mapping[str, Any]
    rows: Sequence[int]
    wanted: Wanted | None


def _do(block: _Block, networks: str) -> tuple[list[Row], list[str]] | str:
    """What `_rows_of` gives, or why it cannot; runs in a worker."""
    try:
        return _rows_of(block, networks)
    except (ValueError, OSError, ImportError) as error:
        # As text: Dask sends an error with its causes, and those of decoders cannot be read there.
        return str(error)


def _rows_of(block: _Block, networks: str) -> tuple[list[Row], list[str]]:
    """The nuclei of a block, and descriptions of what is corrupt."""
    worker = get_worker()
    options = block.task.options
    plugin = cast(_Networks, worker.plugins[networks])
    with block.task.open() as opened, plugin.runner() as runner:
        where = f"{block.task.path} on {worker.address}"
        check_same(block.settings, json.loads(json.dumps(opened.settings)), where)
        view, tiling, patch = opened.view, opened.tiling, options.tiling.patch
        found = list(predict_rows(view, tiling, block.rows, runner, patch, 0, block.wanted))
        return found, opened.image.damage if isinstance(opened.image, FilledImage) else []


def predict_on_cluster(
    tasks: Sequence[ImageTask], runner: BatchRunner, find_tissue: FindTissue
) -> dict[int, Outcome]:
    """Does the rows that are missing of images, on the workers of a cluster.

    Args:
      tasks: the images. The workers find them at the same paths.
      runner: has the networks.
      find_tissue: gives what the networks are to see of an image; None: all.

    Returns:
      The outcomes of the images that failed, by their numbers. The rows of the others are on disk.

    Raises:
      OSError: no scheduler answers, or a row cannot be written.
    """
    address = tasks[0].options.processes.cluster
    try:
        client = Client(address, timeout=_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OSError(f"--cluster={address}: no Dask scheduler answers there ({error})") from error
    name = f"jaxnuc-{uuid.uuid4()}"
    with client:
        client.register_plugin(_Networks(runner.predictor, runner.size), name=name)
        logger.info("workers at %s: %d", address, len(client.nthreads()))
        try:
            return _Run(tasks, client, name, find_tissue, runner.predictor).finish()
        finally:
            client.unregister_worker_plugin(name)


class _Run:
    def __init__(
        self,
        tasks: Sequence[ImageTask],
        client: Client,
        networks: str,
        find_tissue: FindTissue,
        predictor: Predictor,
    ) -> None:
        self._tasks, self._client, self._networks = tasks, client, networks
        self._find_tissue, self._predictor = find_tissue, predictor
        self._failed: dict[int, Outcome] = {}
        self._parts: dict[int, PartialResults] = {}  # of the images under way

    def finish(self) -> dict[int, Outcome]:
        blocks, ready = self._blocks(), as_completed(loop=self._client.loop)
        under_way: dict[Any, _Block] = {}

        def submit() -> None:
            # As many that no worker waits, and few beside: what is found must not wait for long.
            while len(under_way) < 2 * max(sum(self._client.nthreads().values()), 1):
                if (block := next(blocks, None)) is None:
                    return
                future = self._client.submit(_do, block, self._networks, pure=False)
                under_way[future] = block
                ready.add(future)

        submit()
        progress = tqdm(desc="rows", unit="row", disable=not self._tasks[0].options.progress)
        with progress:
            for future in ready:
                block = under_way.pop(future)
                if block.number not in self._failed:
                    self._keep(block, future)
                future.release()
                progress.update(len(block.rows))
                submit()
        return self._failed

    def _blocks(self) -> Iterator[_Block]:
        """The blocks of all images that can be opened and are not done."""
        for number, task in enumerate(self._tasks):
            blocks: list[_Block] = []
            outcome = attempt(task, partial(self._prepare, number, blocks))
            if outcome.reason:
                self._failed[number] = outcome
            yield from blocks

    def _prepare(self, number: int, blocks: list[_Block], task: ImageTask) -> None:
        task = sized(task, self._predictor)
        sent = replace(task, path=task.path.absolute())
        with task.open() as opened:
            if opened.finished():
                return
            parts = self._parts[number] = opened.start()
            parts.begin()
            rows = opened.missing(parts)
            wanted = self._find_tissue(opened) if rows else None
            count = max(_TILES // opened.tiling.grid[1], 1)
            blocks.extend(
                _Block(number, sent, opened.settings, rows[start : start + count], wanted)
                for start in range(0, len(rows), count)
            )

    def _keep(self, block: _Block, future: Any) -> None:
        """Writes the rows of a block, or notes why the image failed."""
        try:
            found = future.result()
        except KilledWorker as error:
            found = (
                f"{block.task.path}: rows of tiles {block.rows[0]} to {block.rows[-1]} ended one "
                f"worker after the other, {error.last_worker.address} at last; look at their logs"
            )
        if isinstance(found, str):
            self._failed[block.number] = Outcome(self._tasks[block.number].path, reason=found)
            return
        rows, damage = found
        parts = self._parts[block.number]
        parts.save_damage(block.rows[0], damage)
        for row in rows:
            parts.save(row)
