"""Small pictures of images of any size."""

import numpy as np

from jaxnuc.io.filled_image import FilledImage
from jaxnuc.io.large_image import LargeImage
from jaxnuc.io.resample import ResampledImage, at_mpp

# Pixels of the thumbnail that are read at once, each way.
_BLOCK = 64


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
    for row in range(0, small.shape[0], _BLOCK):
        for col in range(0, small.shape[1], _BLOCK):
            part = picture[row : row + _BLOCK, col : col + _BLOCK]
            part[:] = small.read(row, col, *part.shape[:2])
    return picture, small.scale[0] / scale
