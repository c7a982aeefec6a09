"""Images that are arrays: in memory, or mapped into it from a `.npy` file."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from jaxnuc.io.image_files import Refused, check_size, decode, decode_colors
from jaxnuc.io.large_image import Box, LargeImage
from jaxnuc.io.npy import npy_header
from jaxnuc.io.rgb import check_type, to_rgb

_PNG_BITS, _PNG_COLOR = 24, 25  # where a PNG says how many bits a channel has, and its colors
_PNG_GRAY = 0


class ArrayImage(LargeImage):
    """An image of one level in an array, of which only the regions read are converted."""

    def __init__(self, array: np.ndarray, path: str = "the image", mpp: float | None = None):
        """Takes an array.

        Args:
          array: as `rgb.to_rgb` takes it.
          path: where it comes from, for errors.
          mpp: microns per pixel, if known.

        Raises:
          ValueError: another shape or type; at reading, another range.
        """
        check_type(array.shape, array.dtype, path)
        sides = None if mpp is None else (mpp, mpp)
        super().__init__(path, [(array.shape[0], array.shape[1])], sides)
        self._array = array

    def _read(self, level: int, box: Box) -> np.ndarray:
        row, col, height, width = box
        region = self._array[row : row + height, col : col + width]
        return to_rgb(region, self.path).copy()


def open_npy(path: Path) -> ArrayImage:
    """Maps a `.npy` file, of which only the regions read get into memory.

    Raises:
      ValueError: no such file, truncated, or not an image.
    """
    with path.open("rb") as stream:
        shape, _, dtype = npy_header(stream, str(path))
    check_type(shape, dtype, str(path))
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise ValueError(f"{path}: truncated ({error}); fetch it again") from error
    return ArrayImage(array, str(path))


def open_whole(path: Path) -> ArrayImage:
    """Decodes a PNG, JPEG or BMP file, which have no parts that could be read alone.

    Raises:
      ValueError: corrupt, an animation, or more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
      ImportError: a PNG of 16 bits in several channels, and imagecodecs is not installed.
    """
    data, where = path.read_bytes(), str(path)
    if data.startswith(b"\x89PNG") and len(data) > _PNG_COLOR and data[_PNG_BITS] == 16:
        if data[_PNG_COLOR] == _PNG_GRAY:
            return ArrayImage(decode(data, where), where)
        return ArrayImage(_deep_png(data, where), where)
    return ArrayImage(decode_colors(data, where), where)


def _deep_png(data: bytes, where: str) -> np.ndarray:
    """A PNG of 16 bits in several channels, of which Pillow drops half of the bits."""
    try:
        import imagecodecs
    except ImportError as error:
        raise ImportError(
            f"{where}: a PNG of 16 bits in several channels needs imagecodecs: "
            "pip install jaxnuc[slides]"
        ) from error
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            check_size(image.size)
        return imagecodecs.png_decode(data)
    except Refused as error:
        raise ValueError(f"{where}: {error}") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{where}: cannot be decoded ({error!s:.200}); fetch it again") from error
