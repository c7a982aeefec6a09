"""A label image as TIFF: every pixel holds the number of its nucleus, 0 is background."""

import uuid
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from jaxnuc.outputs import pyramid
from jaxnuc.outputs.formats import base
from jaxnuc.outputs.pyramid import StoredMasks
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable

PLAIN_PIXELS = 2**24  # at most, of a TIFF without tiles


class Format(base.Format):
    """A label image as TIFF, on the grid of the masks: pixels hold the number of their nucleus.

    Numbers are uint16 where there are fewer than 65,536 nuclei, else int32: QuPath warns of uint32.
    An image of up to 2**24 pixels becomes a plain TIFF, which ImageJ opens. A larger one becomes an
    OME-TIFF (BigTIFF, tiles of 512, zlib) with smaller levels in SubIFDs: pixel (r, c) of level k
    is pixel (2**k r, 2**k c) of the image. The last level has at most 512 pixels a side. Where
    nuclei overlap, the later lies on top; one that is wholly covered is missing.

    The nuclei may come in any order: their masks are first written, packed, to a temporary file in
    the folder of the output, then gathered tile by tile. Memory holds one table, one tile, and 200
    bytes for each nucleus.
    """

    suffix = ".labels.tif"

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        with pyramid.stored(path.parent, tables, scene) as nuclei:
            dtype = np.dtype(np.uint16 if len(nuclei.ids) < 2**16 else np.int32)
            if scene.shape[0] * scene.shape[1] <= PLAIN_PIXELS:
                labels = nuclei.painted().astype(dtype)
                tifffile.imwrite(path, labels, photometric="minisblack", **_resolution(scene, 0))
            else:
                _write_ome_tiff(path, nuclei, scene, dtype)
            return len(nuclei.ids)


def _write_ome_tiff(path: Path, nuclei: StoredMasks, scene: Scene, dtype: np.dtype) -> None:
    # The same nuclei make the same file.
    about: dict[str, Any] = {"axes": "YX", "Name": scene.image}
    about["UUID"] = str(uuid.uuid5(uuid.NAMESPACE_URL, scene.image))
    if scene.mpp:
        for axis in "XY":
            about |= {f"PhysicalSize{axis}": scene.mpp, f"PhysicalSize{axis}Unit": "µm"}
    smaller = len(pyramid.level_shapes(scene.shape)) - 1
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        for k, level in enumerate(nuclei.levels()):
            file.write(
                _compressed(level, dtype), shape=level.shape, dtype=dtype,
                tile=(pyramid.TILE, pyramid.TILE), compression="zlib", photometric="minisblack",
                subifds=None if k else smaller, subfiletype=1 if k else 0,
                metadata=None if k else about, **_resolution(scene, k),
            )  # fmt: skip


def _resolution(scene: Scene, level: int) -> dict[str, Any]:
    if not scene.mpp:
        return {}
    return {"resolution": (1e4 / scene.mpp / 2**level,) * 2, "resolutionunit": "CENTIMETER"}


def _compressed(nuclei: StoredMasks, dtype: np.dtype) -> Iterator[bytes]:
    nothing = zlib.compress(bytes(dtype.itemsize * pyramid.TILE**2))
    for _, _, tile in nuclei.tiles():
        yield nothing if tile is None else zlib.compress(tile.astype(dtype).tobytes())
