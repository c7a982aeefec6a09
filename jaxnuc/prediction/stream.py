"""The nuclei of an image of any size, row of tiles by row of tiles.

Threads read patches, the devices run the network on one batch while the next is read, and processes
decode the tiles; each waits for the others with no more in memory than a few tiles.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from jaxnuc.io import LargeImage
from jaxnuc.io.large_image import WHOLE_PIXELS, squares
from jaxnuc.io.workers import ordered_map
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.prediction.decoding import decode_tile
from jaxnuc.prediction.patches import Patch, assemble, fitting, patches, read
from jaxnuc.prediction.stitching import gather
from jaxnuc.prediction.tiles import Tile, Tiling

READERS = 2  # threads


class Row(NamedTuple):
    """A row of the grid of tiles, and the nuclei of its tiles, not yet stitched: see `gather`."""

    row: int
    nuclei: NucleiTable


def predict_rows(
    image: LargeImage,
    tiling: Tiling,
    rows: Collection[int],
    runner: BatchRunner,
    patch: int,
    workers: int = 0,
    wanted: Callable[[Tile], bool] | None = None,
) -> Iterator[Row]:
    """Predicts the nuclei in rows of tiles.

    Args:
      image: at the model's resolution.
      tiling: of the image; its overlap is also that of the patches.
      rows: of the grid, in the order in which they come out.
      runner: the networks.
      patch: longest side of what the network sees at once; less for a small image, see `fitting`.
      workers: processes that decode; 0: this one, which also does an image of one tile.
      wanted: whether the network is to see a tile; None: it sees all.

    Yields:
      Each of the rows, also those without nuclei.

    Raises:
      CorruptRegion: a patch cannot be read.
    """
    predictor, decoder = runner.predictor, runner.predictor.decode
    fixed = predictor.normalize.name == "none"  # nothing depends on the image
    pixels = np.zeros((1, 1, 3), np.uint8) if fixed else reference(image)
    normalize = predictor.normalize.fitted(pixels)
    sides = fitting(patch, tiling.overlap, image.shape, predictor.average.turns)

    def pixels_of(one: Patch) -> np.ndarray:
        return normalize(read(image, one, sides, predictor.margin))

    places = (
        one
        for row in rows
        for tile in filter(wanted, tiling.row(row))
        for one in patches(tile, tiling.shape, sides, tiling.overlap)
    )
    maps = runner(_read_ahead(pixels_of, places, runner.size + READERS))
    tasks = ((decoder, *of_tile) for of_tile in assemble(maps, decoder.grid))
    if tiling.grid == (1, 1):  # done before another process would have started
        workers = 0
    unfinished = deque(rows)
    held: list[tuple[Tile, NucleiTable]] = []
    for tile, nuclei in ordered_map(decode_tile, tasks, workers):
        while unfinished[0] != tile.row:
            yield Row(unfinished.popleft(), gather(held))
            held = []
        held.append((tile, nuclei))
    while unfinished:
        yield Row(unfinished.popleft(), gather(held))
        held = []


def _read_ahead(
    pixels_of: Callable[[Patch], np.ndarray], places: Iterable[Patch], count: int
) -> Iterator[tuple[Patch, np.ndarray]]:
    """Patches with their pixels, `count` of which threads read ahead."""
    ahead: deque[tuple[Patch, Future[np.ndarray]]] = deque()
    pool = ThreadPoolExecutor(READERS)
    try:
        for place in places:
            ahead.append((place, pool.submit(pixels_of, place)))
            if len(ahead) > count:
                first, pixels = ahead.popleft()
                yield first, pixels.result()
        for first, pixels in ahead:
            yield first, pixels.result()
    finally:
        pool.shutdown(cancel_futures=True)


def reference(image: LargeImage) -> np.ndarray:
    """Pixels that stand for an image in its normalization, (h, w, 3) uint8.

    They are the image itself, or of a large one squares at even distances: in a thumbnail, nuclei
    would be paler than the network has seen them in training.
    """
    height, width = image.shape
    if height * width <= WHOLE_PIXELS:
        return image.read(0, 0, height, width)
    return np.concatenate([image.read(*box) for box in squares(image.shape)])
