"""From what image files hold to (H, W, 3) uint8."""

import numpy as np

from jaxnuc.io.archive import to_rgb


def rgb_bytes(array: np.ndarray, where: str) -> np.ndarray:
    """Any part of an image to (H, W, 3) uint8.

    Args:
      array: (H, W), or (H, W, C) with 1 to 4 channels, of which alpha is dropped; bool, uint8,
        uint16 (full range), or float in [0, 1].
      where: its address, for errors.

    Raises:
      ValueError: another shape, type or range.

    Example:
      >>> rgb_bytes(np.array([[0, 257, 65535]], np.uint16), "a.png")[0, :, 0]
      array([  0,   1, 255], dtype=uint8)
    """
    if array.dtype.newbyteorder("=") == np.uint16:
        array = np.round(array / 257).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not 0 <= low <= high <= 1:
            raise ValueError(
                f"{where}: a float image lies in [0, 1], got [{low}, {high}]; rescale it"
            )
        array = np.round(array * 255).astype(np.uint8)
    return to_rgb(array, where)


def check_type(shape: tuple[int, ...], dtype: np.dtype, where: str) -> None:
    """Refuses what `rgb_bytes` would, before anything is read.

    Raises:
      ValueError: another shape than (H, W[, 1 to 4]), no pixels, or another type.
    """
    if len(shape) not in (2, 3) or (len(shape) == 3 and not 1 <= shape[2] <= 4):
        raise ValueError(f"{where}: an array of shape {shape}; expected (H, W[, 1 to 4])")
    if 0 in shape:
        raise ValueError(f"{where}: an image of shape {shape} has no pixels")
    whole = dtype.newbyteorder("=") in (np.bool, np.uint8, np.uint16)
    if not whole and not np.issubdtype(dtype, np.floating):
        raise ValueError(
            f"{where}: an image of {dtype}; expected bool, uint8, uint16 or float in [0, 1]"
        )
