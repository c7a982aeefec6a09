"""The nuclei of an image of any size, row of tiles by row of tiles.

Threads read tiles, the devices run the network on one batch while the next is read, and processes
decode; each waits for the others with no more in memory than a few tiles.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from jaxnuc.images import CorruptRegion, LargeImage, at_mpp
from jaxnuc.inference.batches import Batches
from jaxnuc.inference.decoding import Decoder
from jaxnuc.inference.stitching import gather
from jaxnuc.inference.tiles import Tile, Tiling
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.workers import ordered_map

READERS = 2
REFERENCE_PIXELS = 2**24  # images up to this are normalised by all of their pixels
THUMBNAIL = 1024  # pixels, the longer side
BLOCK = 64  # pixels of a thumbnail that are read at once
GLASS = 255


@dataclass(frozen=True)
class Row:
    """What is found in one row of tiles.

    Attributes:
      row: of the grid.
      candidates: nuclei of its tiles, not yet stitched: see `stitching.gather`.
      corrupt: what was said of each tile that could not be read.
    """

    row: int
    candidates: NucleiTable
    corrupt: tuple[str, ...]


def found_rows(
    image: LargeImage,
    tiling: Tiling,
    rows: Collection[int],
    batches: Batches,
    *,
    workers: int = 0,
    wanted: Callable[[Tile], bool] | None = None,
    skip_corrupt: bool = False,
) -> Iterator[Row]:
    """Finds the nuclei in rows of tiles.

    Args:
      image: at the model's resolution.
      tiling: of the image.
      rows: of the grid, in the order in which they come out.
      batches: the network.
      workers: processes that decode; 0: this one.
      wanted: whether the network is to see a tile; None: it sees all.
      skip_corrupt: leave out tiles that cannot be read, and say so in the row.

    Yields:
      Each of the rows, also where nothing is found.

    Raises:
      CorruptRegion: a tile cannot be read, and `skip_corrupt` is false.
    """
    predictor = batches.predictor
    # Of the whole image only if something is to be learnt from it.
    whole = (
        np.zeros((1, 1, 3), np.uint8) if predictor.normalize.name == "none" else reference(image)
    )
    normalize = predictor.normalize.fitted(whole)
    corrupt: dict[int, list[str]] = {row: [] for row in rows}

    def read(tile: Tile) -> np.ndarray:
        return normalize(with_surroundings(image, tile, predictor.margin))

    def tiles() -> Iterator[tuple[Tile, np.ndarray]]:
        ahead: deque[tuple[Tile, Future[np.ndarray]]] = deque()

        def following() -> Iterator[tuple[Tile, np.ndarray]]:
            tile, pixels = ahead.popleft()
            try:
                yield tile, pixels.result()
            except CorruptRegion as error:
                if not skip_corrupt:
                    raise
                corrupt[tile.row].append(str(error))

        pool = ThreadPoolExecutor(READERS)
        try:
            for row in rows:
                for tile in filter(wanted, tiling.row(row)):
                    ahead.append((tile, pool.submit(read, tile)))
                    if len(ahead) > batches.size + READERS:
                        yield from following()
            while ahead:
                yield from following()
        finally:
            pool.shutdown(cancel_futures=True)

    decoder = predictor.decode
    tasks = ((decoder, tile, maps) for tile, maps in batches(tiles()))
    unfinished = deque(rows)
    held: list[tuple[Tile, NucleiTable]] = []

    def finished() -> Row:
        row = unfinished.popleft()
        return Row(row, gather(held), tuple(corrupt[row]))

    for tile, nuclei in ordered_map(_decode, tasks, workers):
        while unfinished[0] != tile.row:
            yield finished()
            held = []
        held.append((tile, nuclei))
    while unfinished:
        yield finished()
        held = []


def _decode(
    decoder: Decoder, tile: Tile, maps: Mapping[str, np.ndarray]
) -> tuple[Tile, NucleiTable]:
    return tile, decoder.table(maps, tile)


def with_surroundings(image: LargeImage, tile: Tile, margin: int) -> np.ndarray:
    """The pixels of a tile and around it, mirrored where the image ends.

    Args:
      image: of the tile.
      tile: whose pixels are read.
      margin: by how many pixels the result is larger than the tile, half of it at each end.

    Returns:
      (tile + margin, tile + margin, 3) uint8.
    """
    height, width = image.shape
    before, after = margin // 2, margin - margin // 2
    top, left = max(tile.box[0] - before, 0), max(tile.box[1] - before, 0)
    bottom, right = min(tile.box[2] + after, height), min(tile.box[3] + after, width)
    region = image.read(top, left, bottom - top, right - left)
    (above, below), (left_of, right_of) = tile.padding
    missing = (
        (above + before - (tile.box[0] - top), below + after - (bottom - tile.box[2])),
        (left_of + before - (tile.box[1] - left), right_of + after - (right - tile.box[3])),
        (0, 0),
    )
    return np.pad(region, missing, mode="symmetric")


def reference(image: LargeImage) -> np.ndarray:
    """What an image is normalised by, (h, w, 3) uint8: itself, or its thumbnail if it is large."""
    height, width = image.shape
    if height * width <= REFERENCE_PIXELS:
        try:
            return image.read(0, 0, height, width)
        except CorruptRegion:
            pass  # its parts that can be read are in the thumbnail
    return thumbnail(image)[0]


def thumbnail(image: LargeImage) -> tuple[np.ndarray, float]:
    """An image made small, what cannot be read in white.

    Returns:
      (h, w, 3) uint8, the longer side at most `THUMBNAIL` pixels, and how many pixels of the image
      one of its pixels is long.
    """
    scale = max(1.0, max(image.shape) / THUMBNAIL)
    small = at_mpp(image, scale, given=1.0)
    height, width = small.shape
    picture = np.full((height, width, 3), GLASS, np.uint8)
    for row in range(0, height, BLOCK):
        for col in range(0, width, BLOCK):
            part = np.s_[row : row + BLOCK, col : col + BLOCK]
            try:
                picture[part] = small.read(row, col, *picture[part].shape[:2])
            except CorruptRegion:
                continue
    return picture, small.scale[0]
