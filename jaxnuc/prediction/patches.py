"""Patches: rectangles of the image that the network sees at once, and the assembly of their maps.

Near the border of a patch the network sees padding, so that its maps there differ from those of the
whole image. Therefore patches overlap, and only the maps of the core of each are kept, half of the
overlap or more away from its border. At the borders of the image, patches end where one pass over
the image would, so that the network sees the same padding. (With symmetries other than the
identity, padding is at other sides than in one pass.)
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.io import LargeImage
from jaxnuc.io.large_image import WHOLE_PIXELS, squares
from jaxnuc.prediction.tiles import Tile

Maps = Mapping[str, np.ndarray]

# Sides are padded up to a multiple of this, so that images of many sizes share few compilations.
STRIDE = 64
# Two patches fill a side of a tile.
PATCH, OVERLAP, TILE = 1024, 128, 1792
STEP = 128  # between the sides of patches of small images


@dataclass(frozen=True)
class Patch:
    """A rectangle of the image that the network sees.

    Attributes:
      tile: to which its maps belong.
      corner: (row, col) of its first pixel in the image.
      core: the pixels whose maps are kept, half-open: row_min, col_min, row_max, col_max in the
        image. The cores of a tile's patches partition the tile.
      last: whether it is the last patch of its tile.
    """

    tile: Tile
    corner: tuple[int, int]
    core: tuple[int, int, int, int]
    last: bool


def patches(
    tile: Tile, shape: tuple[int, int], sides: tuple[int, int], overlap: int
) -> list[Patch]:
    """The patches of a tile, row by row: one or more.

    They lie inside the image padded to multiples of 64, which is what one pass would see, unless
    that is smaller than a patch.

    Args:
      tile: of the image.
      shape: (H, W) of the image.
      sides: (height, width) of a patch in pixels.
      overlap: of neighboring patches; their cores end in its middle.
    """
    rows, cols = (
        _along(tile.origin[axis], tile.box[axis], tile.box[axis + 2], shape[axis], side, overlap)
        for axis, side in enumerate(sides)
    )
    return [
        Patch(tile, (top, left), (row, col, end_row, end_col), (i, j) == (len(rows), len(cols)))
        for i, (top, row, end_row) in enumerate(rows, 1)
        for j, (left, col, end_col) in enumerate(cols, 1)
    ]


def _along(
    origin: int, start: int, stop: int, size: int, side: int, overlap: int
) -> list[tuple[int, int, int]]:
    """Along an axis: the start of each patch, and the first pixel and the end of its core."""
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


def read(image: LargeImage, patch: Patch, sides: tuple[int, int], margin: int = 0) -> np.ndarray:
    """The pixels of a patch, mirrored where the image ends.

    Returns:
      (height + margin, width + margin, 3) uint8, half of the network's margin at each end.
    """
    rows, cols = (
        _mirrored(np.arange(side + margin) + corner - margin // 2, size)
        for corner, size, side in zip(patch.corner, image.shape, sides, strict=True)
    )
    top, left = rows.min(), cols.min()
    region = image.read(int(top), int(left), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
    return region[np.ix_(rows - top, cols - left)]


def _mirrored(places: np.ndarray, size: int) -> np.ndarray:
    """Mirrors places outside of 0..size - 1 to the inside; border pixels come twice."""
    places = places % (2 * size)
    return np.minimum(places, 2 * size - 1 - places)


def assemble(
    found: Iterable[tuple[Patch, Maps, tuple[Maps, ...]]], grid: int
) -> Iterator[tuple[Tile, dict[str, np.ndarray], tuple[dict[str, np.ndarray], ...]]]:
    """Assembles the maps of tiles from those of their patches.

    Args:
      found: all patches of one tile after those of another, each with its maps
        `{map: (h, w, C)}` and those of the members of an average, where they are compared.
      grid: pixels of the image per value of the maps, along each axis.

    Yields:
      The tiles, each with its maps and those of the members, which start where `Tile.box` does.
    """
    tiles: list[dict[str, np.ndarray]] = []
    for patch, maps, members in found:
        everyone = (maps, *members)
        tiles = tiles or [_empty(patch.tile, each, grid) for each in everyone]
        for whole, part in zip(tiles, everyone, strict=True):
            into = _place(patch, patch.tile.box, grid)
            out_of = _place(patch, patch.corner, grid)
            for name, values in part.items():
                whole[name][into] = values[out_of]
        if patch.last:
            yield patch.tile, tiles[0], tuple(tiles[1:])
            tiles = []


def _empty(tile: Tile, maps: Maps, grid: int) -> dict[str, Any]:
    top, left, bottom, right = tile.box
    shape = -(-(bottom - top) // grid), -(-(right - left) // grid)
    return {name: np.empty((*shape, m.shape[-1]), m.dtype) for name, m in maps.items()}


def _place(patch: Patch, origin: tuple[int, ...], grid: int) -> tuple[slice, slice]:
    """The core of a patch in maps that start at a pixel of the image."""
    top, left, bottom, right = patch.core
    row, col = origin[:2]
    rows = slice((top - row) // grid, -(-(bottom - row) // grid))
    return rows, slice((left - col) // grid, -(-(right - col) // grid))


def fitting(
    patch: int, overlap: int, shape: tuple[int, int], square: bool = False
) -> tuple[int, int]:
    """Height and width of the patches of an image: `patch`, or less where the image is smaller.

    Small images are computed faster so. Sides go by steps of 128, or the network would be compiled
    for nearly every image of a folder of many sizes. A side is at least twice `overlap`.

    Args:
      patch: the longest side in pixels.
      overlap: of neighboring patches.
      shape: (H, W) of the image.
      square: both sides are to be equal, for symmetries that turn the image.

    Example:
      >>> fitting(1024, 128, (250, 300)), fitting(1024, 128, (513, 10)), fitting(960, 128, (950, 9))
      ((256, 384), (640, 256), (960, 256))
    """
    height, width = (min(patch, -(-max(n, 2 * overlap) // STEP) * STEP) for n in shape)
    return (max(height, width),) * 2 if square else (height, width)


def reference(image: LargeImage) -> np.ndarray:
    """Pixels that stand for an image in its normalization, (h, w, 3) uint8.

    They are the image itself, or of a large one squares at even distances: in a thumbnail, nuclei
    would be paler than the network has seen them in training.
    """
    height, width = image.shape
    if height * width <= WHOLE_PIXELS:
        return image.read(0, 0, height, width)
    return np.concatenate([image.read(*box) for box in squares(image.shape)])


def check_sizes(tile: int, patch: int, overlap: int) -> None:
    """Checks that patches fit the stride of the networks and overlap by no more than a half.

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
