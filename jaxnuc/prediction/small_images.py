"""Many small images: those of one shape share batches, and files are written by other processes."""

from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.io import FilledImage
from jaxnuc.io.workers import ordered_map, threaded_map
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.prediction.image_task import ImageTask, Outcome, attempt, complete_tile, warn
from jaxnuc.prediction.patches import Patch, assemble
from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.sizing import sized
from jaxnuc.prediction.stream import READERS, PatchReader
from jaxnuc.prediction.symmetries import Maps
from jaxnuc.prediction.tiles import Tile


def predict_small_images(
    tasks: Sequence[ImageTask], runner: BatchRunner
) -> Generator[tuple[int, Outcome], None, list[int]]:
    """Does the images of one tile.

    Threads open images and read their patches, the devices run the network on those of one shape
    together, and other processes decode the maps and write the files.

    Yields:
      The outcome of an image with the number of its task, in the order in which they are done.

    Returns:
      The numbers of the other tasks.
    """
    others: list[int] = []
    early: list[tuple[int, Outcome]] = []  # which the network need not see
    numbers: list[int] = []  # of the images under way, in their order

    sized_tasks: dict[int, ImageTask] = {}  # of the images that the network is to see

    def patches() -> Iterator[tuple[tuple[int, Patch], np.ndarray]]:
        prepared = threaded_map(
            lambda task: _prepare(task, runner.predictor), tasks, READERS, runner.size + READERS
        )
        for number, each in enumerate(prepared):
            if each.outcome is not None:
                early.append((number, each.outcome))
            elif not each.patches:
                others.append(number)
            else:
                sized_tasks[number] = each.task
            for patch, pixels in each.patches:
                yield (number, patch), pixels

    def tiles() -> Iterator[tuple[ImageTask, Tile, Maps, Sequence[Maps]]]:
        of_image: dict[int, list[tuple[Patch, Maps, tuple[Maps, ...]]]] = defaultdict(list)
        for (number, patch), maps, members in runner(patches()):
            of_image[number].append((patch, maps, members))
            if patch.last:
                grid = runner.predictor.decode.grid
                ((tile, whole, each_member),) = assemble(of_image.pop(number), grid)
                numbers.append(number)
                yield sized_tasks.pop(number), tile, whole, each_member

    workers = tasks[0].options.processes.decoders
    for outcome in ordered_map(complete_tile, tiles(), workers, _size):
        if outcome.summary is not None:
            warn(outcome.summary)
        yield numbers.pop(0), outcome
        while early:
            yield early.pop()
    yield from early
    return others


@dataclass(frozen=True)
class _Prepared:
    """A task with the patches of its image, or its outcome, or neither: it is done by itself.

    That is an image of several tiles, or one whose only tile has been decoded already.
    """

    task: ImageTask
    outcome: Outcome | None
    patches: Sequence[tuple[Patch, np.ndarray]]


def _prepare(task: ImageTask, predictor: Predictor) -> _Prepared:
    """Reads the patches of an image, where it has one tile that is to be done."""
    patches: list[tuple[Patch, np.ndarray]] = []
    known = [task]

    def read(task: ImageTask) -> dict[str, Any] | None:
        known[0] = task = sized(task, predictor)
        with task.open() as opened:
            if summary := opened.finished():
                return summary
            if opened.tiling.grid == (1, 1) and opened.missing(parts := opened.start()):
                reader = PatchReader(
                    opened.view, opened.tiling, predictor, task.options.tiling.patch
                )
                places = reader.patches(opened.tiling.at(0, 0))
                patches.extend((place, reader.read(place)) for place in places)
                if isinstance(opened.image, FilledImage):
                    parts.save_damage(0, opened.image.damage)
            return None

    outcome = attempt(task, read)
    if outcome.summary is not None or outcome.reason:
        return _Prepared(known[0], outcome, ())
    return _Prepared(known[0], None, patches)


def _size(task: ImageTask, tile: Tile, maps: Maps, members: Sequence[Maps]) -> int:
    """Bytes of the maps."""
    return sum(values.nbytes for each in (maps, *members) for values in each.values())
