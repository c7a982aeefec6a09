"""The nuclei of an image of any size, row of tiles by row of tiles.

Threads read patches, the devices run the network on one batch while the next is read, and processes
decode the tiles; each waits for the others with no more in memory than a few tiles.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from jaxnuc.io import LargeImage
from jaxnuc.io.workers import ordered_map
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.prediction.batches import Batches
from jaxnuc.prediction.decoding import decode_tile
from jaxnuc.prediction.patches import Patch, assemble, fitting, patches, read
from jaxnuc.prediction.stitching import gather
from jaxnuc.prediction.tiles import Tile, Tiling

READERS = 2
# Images up to this are normalised by all of their pixels, larger ones by squares of them.
REFERENCE_PIXELS = 2**24
_SQUARES, _SIDE = 16, 128  # at most, along each axis; in pixels


class Row(NamedTuple):
    """What is found in one row of tiles.

    Attributes:
      row: of the grid.
      candidates: nuclei of its tiles, not yet stitched: see `stitching.gather`.
    """

    row: int
    candidates: NucleiTable


def found_rows(
    image: LargeImage,
    tiling: Tiling,
    rows: Collection[int],
    batches: Batches,
    *,
    patch: int,
    workers: int = 0,
    wanted: Callable[[Tile], bool] | None = None,
) -> Iterator[Row]:
    """Finds the nuclei in rows of tiles.

    Args:
      image: at the model's resolution.
      tiling: of the image; its overlap is also that of the patches.
      rows: of the grid, in the order in which they come out.
      batches: the network.
      patch: side of what the network sees at once; less for a small image, see `fitting`.
      workers: processes that decode; 0: this one, which also does an image of one tile.
      wanted: whether the network is to see a tile; None: it sees all.

    Yields:
      Each of the rows, also where nothing is found.

    Raises:
      CorruptRegion: a patch cannot be read.
    """
    predictor = batches.predictor
    # Of the whole image only if something is to be learnt from it.
    whole = (
        np.zeros((1, 1, 3), np.uint8) if predictor.normalize.name == "none" else reference(image)
    )
    normalize = predictor.normalize.fitted(whole)
    patch = fitting(patch, tiling.overlap, image.shape)

    def pixels_of(one: Patch) -> np.ndarray:
        return normalize(read(image, one, patch, predictor.margin))

    def pixels() -> Iterator[tuple[Patch, np.ndarray]]:
        ahead: deque[tuple[Patch, Future[np.ndarray]]] = deque()
        pool = ThreadPoolExecutor(READERS)
        try:
            for row in rows:
                for tile in filter(wanted, tiling.row(row)):
                    for each in patches(tile, tiling.shape, patch, tiling.overlap):
                        ahead.append((each, pool.submit(pixels_of, each)))
                        if len(ahead) > batches.size + READERS:
                            first, read_ahead = ahead.popleft()
                            yield first, read_ahead.result()
            for first, read_ahead in ahead:
                yield first, read_ahead.result()
        finally:
            pool.shutdown(cancel_futures=True)

    decoder = predictor.decode
    assembled = assemble(batches(pixels()), decoder.grid)
    tasks = ((decoder, tile, maps, members) for tile, maps, members in assembled)
    unfinished = deque(rows)
    held: list[tuple[Tile, NucleiTable]] = []
    if tiling.grid == (1, 1):  # before another process has started, it is done
        workers = 0
    for tile, nuclei in ordered_map(decode_tile, tasks, workers):
        while unfinished[0] != tile.row:
            yield Row(unfinished.popleft(), gather(held))
            held = []
        held.append((tile, nuclei))
    while unfinished:
        yield Row(unfinished.popleft(), gather(held))
        held = []


def reference(image: LargeImage) -> np.ndarray:
    """What an image is normalised by, (h, w, 3) uint8: itself, or if it is large, parts of it.

    They are squares at even distances. In an image made small, nuclei would be paler than the
    network knows them.
    """
    height, width = image.shape
    if height * width <= REFERENCE_PIXELS:
        return image.read(0, 0, height, width)
    (rows, tall), (cols, wide) = (_spread(size) for size in image.shape)
    parts = [[image.read(row, col, tall, wide) for col in cols] for row in rows]
    return np.concatenate([np.concatenate(line, axis=1) for line in parts])


def _spread(size: int) -> tuple[list[int], int]:
    """Where squares begin along an axis, none over another, and their side."""
    side = min(size, _SIDE)
    return np.linspace(0, size - side, min(size // side, _SQUARES)).astype(int).tolist(), side
