"""A label image as OME-Zarr: every pixel holds the number of its nucleus, 0 is background."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.outputs import pyramid
from jaxnuc.outputs.formats import base
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable


class Format(base.Format):
    """A label image as OME-Zarr 0.4, a folder of levels of uint32.

    Levels, overlaps, order and memory are those of the format tiff. Chunks of 512 without nuclei
    are not stored.
    """

    suffix = ".labels.ome.zarr"
    needs = "zarr"

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        import zarr

        with pyramid.stored(path.parent, tables, scene) as nuclei:
            group = zarr.open_group(path, mode="w", zarr_format=2, attributes=_attributes(scene))
            for k, level in enumerate(nuclei.levels()):
                array = group.create_array(
                    str(k),
                    shape=level.shape,
                    chunks=(pyramid.TILE, pyramid.TILE),
                    dtype=np.uint32,
                    fill_value=0,
                    chunk_key_encoding={"name": "v2", "separator": "/"},
                )
                for row, col, tile in level.tiles():
                    if tile is not None:
                        end_row = min(row + pyramid.TILE, level.shape[0])
                        end_col = min(col + pyramid.TILE, level.shape[1])
                        array[row:end_row, col:end_col] = tile[: end_row - row, : end_col - col]
            return len(nuclei.ids)


def _attributes(scene: Scene) -> dict[str, Any]:
    size = scene.mpp or 1.0
    unit = {"unit": "micrometer"} if scene.mpp else {}
    # No translation: a pixel has the center of the pixel of the image that it repeats.
    levels = [
        {
            "path": str(k),
            "coordinateTransformations": [{"type": "scale", "scale": [size * 2**k] * 2}],
        }
        for k in range(len(pyramid.level_shapes(scene.shape)))
    ]
    return {
        "multiscales": [
            {
                "version": "0.4",
                "name": scene.image,
                "axes": [{"name": axis, "type": "space", **unit} for axis in "yx"],
                "datasets": levels,
                "type": "nearest",
            }
        ],
        "image-label": {"version": "0.4"},
    }
