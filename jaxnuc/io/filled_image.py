"""An image with damaged parts, which are filled with white."""

import threading
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from jaxnuc.io.large_image import Box, CorruptRegion, LargeImage
from jaxnuc.io.rgb import IntensityRange

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
        super().__init__(image.path, [each.shape for each in image.levels], image.pixel_size)
        self._image, self._lock = image, threading.Lock()
        self.damage: list[str] = []

    @property
    def intensity_range(self) -> IntensityRange | None:
        """That of the image."""
        return self._image.intensity_range

    def _read(self, level: int, box: Box) -> np.ndarray:
        try:
            return self._image.read(*box, level=level)
        except CorruptRegion as error:
            row, col, height, width = error.box
            if error.box == box and max(height, width) > _SQUARE:
                # Which part of it is damaged is not known.
                parts = _cut(box, _middle(row, height), _middle(col, width))
            else:
                self._remember(str(error))
                parts = [
                    part
                    for part in _cut(box, (row, row + height), (col, col + width))
                    if not (row <= part.row < row + height and col <= part.col < col + width)
                ]
        region = np.full((box.height, box.width, 3), WHITE, np.uint8)
        for part in parts:
            top, left = part.row - box.row, part.col - box.col
            region[top : top + part.height, left : left + part.width] = self._read(level, part)
        return region

    def _remember(self, message: str) -> None:
        with self._lock:
            if message not in self.damage:
                self.damage.append(message)

    def close(self) -> None:
        """Closes the image."""
        self._image.close()


def _middle(start: int, length: int) -> list[int]:
    """Where a side is halved, at a multiple of `_SQUARE`; nowhere if it is no longer."""
    middle = (start + length // 2) // _SQUARE * _SQUARE
    return [middle if middle > start else middle + _SQUARE] if length > _SQUARE else []


def _cut(box: Box, rows: Iterable[int], cols: Iterable[int]) -> list[Box]:
    """The parts of a box, cut before those of the rows and columns that lie inside."""
    end_row, end_col = box.row + box.height, box.col + box.width
    tops = sorted({box.row, end_row, *(row for row in rows if box.row < row < end_row)})
    lefts = sorted({box.col, end_col, *(col for col in cols if box.col < col < end_col)})
    return [
        Box(top, left, bottom - top, right - left)
        for top, bottom in pairwise(tops)
        for left, right in pairwise(lefts)
    ]
