"""The nuclei of an image or of a part of it, one row each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.io.atomic import replacing
from jaxnuc.io.limits import check_bytes
from jaxnuc.io.npy import decode_npz, npz_names
from jaxnuc.postprocess.masks import Mask

_COLUMN = "measurement: "  # before the names of measurements in files
# The measurements that are places, and move with the nucleus.
_ROWS, _COLS = ("centroid_row", "row_min", "row_max"), ("centroid_col", "col_min", "col_max")


@dataclass(frozen=True)
class NucleiTable:
    """Nuclei that may overlap, with their scores, classes and measurements.

    Attributes:
      masks: N masks, in pixels of the whole image at the model's resolution.
      scores: (N,) float32.
      classes: (N,) int32, 0 is none; None where no classes were predicted.
      class_probabilities: (N, C) float32, the background first; None where there are none.
      measurements: further columns by name, each (N,).
      agreement: (N,) float32 in [0, 1], of the members of an average; None where there is none.

    Raises:
      ValueError: the columns have different lengths.
    """

    masks: tuple[Mask, ...]
    scores: np.ndarray
    classes: np.ndarray | None = None
    class_probabilities: np.ndarray | None = None
    measurements: dict[str, np.ndarray] = field(default_factory=dict)
    agreement: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, column in self._columns().items():
            if len(column) != len(self.masks):
                raise ValueError(
                    f"{name.removeprefix(_COLUMN)!r} has {len(column)} rows for "
                    f"{len(self.masks)} masks; every column needs one row for each nucleus"
                )

    def __len__(self) -> int:
        return len(self.masks)

    def take(self, indices: np.ndarray | Sequence[int]) -> "NucleiTable":
        """The rows of these numbers (or where a bool (N,) is true), in their order."""
        rows = np.asarray(indices)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise ValueError(f"bool rows of shape {rows.shape} for {len(self)} nuclei")
            rows = np.flatnonzero(rows)
        rows = rows.astype(np.intp)
        masks = tuple(self.masks[i] for i in rows.tolist())
        return _of_columns(masks, {name: c[rows] for name, c in self._columns().items()})

    def moved(self, rows: int, cols: int) -> "NucleiTable":
        """The same nuclei, with their measurements, further down and right by so many pixels."""
        masks = tuple(Mask(row + rows, col + cols, mask) for row, col, mask in self.masks)
        steps = dict.fromkeys(_ROWS, rows) | dict.fromkeys(_COLS, cols)
        moved = {
            name: column + steps[name] if name in steps else column
            for name, column in self.measurements.items()
        }
        return replace(self, masks=masks, measurements=moved)

    @staticmethod
    def concatenated(tables: Sequence["NucleiTable"]) -> "NucleiTable":
        """All rows, table after table; tables without rows may lack columns.

        Raises:
          ValueError: tables have different columns.
        """
        filled = [table for table in tables if len(table)] or list(tables[:1])
        if not filled:
            return NucleiTable((), np.zeros(0, np.float32))
        columns = [table._columns() for table in filled]
        for other in columns[1:]:
            same_columns(list(columns[0]), list(other))
        return _of_columns(
            tuple(mask for table in filled for mask in table.masks),
            {name: np.concatenate([c[name] for c in columns]) for name in columns[0]},
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the table as one NPZ file, which appears when it is complete."""
        # Masks are kept as bits of their crops: a label map could not hold those that overlap.
        corners = np.array([mask[:2] for mask in self.masks], np.int64).reshape(-1, 2)
        sizes = np.array([mask.mask.shape for mask in self.masks], np.int64).reshape(-1, 2)
        pixels = [mask.mask.ravel() for mask in self.masks]
        bits = np.packbits(np.concatenate(pixels)) if pixels else np.zeros(0, np.uint8)
        arrays: dict[str, Any] = {"corners": corners, "sizes": sizes, "bits": bits}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **(arrays | self._columns()))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "NucleiTable":
        """Reads what `save` wrote.

        Raises:
          FileNotFoundError: no such file.
          ValueError: the file is damaged, or something else.
        """
        data = Path(path).read_bytes()
        try:
            columns = decode_npz(data, str(path), npz_names(data, str(path)))
            corners, sizes, bits = (columns.pop(name) for name in ("corners", "sizes", "bits"))
            areas = sizes.prod(axis=1)
            count = int(areas.sum())
            if bits.size != -(-count // 8):
                raise ValueError(f"{count} pixels of masks in {bits.size} bytes")
            check_bytes((count,), np.dtype(bool), "its masks")
            pixels = np.unpackbits(bits, count=count).view(bool)
            crops = np.split(pixels, np.cumsum(areas)[:-1]) if len(areas) else []
            masks = tuple(
                Mask(row, col, crop.reshape(size))
                for (row, col), size, crop in zip(
                    corners.tolist(), sizes.tolist(), crops, strict=True
                )
            )
            return _of_columns(masks, columns)
        except Exception as error:  # of any type in a damaged file
            raise ValueError(
                f"{path}: not a table of nuclei, or damaged ({error}); delete it, so that it is "
                "made again"
            ) from error

    def _columns(self) -> dict[str, np.ndarray]:
        """Everything but the masks."""
        names = ("scores", "classes", "class_probabilities", "agreement")
        columns = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return columns | {_COLUMN + name: column for name, column in self.measurements.items()}


def same_columns(expected: list[str], found: list[str]) -> None:
    """Refuses a later table with other columns than the first.

    Raises:
      ValueError: names both lists.
    """
    if expected != found:
        raise ValueError(
            f"tables of different columns: {', '.join(expected)}; and {', '.join(found)}; they "
            "come from different models or settings"
        )


def _of_columns(masks: tuple[Mask, ...], columns: dict[str, np.ndarray]) -> NucleiTable:
    """The inverse of `_columns`."""
    fields: dict[str, Any] = {"measurements": {}}
    for name, column in columns.items():
        if name.startswith(_COLUMN):
            fields["measurements"][name.removeprefix(_COLUMN)] = column
        else:
            fields[name] = column
    return NucleiTable(masks, **fields)
