"""Label images: every pixel holds the number of its nucleus, 0 is background."""

import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import tifffile

from jaxnuc.files import replacing
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable

TILE = 512
PLAIN_PIXELS = 2**24  # at most, of a TIFF without tiles


def write_tiff(path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene) -> int:
    """Writes a label image as TIFF, on the grid of the masks.

    Images of up to 2**24 pixels with fewer than 65,536 nuclei become a plain uint16 TIFF, which
    ImageJ opens. Others become a BigTIFF of uint32 in tiles of 512, compressed with zlib. Where
    nuclei overlap, the later lies on top; one that is wholly covered is missing.

    The nuclei may come in any order: their masks are first written, packed, to a temporary file in
    the folder of `path`, then gathered tile by tile. Memory holds one table, one tile, and 80 bytes
    for each nucleus.

    Args:
      path: of the file.
      tables: the nuclei; taken one table at a time.
      scene: the image.

    Returns:
      How many nuclei were written.

    Raises:
      ValueError: the tables do not fit the scene.
    """
    height, width = scene.shape
    with replacing(path) as temporary, _spilled(Path(path).parent, tables, scene) as nuclei:
        resolution = (1e4 / scene.mpp,) * 2 if scene.mpp else None
        unit = "CENTIMETER" if scene.mpp else None
        if height * width <= PLAIN_PIXELS and len(nuclei.boxes) < 2**16:
            labels = nuclei.crop(0, 0, height, width).astype(np.uint16)
            tifffile.imwrite(
                temporary, labels, photometric="minisblack", resolution=resolution,
                resolutionunit=unit,
            )  # fmt: skip
        else:
            tifffile.imwrite(
                temporary, _compressed(nuclei), shape=scene.shape, dtype=np.uint32,
                bigtiff=True, tile=(TILE, TILE), compression="zlib", photometric="minisblack",
                resolution=resolution, resolutionunit=unit, metadata=None,
            )  # fmt: skip
        return len(nuclei.boxes)


def write_ome_zarr(
    path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene
) -> int:
    """Writes a label image as OME-Zarr 0.4, a folder with one resolution level, uint32.

    Chunks of 512 without nuclei are not stored. Overlaps, order and memory are as in `write_tiff`.

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
    size = scene.mpp or 1.0
    unit = {"unit": "micrometer"} if scene.mpp else {}
    scale = [{"type": "scale", "scale": [size, size]}]
    attributes: dict[str, Any] = {
        "multiscales": [
            {
                "version": "0.4",
                "name": scene.image,
                "axes": [{"name": axis, "type": "space", **unit} for axis in "yx"],
                "datasets": [{"path": "0", "coordinateTransformations": scale}],
            }
        ],
        "image-label": {"version": "0.4"},
    }
    with replacing(path) as temporary, _spilled(Path(path).parent, tables, scene) as nuclei:
        group = zarr.open_group(temporary, mode="w", zarr_format=2, attributes=attributes)
        array = group.create_array(
            "0",
            shape=scene.shape,
            chunks=(TILE, TILE),
            dtype=np.uint32,
            fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        for row, col, tile in nuclei.tiles():
            if tile is not None:
                end_row = min(row + TILE, scene.shape[0])
                end_col = min(col + TILE, scene.shape[1])
                array[row:end_row, col:end_col] = tile[: end_row - row, : end_col - col]
        return len(nuclei.boxes)


def _compressed(nuclei: "_Spilled") -> Iterator[bytes]:
    nothing = zlib.compress(bytes(4 * TILE * TILE))
    for _, _, tile in nuclei.tiles():
        yield nothing if tile is None else zlib.compress(tile.tobytes())


@contextmanager
def _spilled(folder: Path, tables: Iterable[NucleiTable], scene: Scene) -> Iterator["_Spilled"]:
    """Takes all tables, and keeps their masks in a temporary file without a name."""
    boxes, sizes = [np.zeros((0, 4), np.int64)], [np.zeros(1, np.int64)]
    with tempfile.TemporaryFile(dir=folder) as file:
        for _, table in scene.numbered(tables):
            packed = [np.packbits(mask.mask).tobytes() for mask in table.masks]
            file.write(b"".join(packed))
            sizes.append(np.array([len(bits) for bits in packed]))
            places = [(r, c, r + m.shape[0], c + m.shape[1]) for r, c, m in table.masks]
            boxes.append(np.array(places))
        yield _Spilled(scene.shape, file, np.concatenate(boxes), np.cumsum(np.concatenate(sizes)))


class _Spilled(NamedTuple):
    """Masks in a file, to be had by place.

    Attributes:
      shape: (H, W) of the image.
      file: the packed bits of the masks, one after the other.
      boxes: (N, 4) int64, half-open: row_min, col_min, row_max, col_max.
      offsets: (N + 1,) int64, where each mask begins in the file.
    """

    shape: tuple[int, int]
    file: IO[bytes]
    boxes: np.ndarray
    offsets: np.ndarray

    def tiles(self) -> Iterator[tuple[int, int, np.ndarray | None]]:
        """The tiles, row by row: (row, col, labels), None where there is no nucleus."""
        for row in range(0, self.shape[0], TILE):
            band = np.flatnonzero((self.boxes[:, 0] < row + TILE) & (self.boxes[:, 2] > row))
            for col in range(0, self.shape[1], TILE):
                left, right = self.boxes[band, 1], self.boxes[band, 3]
                inside = band[(left < col + TILE) & (right > col)]
                tile = self._painted(inside, row, col, TILE, TILE) if inside.size else None
                yield row, col, tile

    def crop(self, row: int, col: int, height: int, width: int) -> np.ndarray:
        """(height, width) uint32 labels of a part of the image."""
        return self._painted(np.arange(len(self.boxes)), row, col, height, width)

    def _painted(
        self, numbers: np.ndarray, row: int, col: int, height: int, width: int
    ) -> np.ndarray:
        labels = np.zeros((height, width), np.uint32)
        for k in numbers.tolist():
            top, left, bottom, right = self.boxes[k].tolist()
            start, stop = self.offsets[k : k + 2].tolist()
            self.file.seek(start)
            bits = np.frombuffer(self.file.read(stop - start), np.uint8)
            size = (bottom - top, right - left)
            mask = np.unpackbits(bits, count=size[0] * size[1]).view(bool).reshape(size)
            rows = slice(max(top, row), min(bottom, row + height))
            cols = slice(max(left, col), min(right, col + width))
            part = mask[rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]
            labels[rows.start - row : rows.stop - row, cols.start - col : cols.stop - col][part] = (
                k + 1
            )
        return labels
