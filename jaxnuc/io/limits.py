"""What a file may become in memory: a small one can be made to unpack to any size."""

import math
from collections.abc import Sequence

import numpy as np

MOST_PIXELS = 2**29  # of an image that is decoded whole: 1.6 GB as RGB
PER_PIXEL = 4  # bytes of a pixel, for which such an image may have as many pixels
MOST_BYTES = PER_PIXEL * MOST_PIXELS  # of any array that is read whole, 2 GiB


def check_bytes(shape: Sequence[int], dtype: np.dtype, where: str, most: int = MOST_BYTES) -> None:
    """Refuses an array that is too large, before there is one.

    Raises:
      ValueError: it has more bytes than `most`.

    >>> check_bytes((2**20, 2**20), np.dtype(np.uint8), "a.npz")
    Traceback (most recent call last):
    ValueError: a.npz: (1048576, 1048576) of uint8 is 1024.0 GiB, more than the 2.0 that are read
    """
    size = math.prod(shape) * dtype.itemsize
    if size > most:
        raise ValueError(
            f"{where}: {tuple(shape)} of {dtype} is {size / 2**30:.1f} GiB, more than the "
            f"{most / 2**30:.1f} that are read"
        )
