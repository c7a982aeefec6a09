"""An image at other microns per pixel, the same pixels whatever regions are read."""

from typing import NamedTuple

import numpy as np

from jaxnuc.io.filled_image import FilledImage
from jaxnuc.io.large_image import Box, LargeImage
from jaxnuc.io.pixel_size import check_mpp
from jaxnuc.io.rgb import IntensityRange

# Scanners state it to a percent or so; within, pixels are left as they are.
_SAME = 0.01
# Pixels that are resampled at once, which bounds the memory.
_PIXELS = 2**22
# Pixels of a thumbnail that are read at once, each way.
_SIDE = 64


class ResampledImage(LargeImage):
    """A view of an image at other microns per pixel; made by `at_mpp`.

    Every pixel is one and the same function of the image, so that overlapping regions agree.

    Attributes:
      image: that is resampled.
      scale: pixels of level 0 of the image per pixel of the view, (row, col): the point (r, c) of
        the view, measured from the upper left corner of the first pixel, is (r * scale[0],
        c * scale[1]) of the image.
    """

    def __init__(self, image: LargeImage, level: int, factor: float, image_mpp: float) -> None:
        """Takes the level that is resampled, and how many of its pixels make one of the view."""
        rows, cols = image.levels[level].shape
        shape = max(1, round(rows / factor)), max(1, round(cols / factor))
        scale = factor * image.levels[level].downsample
        super().__init__(image.path, [shape], (scale * image_mpp, scale * image_mpp))
        self.image, self._level, self._factor = image, level, factor
        self.scale = scale, scale

    @property
    def intensity_range(self) -> IntensityRange | None:
        """That of the image."""
        return self.image.intensity_range

    def _read(self, level: int, box: Box) -> np.ndarray:
        if self._factor == 1:
            return self.image.read(*box, level=self._level)
        height, width = self.image.levels[self._level].shape
        cols = _taps(box.col, box.col + box.width, self._factor, width)
        step = max(1, int(_PIXELS / (self._factor * (cols.stop - cols.first))))
        region = np.empty((box.height, box.width, 3), np.uint8)
        for start in range(0, box.height, step):
            stop = min(start + step, box.height)
            rows = _taps(box.row + start, box.row + stop, self._factor, height)
            source = self.image.read(
                rows.first, cols.first, rows.stop - rows.first, cols.stop - cols.first, self._level
            )
            across = _weighted(_weighted(source, rows).transpose(1, 0, 2), cols)
            region[start:stop] = np.rint(across).transpose(1, 0, 2)
        return region

    def close(self) -> None:
        """Closes the image."""
        self.image.close()


def at_mpp(image: LargeImage, mpp: float, *, given: float | None = None) -> ResampledImage:
    """A view of an image at a model's resolution.

    Regions come from the coarsest level that is at least as fine, by the average over the area of
    a pixel, or, where the image is coarser than asked for, by bilinear interpolation. Within 1 %
    of a level, its pixels are taken as they are.

    Args:
      image: from `open_image`; closing the view closes it.
      mpp: microns per pixel of the view.
      given: microns per pixel of the image's level 0, whatever its file says.

    Returns:
      The view, of one level; its `scale` leads back to pixels of the image.

    Raises:
      ValueError: the microns per pixel of the image are unknown and not given, or its pixels not
        square; a number that is not positive.
    """
    check_mpp(mpp)
    if given is not None:
        check_mpp(given)
    known = given if given is not None else image.mpp
    if known is None:
        raise ValueError(
            f"{image.path}: its microns per pixel are unknown; give them, as --mpp=0.25 for a "
            "usual scan at 40x, 0.5 at 20x (mpp=0.25 in Python), or have the size of nuclei "
            "estimated, --diameter=auto; see docs/prediction.md"
        )
    factors = [mpp / (known * level.downsample) for level in image.levels]
    fine = [n for n, factor in enumerate(factors) if factor >= 1 - _SAME]
    level = max(fine, key=lambda n: image.levels[n].downsample, default=0)
    factor = 1.0 if abs(factors[level] - 1) <= _SAME else factors[level]
    return ResampledImage(image, level, factor, known)


def thumbnail(
    image: LargeImage, side: int = 1024, *, fill_corrupt: bool = True
) -> tuple[np.ndarray, float]:
    """A small picture of an image, from the smallest sufficient level of its file.

    Args:
      image: of any size.
      side: of the result in pixels, the longer one, at most (to 1 %).
      fill_corrupt: show what cannot be decoded in white, instead of raising an error.

    Returns:
      (h, w, 3) uint8, and how many pixels of the image one of its pixels is long, 1 or more.

    Raises:
      CorruptRegion: a part of it cannot be read, and `fill_corrupt` is false.
    """
    source, scale = image, 1.0
    if isinstance(image, ResampledImage):
        source, scale = image.image, image.scale[0]
    factor = max(1.0, max(image.shape) / side)
    small = at_mpp(FilledImage(source) if fill_corrupt else source, factor * scale, given=1.0)
    picture = np.empty((*small.shape, 3), np.uint8)
    for row in range(0, small.shape[0], _SIDE):
        for col in range(0, small.shape[1], _SIDE):
            part = picture[row : row + _SIDE, col : col + _SIDE]
            part[:] = small.read(row, col, *part.shape[:2])
    return picture, small.scale[0] / scale


class _Taps(NamedTuple):
    """Which lines make the lines of a region: `sum(weights[k] * lines[first + indices[k]])`.

    Attributes:
      first: of the lines that are needed.
      stop: the line after the last.
      indices: (K, N) counted from `first`.
      weights: (K, N) float32, of sum 1 over K.
    """

    first: int
    stop: int
    indices: np.ndarray
    weights: np.ndarray


def _taps(start: int, stop: int, factor: float, size: int) -> _Taps:
    """For lines `start` to `stop` of which each is `factor` lines of an image of `size` wide."""
    lines = np.arange(start, stop)
    if factor > 1:  # the part of each line that lies below
        low, high = lines * factor, np.minimum((lines + 1) * factor, size)
        first = np.floor(low).astype(int)
        indices = first + np.arange(int(np.ceil(factor)) + 1)[:, None]
        weights = np.minimum(indices + 1, high) - np.maximum(indices, low)
        weights = np.maximum(weights, 0)
    else:  # the two centers on both sides
        centers = (lines + 0.5) * factor - 0.5
        first = np.floor(centers).astype(int)
        indices = first + np.arange(2)[:, None]
        weights = np.maximum(1 - np.abs(centers - indices), 0)
    indices = np.clip(indices, 0, size - 1)
    weights = (weights / weights.sum(axis=0)).astype(np.float32)
    begin, end = int(indices.min()), int(indices.max()) + 1
    return _Taps(begin, end, indices - begin, weights)


def _weighted(lines: np.ndarray, taps: _Taps) -> np.ndarray:
    """Sums of lines, always in the same order: the same numbers whatever the region."""
    total = np.zeros((taps.indices.shape[1], *lines.shape[1:]), np.float32)
    for indices, weights in zip(taps.indices, taps.weights, strict=True):
        total += lines[indices] * weights[:, None, None]
    return total
