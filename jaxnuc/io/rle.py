"""Reads and writes the run lengths of one mask as COCO and Kaggle do."""

from collections.abc import Sequence

import numpy as np


def decode_coco(
    counts: str | bytes | Sequence[int] | np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The runs of pixels that COCO's counts stand for.

    Args:
      counts: lengths of alternating runs of background and foreground, the background first; as
        integers, or as COCO's compressed string.
      size: pixels of the image.

    Returns:
      starts, stops: (R,) int64 each, the half-open runs in column-major order, from 0.

    Raises:
      ValueError: the string cannot be read, or the counts do not add up to the size.
    """
    if isinstance(counts, str | bytes):
        counts = _decompressed(counts)
    counts = np.asarray(counts, np.int64)
    if counts.sum() != size or (counts < 0).any():
        raise ValueError(
            f"the counts of a mask must be lengths that add up to its {size} pixels, these add up "
            f"to {counts.sum()}"
        )
    bounds = np.cumsum(counts)
    stops = bounds[1::2]
    starts = bounds[::2][: len(stops)]
    return starts[stops > starts], stops[stops > starts]


def encode_coco(
    starts: np.ndarray, stops: np.ndarray, size: int, compressed: bool = True
) -> str | list[int]:
    """COCO's counts of one mask; the inverse of `decode_coco`.

    Args:
      starts: (R,) first pixel of each run, ascending.
      stops: (R,) the pixel after its last; runs do not touch.
      size: pixels of the image.
      compressed: a string instead of a list of integers.

    Returns:
      The counts.
    """
    bounds = np.stack([starts, stops], axis=1).ravel()
    counts = np.diff(bounds, prepend=0, append=size)
    if len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    return _compressed(counts) if compressed else counts.tolist()


def decode_kaggle(text: str) -> tuple[np.ndarray, np.ndarray]:
    """The runs of pixels of a string "start length start length ...".

    Args:
      text: pixels are numbered down the columns, from 1.

    Returns:
      starts, stops: (R,) int64 each, the half-open runs in column-major order, from 0.

    Raises:
      ValueError: no pairs of whole numbers, or one is below 1.
    """
    try:
        numbers = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        numbers = np.zeros(1, np.int64)
    if numbers.size % 2 or (numbers < 1).any():
        raise ValueError(
            f"run lengths must be pairs of a start and a length, both from 1, got {text[:40]!r}"
        )
    return numbers[::2] - 1, numbers[::2] - 1 + numbers[1::2]


def encode_kaggle(starts: np.ndarray, stops: np.ndarray) -> str:
    """Kaggle's string of one mask; the inverse of `decode_kaggle`."""
    return " ".join(map(str, np.stack([starts + 1, stops - starts], axis=1).ravel().tolist()))


def _compressed(counts: np.ndarray) -> str:
    """Differences to the count before the last, in little-endian groups of 5 bits and a sign.

    Bit 5 of a character says that another follows; the characters start at "0".
    """
    values = counts.copy()
    values[3:] -= counts[1:-2]
    n_groups = np.ones(len(values), np.int64)
    while (short := ~_fits(values, 5 * n_groups)).any():
        n_groups[short] += 1
    owner = np.repeat(np.arange(len(values)), n_groups)
    group = np.arange(len(owner)) - (np.cumsum(n_groups) - n_groups)[owner]
    characters = (values[owner] >> 5 * group) & 31
    characters |= np.where(group < n_groups[owner] - 1, 32, 0)
    return (characters + 48).astype(np.uint8).tobytes().decode("ascii")


def _fits(values: np.ndarray, bits: np.ndarray) -> np.ndarray:
    rest = values >> (bits - 1)
    return (rest == 0) | (rest == -1)


def _decompressed(text: str | bytes) -> np.ndarray:
    encoded = text.encode("ascii") if isinstance(text, str) else text
    characters = np.frombuffer(encoded, np.uint8).astype(np.int64) - 48
    last = (characters & 32) == 0
    if (characters < 0).any() or (characters > 63).any() or not last[-1:].all():
        raise ValueError(f"not a compressed string of counts: {text[:40]!r}")
    first = np.flatnonzero(np.append(True, last[:-1])[: len(last)])
    owner = np.cumsum(np.append(0, last[:-1]))[: len(last)]
    group = np.arange(len(characters)) - first[owner]
    parts = (characters & 31) << 5 * group
    # The sign is bit 4 of the last character.
    parts -= np.where(last & ((characters & 16) != 0), 1 << 5 * (group + 1), 0)
    counts = np.bincount(owner, parts, minlength=len(first)).astype(np.int64)
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts
