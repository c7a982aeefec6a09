"""CSV, Parquet and GeoParquet: one row per nucleus."""

import csv
import json
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely

from jaxnuc.io.atomic import replacing
from jaxnuc.outputs.geojson import rings
from jaxnuc.outputs.rows import columns, same_columns
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable

_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "crs": None,  # pixels
            "orientation": "counterclockwise",
            "edges": "planar",
        }
    },
}


def write_csv(path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene) -> int:
    """Writes one line per nucleus, UTF-8, below a line of column names; see `rows.columns`.

    A nucleus without a class has an empty class name; numbers keep all their digits.

    Args:
      path: of the file.
      tables: the nuclei, all with the same columns; taken one table at a time.
      scene: the image.

    Returns:
      How many nuclei were written.

    Raises:
      ValueError: the tables do not fit the scene or each other.
    """
    n, names = 0, None
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        for first, table in scene.numbered(tables):
            found = columns(table, scene, first)
            if names is None:
                names = list(found)
                writer.writerow(names)
            same_columns(names, list(found))
            writer.writerows(zip(*map(_printed, found.values()), strict=True))
            n += len(table)
        if names is None:
            writer.writerow(columns(_nothing(scene), scene, 1))
    return n


def write_parquet(path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene) -> int:
    """Writes the columns of `write_csv` as Parquet, a row group for each table.

    Args, Returns and Raises are those of `write_csv`.

    Raises:
      ImportError: pyarrow is missing.
    """
    return _write_parquet(path, tables, scene, geometry=False)


def write_geoparquet(
    path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene
) -> int:
    """Writes GeoParquet 1.1.0: `write_parquet` and the polygons of `write_geojson`.

    The column `geometry` is WKB, in pixels of the image's full resolution, without a coordinate
    reference system.

    Raises:
      ImportError: pyarrow is missing.
    """
    return _write_parquet(path, tables, scene, geometry=True)


def _write_parquet(
    path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene, geometry: bool
) -> int:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install jaxnuc[files]") from error

    def arrow(table: NucleiTable, first: int) -> Any:
        found: dict[str, Any] = {
            name: pa.array(column, pa.string()) if column.dtype == object else pa.array(column)
            for name, column in columns(table, scene, first).items()
        }
        if geometry:
            shapes = [_polygon(rings(mask, scene)) for mask in table.masks]
            found["geometry"] = pa.array(shapely.to_wkb(shapes).tolist(), pa.binary())
        metadata = {"geo": json.dumps(_GEO)} if geometry else None
        return pa.table(found).replace_schema_metadata(metadata)

    n, writer = 0, None
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            for first, table in scene.numbered(tables):
                rows = arrow(table, first)
                if writer is None:
                    writer = parquet.ParquetWriter(file, rows.schema)
                same_columns(writer.schema.names, rows.schema.names)
                writer.write_table(rows.cast(writer.schema), row_group_size=len(table))
                n += len(table)
            if writer is None:
                writer = parquet.ParquetWriter(file, arrow(_nothing(scene), 1).schema)
        finally:
            if writer is not None:
                writer.close()
    return n


def _printed(column: np.ndarray) -> list[Any]:
    """The values as their own type prints them: float32 with its few digits."""
    return (column.astype(str) if column.dtype == np.float32 else column).tolist()


def _polygon(coordinates: list[list[list[float]]]) -> shapely.Polygon:
    return shapely.Polygon(coordinates[0], coordinates[1:])


def _nothing(scene: Scene) -> NucleiTable:
    """A table without rows, with the columns that the scene promises."""
    scores = np.zeros(0, np.float32)
    if scene.class_names is None:
        return NucleiTable((), scores)
    probabilities = np.zeros((0, len(scene.class_names)), np.float32)
    return NucleiTable((), scores, np.zeros(0, np.int32), probabilities)
