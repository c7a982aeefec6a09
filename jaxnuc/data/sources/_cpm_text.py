"""The label text files of the MICCAI challenges: a first line `width height`, then the labels."""

import re

import numpy as np

from jaxnuc.data.sources._arrays import as_ids
from jaxnuc.data.sources._pairs import File


def text_size(file: File) -> tuple[int, int]:
    """Height and width that the first line of the file gives.

    Raises:
      ValueError: the first line does not hold two numbers.
    """
    return _header(file)[0]


def text_labels(file: File) -> np.ndarray:
    """The labels of a file, one number per pixel, row by row from the left.

    Returns:
      (H, W) int32, 0 is background.

    Raises:
      ValueError: the file holds something else than numbers, or not as many as pixels.
    """
    (height, width), rest = _header(file)
    if re.search(rb"[^0-9\s]", rest):
        raise ValueError(f"{file.where}: holds something else than label numbers; fetch it again")
    labels = np.fromstring(rest, np.int64, sep=" ") if rest.strip() else np.zeros(0, np.int64)
    if labels.size != height * width:
        raise ValueError(
            f"{file.where}: {labels.size} labels for {width} x {height} pixels; it is truncated "
            "or of another format"
        )
    return as_ids(labels.reshape(height, width), file.where)


def _header(file: File) -> tuple[tuple[int, int], bytes]:
    first, _, rest = file.read().partition(b"\n")
    match = re.fullmatch(rb"\s*(\d{1,6})\s+(\d{1,6})\s*", first)
    if not match:
        raise ValueError(
            f"{file.where}: the first line is {first[:40]!r}; expected the image's width and height"
        )
    return (int(match[2]), int(match[1])), rest
