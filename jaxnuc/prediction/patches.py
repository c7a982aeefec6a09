"""Patches: what the network sees at once. The maps of a tile are those of several, put together.

Near the border of a patch a network says something else than it would of the whole image, because
it sees padding there. So patches overlap, and of each only the maps of its core are kept, which
lies half of the overlap or more inside. At the image's own borders patches end where one pass over
the image would: the network sees the same padding there, and says the same. (It does so of an image
that is not turned; with other symmetries, padding is at other sides than in one pass.)
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.io import LargeImage
from jaxnuc.prediction.predictor import STRIDE
from jaxnuc.prediction.tiles import Tile

Maps = Mapping[str, np.ndarray]

# Two patches fill a side of a tile.
PATCH, OVERLAP, TILE = 1024, 128, 1792


@dataclass(frozen=True)
class Patch:
    """A square of the image, of which the network makes maps.

    Attributes:
      tile: which its maps are for.
      corner: (row, col) of its first pixel in the image.
      core: the pixels whose maps are kept, half-open: row_min, col_min, row_max, col_max in the
        image. The cores of a tile's patches partition the tile.
      last: whether it is the last one of its tile.
    """

    tile: Tile
    corner: tuple[int, int]
    core: tuple[int, int, int, int]
    last: bool


def patches(tile: Tile, shape: tuple[int, int], side: int, overlap: int) -> list[Patch]:
    """The patches of a tile, row by row.

    Args:
      tile: of the image.
      shape: (H, W) of the image.
      side: of a patch in pixels.
      overlap: of neighbouring patches; their cores end in its middle.

    Returns:
      One patch or more. They are inside of what one pass would see, the image made larger to sides
      of a multiple of 64, unless that is smaller than a patch.
    """
    rows, cols = (
        _along(tile.origin[axis], tile.box[axis], tile.box[axis + 2], shape[axis], side, overlap)
        for axis in (0, 1)
    )
    return [
        Patch(tile, (top, left), (row, col, end_row, end_col), (i, j) == (len(rows), len(cols)))
        for i, (top, row, end_row) in enumerate(rows, 1)
        for j, (left, col, end_col) in enumerate(cols, 1)
    ]


def _along(
    origin: int, start: int, stop: int, size: int, side: int, overlap: int
) -> list[tuple[int, int, int]]:
    """Along an axis: where each patch begins, and the first pixel and the end of its core."""
    found: list[tuple[int, int, int]] = []
    step, furthest = side - overlap, max(0, size + -size % STRIDE - side)
    for first in range(origin, stop, step):
        core, end = max(first, start), min(first + step, stop)
        corner = min(max(first - overlap // 2, 0), furthest)
        if found and found[-1][0] == corner:
            core = found.pop()[1]
        if core < end:
            found.append((corner, core, end))
    return found


def read(image: LargeImage, patch: Patch, side: int, margin: int = 0) -> np.ndarray:
    """The pixels of a patch, mirrored where the image ends.

    Args:
      image: of the patch.
      patch: whose pixels are read.
      side: of the patch.
      margin: of the network: by how many pixels its maps are smaller than what it sees.

    Returns:
      (side + margin, side + margin, 3) uint8, half of the margin at each end.
    """
    rows, cols = (
        _mirrored(np.arange(side + margin) + corner - margin // 2, size)
        for corner, size in zip(patch.corner, image.shape, strict=True)
    )
    top, left = rows.min(), cols.min()
    region = image.read(int(top), int(left), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
    return region[np.ix_(rows - top, cols - left)]


def _mirrored(places: np.ndarray, size: int) -> np.ndarray:
    """Places inside that look like those outside: the border pixels are repeated first."""
    places = places % (2 * size)
    return np.minimum(places, 2 * size - 1 - places)


def assemble(
    found: Iterable[tuple[Patch, Maps, tuple[Maps, ...]]], grid: int
) -> Iterator[tuple[Tile, dict[str, np.ndarray], tuple[dict[str, np.ndarray], ...]]]:
    """Puts the maps of tiles together.

    Args:
      found: all patches of one tile after those of another, each with its maps
        `{map: (h, w, C)}` and those of the members of an ensemble, where they are wanted.
      grid: pixels of the image per value of the maps, each way.

    Yields:
      The tiles, each with its maps and those of the members, where `Tile.box` begins.
    """
    tiles: list[dict[str, np.ndarray]] = []
    for patch, maps, members in found:
        everyone = (maps, *members)
        tiles = tiles or [_empty(patch.tile, each, grid) for each in everyone]
        for whole, part in zip(tiles, everyone, strict=True):
            into, out_of = _places(patch, grid)
            for name, values in part.items():
                whole[name][into] = values[out_of]
        if patch.last:
            yield patch.tile, tiles[0], tuple(tiles[1:])
            tiles = []


def _empty(tile: Tile, maps: Maps, grid: int) -> dict[str, Any]:
    top, left, bottom, right = tile.box
    shape = -(-(bottom - top) // grid), -(-(right - left) // grid)
    return {name: np.empty((*shape, m.shape[-1]), m.dtype) for name, m in maps.items()}


def _places(patch: Patch, grid: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the core of a patch lies in the maps of its tile, and in its own."""

    def cut(origin: tuple[int, ...]) -> tuple[slice, ...]:
        return tuple(
            slice((patch.core[axis] - origin[axis]) // grid,
                  -(-(patch.core[axis + 2] - origin[axis]) // grid))
            for axis in (0, 1)
        )  # fmt: skip

    return cut(patch.tile.box), cut(patch.corner)


def fitting(patch: int, overlap: int, shape: tuple[int, int]) -> int:
    """A side that wastes less on a small image: `patch`, halved while the image is in one patch.

    So images of all sizes have few shapes of patches, for each of which a network is compiled.

    Args:
      patch: side of a patch in pixels, at most.
      overlap: of neighbouring patches; a side is twice as long or more.
      shape: (H, W) of the image.

    Returns:
      The side in pixels, a multiple of 64 as `patch` is.

    Example:
      >>> fitting(1024, 128, (250, 200)), fitting(1024, 128, (513, 10)), fitting(960, 128, (99, 99))
      (256, 1024, 960)
    """
    side = patch
    while side % (2 * STRIDE) == 0 and max(*shape, 2 * overlap) <= side // 2:
        side //= 2
    return side


def check_sizes(tile: int, patch: int, overlap: int) -> None:
    """Refuses sizes at which patches would not lie on the network's own grid, or not overlap so.

    Raises:
      ValueError: names the size.
    """
    for name, size in (("patch", patch), ("tile", tile)):
        if size < STRIDE or size % STRIDE:
            raise ValueError(f"{name}={size} must be a multiple of {STRIDE}")
        if not 0 <= 2 * overlap <= size or overlap % (STRIDE // 2):
            raise ValueError(
                f"overlap={overlap} must be a multiple of {STRIDE // 2}, and at most half of "
                f"{name}={size}"
            )
