"""The nuclei of an image of any size, row of tiles by row of tiles.

Threads read patches, the devices run the network on one batch while the next is read, and processes
decode the tiles; each waits for the others with no more in memory than a few tiles.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator

import numpy as np

from jaxnuc.io import LargeImage
from jaxnuc.io.workers import ordered_map, threaded_map
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.prediction.decoding import decode_tile
from jaxnuc.prediction.patches import Patch, assemble, fitting, patches, read, reference
from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.stitching import Row, gather
from jaxnuc.prediction.tiles import Tile, Tiling

READERS = 2  # threads


class PatchReader:
    """Reads the patches of an image as the networks see them; threads may share it."""

    def __init__(self, image: LargeImage, tiling: Tiling, predictor: Predictor, patch: int) -> None:
        """Reads what the normalization needs of the image.

        Args:
          image: at the model's resolution.
          tiling: of the image; its overlap is also that of the patches.
          predictor: the networks.
          patch: longest side of a patch; less for a small image, see `fitting`.

        Raises:
          CorruptRegion: nothing of the image can be read.
        """
        fixed = predictor.normalize.name == "none"  # nothing depends on the image
        pixels = np.zeros((1, 1, 3), np.uint8) if fixed else reference(image)
        self._normalize = predictor.normalize.fitted(pixels)
        self._image, self._tiling, self._margin = image, tiling, predictor.margin
        self._sides = fitting(patch, tiling.overlap, image.shape, predictor.average.turns)

    def patches(self, tile: Tile) -> list[Patch]:
        """The patches of a tile."""
        return patches(tile, self._tiling.shape, self._sides, self._tiling.overlap)

    def read(self, patch: Patch) -> np.ndarray:
        """The pixels of a patch, (height + margin, width + margin, 3) uint8, normalized.

        Raises:
          CorruptRegion: they cannot be read.
        """
        return self._normalize(read(self._image, patch, self._sides, self._margin))


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
    reader, decoder = PatchReader(image, tiling, runner.predictor, patch), runner.predictor.decode
    places = (
        one
        for row in rows
        for tile in filter(wanted, tiling.row(row))
        for one in reader.patches(tile)
    )
    ahead = runner.size + READERS
    pixels = threaded_map(lambda one: (one, reader.read(one)), places, READERS, ahead)
    maps = runner(pixels)
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
