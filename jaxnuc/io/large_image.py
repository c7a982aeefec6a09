"""The base of all images: levels, of which regions are read."""

import contextlib
import math
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from jaxnuc.io.rgb import IntensityRange, intensity_range_of, to_rgb

# Up to this size, all pixels of an image stand for it; of a larger one, squares of them.
WHOLE_PIXELS = 2**24
_SQUARES, _SIDE = 16, 128  # at most, along each axis; in pixels

_RGB = (0, 1, 2)

# Decoded blocks that are kept, since neighboring regions share them.
_CACHE_BYTES = 64 * 2**20


class Box(NamedTuple):
    """A region of a level, in its pixels: the upper left one, and how many rows and columns."""

    row: int
    col: int
    height: int
    width: int


class Level(NamedTuple):
    """One resolution of an image.

    Attributes:
      shape: (H, W) in its pixels.
      downsample: pixels of level 0 per pixel of this one, along either axis.
    """

    shape: tuple[int, int]
    downsample: float


@dataclass(frozen=True)
class Contents:
    """What there is in the file of an image.

    Attributes:
      images: what each of the images in it is called, in their order.
      sides: lengths of the axes of this image as it is stored, such as `{"C": 2, "Y": 9, "X": 9}`.
      channels: names of its channels, as far as there are such.
      in_color: whether the channels are red, green and blue.
      pixel_size_from: where its microns per pixel are stated.
      bounds: in a slide, what of it was scanned.
    """

    images: Sequence[str] = ("",)
    sides: Mapping[str, int] = field(default_factory=dict)
    channels: Sequence[str] = ()
    pixel_size_from: str = ""
    bounds: Box | None = None
    in_color: bool = False


class CorruptRegion(ValueError):
    """A part of an image cannot be decoded; the others may be whole.

    Attributes:
      path: the file.
      level: of the image.
      box: the damaged part, in pixels of that level; it may reach out of the region read.
      reason: the message of the decoder.
    """

    def __init__(self, path: str, level: int, box: Box, reason: str) -> None:
        super().__init__(path, level, box, reason)  # all of it, to come from another process
        self.path, self.level, self.box, self.reason = path, level, box, reason

    def __str__(self) -> str:
        """Names the file, the level and the box."""
        return (
            f"{self.path}: level {self.level} cannot be decoded in {tuple(self.box)} (row, col, "
            f"height, width): {self.reason:.200}; fetch the file again, or leave this part out "
            "(--skip-corrupt)"
        )


class LargeImage(ABC):
    """An image of which regions are read; safe to read from several threads, to be closed.

    Attributes:
      path: where it comes from, for errors.
      dtype: of the numbers in the file; what is read of it is uint8.
      levels: the image in full, and the smaller copies in its file, ever coarser.
      pixel_size: height and width of a pixel of level 0 in micrometers, if the file states them.
      contents: what there is in the file, for those who look at it.
      colors: of an image in color, which of red, green and blue (0, 1, 2) are seen: one in gray, or
        three in this order.
    """

    contents = Contents()
    colors: tuple[int, ...] = _RGB

    def __init__(
        self,
        path: str,
        shapes: Sequence[tuple[int, int]],
        pixel_size: tuple[float, float] | None = None,
    ) -> None:
        """Keeps the shapes of copies of the whole image, level 0 first; slides have labels, too."""
        downsamples = [downsample(shapes[0], shape) for shape in shapes]
        self.path, self.pixel_size = path, pixel_size
        self.dtype = np.dtype(np.uint8)
        self._stored = [n for n, factor in enumerate(downsamples) if factor is not None]
        self.levels = tuple(
            Level(shape, factor)
            for shape, factor in zip(shapes, downsamples, strict=True)
            if factor is not None
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of level 0."""
        return self.levels[0].shape

    @property
    def mpp(self) -> float | None:
        """Microns per pixel of level 0, None where the file does not say.

        Raises:
          ValueError: by the file, pixels are not square: the sides differ by more than 1 %.
        """
        if self.pixel_size is None:
            return None
        height, width = self.pixel_size
        if abs(height - width) > 0.01 * min(height, width):
            raise ValueError(
                f"{self.path}: pixels of {width} um along x and {height} um along y, but square "
                "ones are expected; resample the image, or, if the file is wrong, say what they "
                "are (--mpp; for a data set, mpp in its section)"
            )
        return (height + width) / 2

    def read(self, row: int, col: int, height: int, width: int, level: int = 0) -> np.ndarray:
        """Reads a region, a `Box` in pixels of a level, as (height, width, 3) uint8.

        Raises:
          ValueError: there is no such level, or the region does not lie inside it.
          CorruptRegion: a part of it cannot be decoded.
        """
        if not 0 <= level < len(self.levels):
            raise ValueError(f"{self.path}: level {level}, but it has {len(self.levels)} from 0")
        box, (rows, cols) = Box(row, col, height, width), self.levels[level].shape
        inside = 0 <= row <= rows - height and 0 <= col <= cols - width
        if height < 1 or width < 1 or not inside:
            raise ValueError(
                f"{self.path}: the region {tuple(box)} (row, col, height, width) is empty or not "
                f"inside of level {level}, {(0, 0, rows, cols)}"
            )
        array = self._readable(level, box)
        if _has_alpha(array) and not self._shows:
            array = array[..., :-1]
        pixels = to_rgb(array, self.path, self.intensity_range, part=True)
        return np.require(pixels, requirements="W")  # no view of what the image keeps

    @abstractmethod
    def _read(self, level: int, box: Box) -> np.ndarray:
        """A region that lies inside, as `to_rgb` takes it; raises what its decoder raises."""

    def _readable(self, level: int, box: Box) -> np.ndarray:
        with _damage(self.path, level, box):
            pixels = self._read(level, box)
        if self.colors == _RGB:
            return pixels
        return pixels[..., [*self.colors, *range(len(_RGB), pixels.shape[-1])]]  # alpha is kept

    @cached_property
    def intensity_range(self) -> IntensityRange | None:
        """The values of the file that become 0 and 255 (`intensity_range_of`); None: it has 8 bits.

        Raises:
          CorruptRegion: nothing of the image can be decoded.
        """
        if self.dtype in (np.uint8, np.bool):
            return None
        return intensity_range_of(self._all_over(), self.path)

    @cached_property
    def _shows(self) -> bool:
        """Of an image with alpha, whether anything is opaque; else its alpha has no meaning."""
        return bool(self._all_over()[..., -1].any())

    def _all_over(self) -> np.ndarray:
        """All pixels, or of a large image some from all over it, as `to_rgb` takes them."""
        if math.prod(self.shape) <= WHOLE_PIXELS:
            with contextlib.suppress(CorruptRegion):
                return self._readable(0, Box(0, 0, *self.shape))
        found, error = [], None
        for box in squares(self.shape):
            try:
                found.append(self._readable(0, box))
            except CorruptRegion as damaged:
                error = damaged
        if not found and error is not None:
            raise error
        pixels = [part.reshape(-1, 1, *part.shape[2:]) for part in found]
        return np.concatenate(pixels)

    def close(self) -> None:  # noqa: B027  (many have nothing to close)
        """Closes the file; nothing is read afterwards."""

    def __enter__(self) -> Self:
        """The image itself, which is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file."""
        self.close()


class BlockImage(LargeImage):
    """An image that is read block by block, of which the last ones are kept."""

    def __init__(
        self,
        path: str,
        shapes: Sequence[tuple[int, int]],
        blocks: Sequence[tuple[int, int]],
        pixel_size: tuple[float, float] | None,
    ) -> None:
        """Takes the shape of each level, and that of its blocks."""
        super().__init__(path, shapes, pixel_size)
        self._blocks = [blocks[stored] for stored in self._stored]
        self._cache: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()
        self._cached_bytes = 0
        self._cache_lock = threading.Lock()

    @abstractmethod
    def _decode(self, level: int, row: int, col: int, box: Box) -> np.ndarray:
        """The block in this row and column of blocks, (box.height, box.width, channels).

        Raises what its decoder raises.
        """

    def _read(self, level: int, box: Box) -> np.ndarray:
        height, width = self._blocks[level]
        region = np.empty(0)
        for i in range(box.row // height, -(-(box.row + box.height) // height)):
            for j in range(box.col // width, -(-(box.col + box.width) // width)):
                block, top, left = self._block(level, i, j), i * height, j * width
                first, last = max(top, box.row), min(top + height, box.row + box.height)
                start, stop = max(left, box.col), min(left + width, box.col + box.width)
                if not region.size:
                    region = np.empty((box.height, box.width, block.shape[2]), block.dtype)
                region[first - box.row : last - box.row, start - box.col : stop - box.col] = block[
                    first - top : last - top, start - left : stop - left
                ]
        return region

    def _block(self, level: int, row: int, col: int) -> np.ndarray:
        key = level, row, col
        with self._cache_lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        (height, width), (rows, cols) = self._blocks[level], self.levels[level].shape
        top, left = row * height, col * width
        box = Box(top, left, min(height, rows - top), min(width, cols - left))
        with _damage(self.path, level, box):
            block = self._decode(level, row, col, box)
        with self._cache_lock:
            if key not in self._cache:  # another thread may have been faster
                self._cache[key] = block
                self._cached_bytes += block.nbytes
            while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return block


@contextlib.contextmanager
def _damage(path: str, level: int, box: Box) -> Iterator[None]:
    """Says where a decoder failed: what it raises is of any type, and none says where."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and path in str(error):
            raise  # of a value in the image, or of an image that this one is made of
        raise CorruptRegion(path, level, box, str(error) or type(error).__name__) from error


def _has_alpha(array: np.ndarray) -> bool:
    return array.ndim == 3 and array.shape[-1] in (2, 4)


def squares(shape: tuple[int, int]) -> list[Box]:
    """Squares that stand for a large image, at even distances, without overlap, row by row."""
    (rows, height), (cols, width) = (_spread(size) for size in shape)
    return [Box(row, col, height, width) for row in rows for col in cols]


def _spread(size: int) -> tuple[list[int], int]:
    """Where squares start along an axis, and their side."""
    side = min(size, _SIDE)
    return np.linspace(0, size - side, min(size // side, _SQUARES)).astype(int).tolist(), side


def downsample(whole: tuple[int, int], smaller: tuple[int, int]) -> float | None:
    """How many times an image is larger than a smaller copy of it, None where it is no copy.

    The sides of a copy are rounded to pixels, up or down.

    >>> downsample((3567, 4443), (1783, 2221)), downsample((3567, 4443), (768, 1280))
    (2.0, None)
    """
    if min(*whole, *smaller) < 1:
        return None
    factor = max(whole) / max(smaller)
    for candidate in (2.0 ** round(math.log2(factor)), float(round(factor)), factor):
        if candidate >= 1 and all(
            math.fabs(large - candidate * small) < candidate
            for large, small in zip(whole, smaller, strict=True)
        ):
            return candidate
    return None
