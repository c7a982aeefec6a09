"""GeoParquet: one row per nucleus, with its polygon."""

import json
from typing import Any

import shapely

from jaxnuc.outputs.formats import parquet
from jaxnuc.outputs.outlines import rings
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


class Format(parquet.Format):
    """GeoParquet 1.1.0: the columns of the format parquet and the polygons of the format geojson.

    The column `geometry` is WKB, in pixels of the image's full resolution, without a coordinate
    reference system.
    """

    suffix = ".geo.parquet"

    def _rows(self, table: NucleiTable, scene: Scene, first: int) -> Any:
        import pyarrow as pa

        polygons = [rings(mask, scene.scale) for mask in table.masks]
        shapes = [shapely.Polygon(outer, holes) for outer, *holes in polygons]
        geometry = pa.array(shapely.to_wkb(shapes).tolist(), pa.binary())
        rows = super()._rows(table, scene, first).append_column("geometry", geometry)
        return rows.replace_schema_metadata({"geo": json.dumps(_GEO)})
