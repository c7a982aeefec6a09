"""Label images: every pixel holds the number of its nucleus, 0 is background."""

import os
import uuid
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from jaxnuc.io.atomic import replacing
from jaxnuc.outputs import pyramid
from jaxnuc.outputs.pyramid import StoredMasks
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable

PLAIN_PIXELS = 2**24  # at most, of a TIFF without tiles


def write_tiff(path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene) -> int:
    """Writes a label image as TIFF, on the grid of the masks.

    Numbers are uint16 where there are fewer than 65,536 nuclei, else int32: QuPath warns of uint32.
    An image of up to 2**24 pixels becomes a plain TIFF, which ImageJ opens. A larger one becomes an
    OME-TIFF (BigTIFF, tiles of 512, zlib) with smaller levels in SubIFDs: pixel (r, c) of level k
    is pixel (2**k r, 2**k c) of the image. The last level has at most 512 pixels a side. Where
    nuclei overlap, the later lies on top; one that is wholly covered is missing.

    The nuclei may come in any order: their masks are first written, packed, to a temporary file in
    the folder of `path`, then gathered tile by tile. Memory holds one table, one tile, and 200
    bytes for each nucleus.

    Args:
      path: of the file.
      tables: the nuclei; taken one table at a time.
      scene: the image.

    Returns:
      How many nuclei were written.

    Raises:
      ValueError: the tables do not fit the scene.
    """
    with replacing(path) as temporary, pyramid.stored(Path(path).parent, tables, scene) as nuclei:
        dtype = np.dtype(np.uint16 if len(nuclei.ids) < 2**16 else np.int32)
        if scene.shape[0] * scene.shape[1] <= PLAIN_PIXELS:
            labels = nuclei.painted().astype(dtype)
            tifffile.imwrite(temporary, labels, photometric="minisblack", **_resolution(scene, 0))
        else:
            _write_ome_tiff(temporary, nuclei, scene, dtype)
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


def write_ome_zarr(
    path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene
) -> int:
    """Writes a label image as OME-Zarr 0.4, a folder of levels of uint32.

    Levels, overlaps, order and memory are as in `write_tiff`. Chunks of 512 without nuclei are not
    stored.

    Args:
      path: of the folder.
      tables: the nuclei; taken one table at a time.
      scene: the image.

    Returns:
      How many nuclei were written.

    Raises:
      ImportError: zarr is missing.
      ValueError: the tables do not fit the scene.
    """
    try:
        import zarr
    except ImportError as error:
        raise ImportError("OME-Zarr needs zarr: pip install jaxnuc[files]") from error
    with replacing(path) as temporary, pyramid.stored(Path(path).parent, tables, scene) as nuclei:
        group = zarr.open_group(
            temporary, mode="w", zarr_format=2, attributes=_ome_zarr_attributes(scene)
        )
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


def _ome_zarr_attributes(scene: Scene) -> dict[str, Any]:
    size = scene.mpp or 1.0
    unit = {"unit": "micrometer"} if scene.mpp else {}
    # No shift: the centre of a pixel is that of the pixel of the image which it repeats.
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
