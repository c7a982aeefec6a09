"""From what image files hold to (H, W, 3) uint8."""

import numpy as np


def to_rgb(array: np.ndarray, where: str) -> np.ndarray:
    """An image, or any part of one, as (H, W, 3) uint8: gray is repeated, alpha is dropped.

    Args:
      array: (H, W), or (H, W, C) with 1 to 4 channels; bool, uint8, uint16 (full range), or float
        in [0, 1].
      where: its address, for errors.

    Raises:
      ValueError: another shape, type or range.

    Example:
      >>> to_rgb(np.array([[0, 257, 65535]], np.uint16), "a.png")[0, :, 0]
      array([  0,   1, 255], dtype=uint8)
    """
    check_type(array.shape, array.dtype, where)
    if array.dtype == np.bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype.newbyteorder("=") == np.uint16:
        array = np.round(array / 257).astype(np.uint8)
    elif array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        if not 0 <= low <= high <= 1:
            raise ValueError(
                f"{where}: a float image lies in [0, 1], got [{low}, {high}]; rescale it"
            )
        array = np.round(array * 255).astype(np.uint8)
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[-1] in (2, 4):
        array = array[..., :-1]
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def check_type(shape: tuple[int, ...], dtype: np.dtype, where: str) -> None:
    """Refuses what `to_rgb` would, before anything is read.

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
