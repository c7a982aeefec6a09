"""Masks on disk, from which label images are painted tile by tile, and at half the size again."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask

TILE = 512
_AT_ONCE = 4096  # masks that are halved before they are written


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """(H, W) of the levels of a pyramid: half of the one before, down to at most `TILE` a side.

    >>> level_shapes((3, 2000))
    [(3, 2000), (2, 1000), (1, 500)]
    """
    shapes = [shape]
    while max(shapes[-1]) > TILE:
        shapes.append(_half(shapes[-1]))
    return shapes


@contextmanager
def stored(folder: Path, tables: Iterable[NucleiTable], scene: Scene) -> Iterator["StoredMasks"]:
    """Stores the masks of all tables in a temporary file without a name."""
    with tempfile.TemporaryFile(dir=folder) as file:
        numbered = (zip(count(first), table.masks) for first, table in scene.numbered(tables))
        yield _appended(file, scene.shape, numbered)


class StoredMasks(NamedTuple):
    """The packed bits of masks in a file, to be had by place."""

    file: IO[bytes]
    shape: tuple[int, int]  # (H, W) of the image
    ids: np.ndarray  # (N,) uint32, their numbers, ascending
    boxes: np.ndarray  # (N, 4) int64, half-open: row_min, col_min, row_max, col_max
    offsets: np.ndarray  # (N + 1,) int64, start of each mask in the file, and end of the last

    def levels(self) -> Iterator["StoredMasks"]:
        """These masks, then those of every further level of `level_shapes`.

        Pixel (r, c) of level k is pixel (2^k r, 2^k c) of the image.
        """
        level = self
        yield level
        while max(level.shape) > TILE:
            level = level._halved()
            yield level

    def tiles(self) -> Iterator[tuple[int, int, np.ndarray | None]]:
        """Tiles of TILE x TILE pixels, row by row: (row, col, labels), None where all is 0."""
        for row in range(0, self.shape[0], TILE):
            band = np.flatnonzero((self.boxes[:, 0] < row + TILE) & (self.boxes[:, 2] > row))
            # Only masks of the band are compared with each of its tiles, not all of the slide.
            for col in range(0, self.shape[1], TILE):
                left, right = self.boxes[band, 1], self.boxes[band, 3]
                inside = band[(left < col + TILE) & (right > col)]
                tile = self._painted(inside, row, col, TILE, TILE) if inside.size else None
                yield row, col, tile

    def painted(self) -> np.ndarray:
        """(H, W) uint32, the whole label image."""
        return self._painted(np.arange(len(self.ids)), 0, 0, *self.shape)

    def _painted(self, rows: np.ndarray, row: int, col: int, height: int, width: int) -> np.ndarray:
        labels = np.zeros((height, width), np.uint32)
        for k in rows.tolist():
            top, left, mask = self._mask(k)
            first, last = max(top, row), min(top + mask.shape[0], row + height)
            start, stop = max(left, col), min(left + mask.shape[1], col + width)
            part = mask[first - top : last - top, start - left : stop - left]
            labels[first - row : last - row, start - col : stop - col][part] = self.ids[k]
        return labels

    def _mask(self, k: int) -> Mask:
        top, left, bottom, right = self.boxes[k].tolist()
        start, stop = self.offsets[k : k + 2].tolist()
        self.file.seek(start)
        bits = np.frombuffer(self.file.read(stop - start), np.uint8)
        size = bottom - top, right - left
        return Mask(
            top, left, np.unpackbits(bits, count=size[0] * size[1]).view(bool).reshape(size)
        )

    def _halved(self) -> "StoredMasks":
        """The image of every second row and column; masks that lie between them are dropped."""
        batches = (
            self._halves(range(start, min(start + _AT_ONCE, len(self.ids))))
            for start in range(0, len(self.ids), _AT_ONCE)
        )
        return _appended(self.file, _half(self.shape), batches)

    def _halves(self, rows: Iterable[int]) -> Iterator[tuple[int, Mask]]:
        for k in rows:
            top, left, mask = self._mask(k)
            half = mask[top % 2 :: 2, left % 2 :: 2]
            if half.any():
                yield int(self.ids[k]), Mask(-(-top // 2), -(-left // 2), half)


def _half(shape: tuple[int, int]) -> tuple[int, int]:
    return -(-shape[0] // 2), -(-shape[1] // 2)


def _appended(
    file: IO[bytes], shape: tuple[int, int], batches: Iterable[Iterable[tuple[int, Mask]]]
) -> StoredMasks:
    """Writes numbered masks at the end of a file."""
    ids, boxes = [np.zeros(0, np.uint32)], [np.zeros((0, 4), np.int64)]
    sizes = [np.array([file.seek(0, os.SEEK_END)])]
    for batch in batches:
        numbers, places, packed = [], [], []
        for number, (row, col, mask) in batch:
            numbers.append(number)
            places.append((row, col, row + mask.shape[0], col + mask.shape[1]))
            packed.append(np.packbits(mask).tobytes())
        file.seek(0, os.SEEK_END)  # the batch may have been read from elsewhere in the file
        file.write(b"".join(packed))
        ids.append(np.array(numbers, np.uint32))
        boxes.append(np.array(places, np.int64).reshape(-1, 4))
        sizes.append(np.array([len(bits) for bits in packed], np.int64))
    offsets = np.cumsum(np.concatenate(sizes))
    return StoredMasks(file, shape, np.concatenate(ids), np.concatenate(boxes), offsets)
