"""CSV: one line per nucleus."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.io.csv_table import as_cell
from jaxnuc.outputs.columns import all_columns, empty_table
from jaxnuc.outputs.formats import base
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable, same_columns


class Format(base.Format):
    """One line per nucleus, UTF-8, below a line of column names: see `all_columns`.

    A nucleus without a class has an empty class name; numbers keep all their digits.
    """

    suffix = ".csv"

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        n, names = 0, None
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for first, table in scene.numbered(tables):
                columns = all_columns(table, scene, first)
                if names is None:  # only the first table shows which columns there are
                    names = list(columns)
                    writer.writerow(map(as_cell, names))
                same_columns(names, list(columns))
                writer.writerows(zip(*map(_printed, columns.values()), strict=True))
                n += len(table)
            if names is None:
                writer.writerow(map(as_cell, all_columns(empty_table(scene), scene, 1)))
        return n


def _printed(column: np.ndarray) -> list[Any]:
    """The values as their own type prints them: float32 with its few digits."""
    if column.dtype.kind in "fiub":
        return (column.astype(str) if column.dtype == np.float32 else column).tolist()
    return [as_cell(value) for value in column.tolist()]
