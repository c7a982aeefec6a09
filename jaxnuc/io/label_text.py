"""The label text files of the MICCAI challenges: a first line `width height`, then the labels."""

import re

import numpy as np


def text_size(data: bytes, where: str) -> tuple[int, int]:
    """Height and width that the first line of a file gives; ValueError if it holds no two."""
    return _header(data, where)[0]


def text_labels(data: bytes, where: str) -> np.ndarray:
    """The labels of a file, one number per pixel, row by row from the left.

    Returns:
      (H, W) int64, 0 is background.

    Raises:
      ValueError: the file holds something else than numbers, or not as many as pixels.
    """
    (height, width), rest = _header(data, where)
    if re.search(rb"[^0-9\s]", rest):
        raise ValueError(f"{where}: holds something else than label numbers; fetch it again")
    labels = np.fromstring(rest, np.int64, sep=" ") if rest.strip() else np.zeros(0, np.int64)
    if labels.size != height * width:
        raise ValueError(
            f"{where}: {labels.size} labels for {width} x {height} pixels; it is truncated or of "
            "another format"
        )
    return labels.reshape(height, width)


def _header(data: bytes, where: str) -> tuple[tuple[int, int], bytes]:
    first, _, rest = data.partition(b"\n")
    match = re.fullmatch(rb"\s*(\d{1,6})\s+(\d{1,6})\s*", first)
    if not match:
        raise ValueError(
            f"{where}: the first line is {first[:40]!r}; expected the image's width and height"
        )
    return (int(match[2]), int(match[1])), rest
