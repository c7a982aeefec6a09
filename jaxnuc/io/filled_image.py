"""An image with damaged parts, which are filled with white."""

import threading

import numpy as np

from jaxnuc.io.large_image import Box, CorruptRegion, LargeImage

WHITE = 255
# A region that fails as a whole is halved until its parts are no larger than this square.
_SQUARE = 64


class FilledImage(LargeImage):
    """A view of an image in which what cannot be decoded is white, as the glass of a slide.

    Attributes:
      damage: the messages of the errors so far, each once, in the order in which they occurred.
    """

    def __init__(self, image: LargeImage) -> None:
        """Takes an image; closing the view closes it."""
        super().__init__(image.path, [level.shape for level in image.levels])
        self._image, self._lock = image, threading.Lock()
        self.damage: list[str] = []

    def _read(self, level: int, box: Box) -> np.ndarray:
        try:
            return self._image.read(*box, level=level)
        except CorruptRegion as error:
            damaged = _common(box, error.box)
            if error.box == box and max(box.height, box.width) > _SQUARE:
                parts = _halves(box)  # which part of it is damaged is not known
            else:
                self._remember(str(error))
                parts = _around(box, damaged)
        region = np.full((box.height, box.width, 3), WHITE, np.uint8)
        for part in parts:
            row, col = part.row - box.row, part.col - box.col
            region[row : row + part.height, col : col + part.width] = self._read(level, part)
        return region

    def _remember(self, message: str) -> None:
        with self._lock:
            if message not in self.damage:
                self.damage.append(message)

    def _pixel_size(self) -> tuple[float, float] | None:
        mpp = self._image.mpp
        return None if mpp is None else (mpp, mpp)

    def close(self) -> None:
        """Closes the image."""
        self._image.close()


def _common(box: Box, other: Box) -> Box:
    """The part of a box in another, the box itself where there is none."""
    top, left = max(box.row, other.row), max(box.col, other.col)
    bottom = min(box.row + box.height, other.row + other.height)
    right = min(box.col + box.width, other.col + other.width)
    if top >= bottom or left >= right:
        return box
    return Box(top, left, bottom - top, right - left)


def _halves(box: Box) -> list[Box]:
    """A box cut across its longer side, at a multiple of `_SQUARE`."""
    row, col, height, width = box
    if height >= width:
        first = _cut(row, height)
        return [Box(row, col, first, width), Box(row + first, col, height - first, width)]
    first = _cut(col, width)
    return [Box(row, col, height, first), Box(row, col + first, height, width - first)]


def _cut(start: int, length: int) -> int:
    """Pixels in the first half, which is neither empty nor all."""
    middle = (start + length // 2) // _SQUARE * _SQUARE
    return (middle if middle > start else middle + _SQUARE) - start


def _around(box: Box, inner: Box) -> list[Box]:
    """The parts of a box around another inside of it: above, below, and at both sides."""
    row, col, height, width = box
    above, before = inner.row - row, inner.col - col
    below, after = height - above - inner.height, width - before - inner.width
    found = [
        Box(row, col, above, width),
        Box(inner.row + inner.height, col, below, width),
        Box(inner.row, col, inner.height, before),
        Box(inner.row, inner.col + inner.width, inner.height, after),
    ]
    return [part for part in found if part.height and part.width]
