"""Images that are arrays: in memory, or mapped into it from a `.npy` file."""

from pathlib import Path

import numpy as np

from jaxnuc.io.image_files import decode_image
from jaxnuc.io.large_image import Box, Contents, LargeImage
from jaxnuc.io.limits import MOST_PIXELS
from jaxnuc.io.npy import npy_header
from jaxnuc.io.planes import ALL, Planes, has_colors
from jaxnuc.io.rgb import check_type


class ArrayImage(LargeImage):
    """An image of one level in an array, of which only the regions read are converted."""

    def __init__(
        self,
        array: np.ndarray,
        path: str = "the image",
        mpp: float | None = None,
        channels: tuple[int, ...] | None = None,
    ):
        """Takes an array.

        Args:
          array: as `rgb.to_rgb` takes it; its range is that of the whole array.
          path: where it comes from, for errors.
          mpp: microns per pixel, if known.
          channels: those that are seen; None: all.

        Raises:
          ValueError: another shape or type; at reading, a number that is not finite.
        """
        check_type(array.shape, array.dtype, path)
        sides = None if mpp is None else (mpp, mpp)
        super().__init__(path, [(array.shape[0], array.shape[1])], sides)
        self._array, self.dtype, self._channels = array, array.dtype, channels
        self.contents = Contents(in_color=array.ndim == 3 and array.shape[2] > 2)

    def _read(self, level: int, box: Box) -> np.ndarray:
        row, col, height, width = box
        region = self._array[row : row + height, col : col + width]
        return region if self._channels is None else region[..., list(self._channels)]


def open_npy(path: Path, planes: Planes = ALL) -> ArrayImage:
    """Maps a `.npy` file, of which only the regions read get into memory.

    Raises:
      ValueError: no such file, truncated, or not an image; channels to choose.
    """
    with path.open("rb") as stream:
        shape, _, dtype = npy_header(stream, str(path))
    check_type(shape, dtype, str(path))
    channels = planes.of_array(shape, dtype, str(path))
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        raise ValueError(f"{path}: truncated ({error}); fetch it again") from error
    image = ArrayImage(array, str(path), channels=channels if len(shape) == 3 else None)
    image.contents = Contents(in_color=len(shape) == 3 and has_colors(shape[2], dtype))
    return image


def open_whole(path: Path, planes: Planes = ALL, most_pixels: int = MOST_PIXELS) -> ArrayImage:
    """Decodes a PNG, JPEG or BMP file, which have no parts that could be read alone.

    Raises:
      ValueError: corrupt, an animation, or more pixels than `most_pixels`; a channel, depth or time
        that there is not.
      ImportError: a PNG of 16 bits in several channels, and imagecodecs is not installed.
    """
    data, where = path.read_bytes(), str(path)
    pixels = decode_image(data, where, most_pixels, transparent=True, turned=True)
    image = ArrayImage(pixels, where)
    if image.contents.in_color:
        planes, image.colors = planes.in_color(where)
    planes.choose({}, (), where, rgb=True)
    return image
