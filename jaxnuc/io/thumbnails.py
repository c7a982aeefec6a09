"""An image of any size made small."""

import numpy as np

from jaxnuc.io.corrupt_regions import MendedImage
from jaxnuc.io.large_image import LargeImage
from jaxnuc.io.resample import ResampledImage, at_mpp

# Pixels of the thumbnail that are read at once, each way.
_BLOCK = 64


def thumbnail(
    image: LargeImage, side: int = 1024, *, mended: bool = True
) -> tuple[np.ndarray, float]:
    """An image made small, from the smallest copy of it in its file that serves.

    Args:
      image: of any size.
      side: of the result in pixels, the longer one, at most (to 1 %).
      mended: show what cannot be read in white, and do not stop there.

    Returns:
      (h, w, 3) uint8, and how many pixels of the image one of its pixels is long, 1 or more.

    Raises:
      CorruptRegion: a part of it cannot be read, and `mended` is false.
    """
    source, scale = image, 1.0
    if isinstance(image, ResampledImage):
        source, scale = image.image, image.scale[0]
    factor = max(1.0, max(image.shape) / side)
    small = at_mpp(MendedImage(source) if mended else source, factor * scale, given=1.0)
    picture = np.empty((*small.shape, 3), np.uint8)
    for row in range(0, small.shape[0], _BLOCK):
        for col in range(0, small.shape[1], _BLOCK):
            part = picture[row : row + _BLOCK, col : col + _BLOCK]
            part[:] = small.read(row, col, *part.shape[:2])
    return picture, small.scale[0] / scale
