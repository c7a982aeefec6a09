"""Parquet: one row per nucleus."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxnuc.outputs.columns import all_columns, empty_table
from jaxnuc.outputs.formats import base
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable, same_columns


class Format(base.Format):
    """The columns of the format csv as Parquet, a row group for each table."""

    suffix = ".parquet"
    needs = "pyarrow"

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        from pyarrow import parquet

        n, writer = 0, None
        with path.open("wb") as file:
            try:
                for first, table in scene.numbered(tables):
                    rows = self._rows(table, scene, first)
                    if writer is None:
                        writer = parquet.ParquetWriter(file, rows.schema)
                    same_columns(writer.schema.names, rows.schema.names)
                    # All row groups have the types of the first table.
                    writer.write_table(rows.cast(writer.schema), row_group_size=len(table))
                    n += len(table)
                if writer is None:
                    nothing = self._rows(empty_table(scene), scene, 1)
                    writer = parquet.ParquetWriter(file, nothing.schema)
            finally:
                if writer is not None:
                    writer.close()
        return n

    def _rows(self, table: NucleiTable, scene: Scene, first: int) -> Any:
        """The nuclei as a `pyarrow.Table`."""
        import pyarrow as pa

        return pa.table(
            {
                name: pa.array(column, pa.string()) if column.dtype == object else pa.array(column)
                for name, column in all_columns(table, scene, first).items()
            }
        )
