"""Nuclei as run lengths in a table, as Kaggle's competitions publish them."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnuc.data.sources._tables import read_csv


class Runs(NamedTuple):
    """One nucleus.

    Attributes:
      where: the table and the line, for messages.
      text: pairs of start and length: pixels are counted from 1 down the columns, the first column
        first.
      shape: height and width of the image, None where the table does not say.
    """

    where: str
    text: str
    shape: tuple[int, int] | None


def read_runs(path: Path) -> tuple[dict[str, list[Runs]], Counter[str]]:
    """Reads a table with the columns ImageId, EncodedPixels and perhaps Height, Width, Usage.

    An image has a line for each nucleus; a line without pixels is an image without nuclei. Lines
    of which Usage is `Ignored` were not scored, and are skipped.

    Args:
      path: the table.

    Returns:
      The nuclei of each image, in the order of the lines, and how many lines of each image were
      skipped.

    Raises:
      FileNotFoundError: there is no such table.
      ValueError: a column is missing, or a size is no number.
    """
    nuclei: dict[str, list[Runs]] = {}
    ignored: Counter[str] = Counter()
    for where, row in read_csv(path.read_bytes(), str(path), ("ImageId", "EncodedPixels")):
        if row.get("Usage", "").strip().lower() == "ignored":
            ignored[row["ImageId"]] += 1
            continue
        shape = None
        if row.get("Height") and row.get("Width"):
            try:
                shape = int(row["Height"]), int(row["Width"])
            except ValueError:
                raise ValueError(
                    f"{where}: Height {row['Height']!r} and Width {row['Width']!r}, expected whole "
                    "numbers"
                ) from None
        found = nuclei.setdefault(row["ImageId"], [])
        if row["EncodedPixels"].strip():
            found.append(Runs(where, row["EncodedPixels"], shape))
    return nuclei, ignored


def decode_runs(runs: Runs, shape: tuple[int, int]) -> np.ndarray:
    """The pixels of a nucleus.

    Args:
      runs: the nucleus.
      shape: height and width of its image.

    Returns:
      (N,) int64 row-major indices into the image.

    Raises:
      ValueError: the table has another size for the image; numbers that are no pairs of start and
        length, or reach out of the image.

    Example:
      >>> decode_runs(Runs("table.csv, line 2", "2 2 5 1", None), (3, 2))
      array([2, 4, 3])
    """
    height, width = shape
    if runs.shape is not None and runs.shape != shape:
        raise ValueError(f"{runs.where}: an image of {runs.shape} pixels, but the file has {shape}")
    try:
        numbers = np.array(runs.text.split(), np.int64)
        starts, lengths = numbers.reshape(-1, 2).T
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{runs.where}: EncodedPixels are no pairs of whole numbers, start and length"
        ) from error
    ends = starts - 1 + lengths
    if (starts < 1).any() or (lengths < 1).any() or (ends > height * width).any():
        raise ValueError(
            f"{runs.where}: runs from pixel {starts.min()} to {ends.max()} of an image of {shape}, "
            f"which has pixels 1 to {height * width}"
        )
    # The pixels of all runs in one go: each run's start less what comes before it, plus a count.
    before = np.cumsum(lengths) - lengths
    pixels = np.repeat(starts - 1 - before, lengths) + np.arange(lengths.sum())
    column, row = np.divmod(pixels, height)
    return row * width + column
