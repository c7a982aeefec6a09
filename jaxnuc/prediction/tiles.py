"""An image of any size as a grid of overlapping tiles, all of one shape."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One tile of a `Tiling`. Boxes are half-open: row_min, col_min, row_max, col_max.

    Attributes:
      row: of the grid.
      col: of the grid.
      box: its part inside the image, in pixels of the image.
      core: the pixels for which this tile is responsible; the cores partition the image.
      origin: (row, col) of its first pixel, which may be outside of the image.
      edges: whether its sides (top, left, bottom, right) run through the image, so that they may
        cut a nucleus.
    """

    row: int
    col: int
    box: tuple[int, int, int, int]
    core: tuple[int, int, int, int]
    origin: tuple[int, int]
    edges: tuple[bool, bool, bool, bool]


@dataclass(frozen=True)
class Tiling:
    """A grid of square tiles of one shape, neighbors overlapping.

    Tile (i, j) starts at (i, j) * (tile - overlap) - offset: with a `tile` and an `overlap` that
    are multiples of a network's stride, the tiles lie on the grid of one pass over the image. The
    border between the cores of neighbors runs through the middle of their overlap.

    Attributes:
      shape: (H, W) of the image.
      tile: side of a tile in pixels.
      overlap: pixels that neighbors share; at most half of a tile, so that three tiles in a line
        have no pixel in common.
      offset: (rows, cols) by which the grid is moved up and left, each below `tile - overlap`.

    Raises:
      ValueError: the image is empty, or a size is out of its range.

    Example:
      >>> tiling = Tiling((300, 500), tile=256, overlap=64)
      >>> tiling.grid, tiling.at(1, 0).box, tiling.at(1, 0).core
      ((2, 3), (192, 0, 300, 256), (224, 0, 300, 224))
      >>> tiling.at(1, 0).origin, tiling.at(1, 0).edges
      ((192, 0), (True, False, False, True))
    """

    shape: tuple[int, int]
    tile: int
    overlap: int
    offset: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ValueError(f"an image of {self.shape} has no pixels to tile")
        if self.tile < 1:
            raise ValueError(f"tile is {self.tile}; a tile has a side of 1 pixel or more")
        if not 0 <= 2 * self.overlap <= self.tile:
            raise ValueError(
                f"overlap is {self.overlap} and tile {self.tile}; the overlap must lie between 0 "
                f"and half of a tile, {self.tile // 2}"
            )
        if not all(0 <= offset < self.step for offset in self.offset):
            raise ValueError(
                f"offset is {self.offset}; each must lie between 0 and {self.step - 1}, the step "
                "of the grid less 1"
            )

    @property
    def step(self) -> int:
        """Pixels from one tile to the next."""
        return self.tile - self.overlap

    @property
    def grid(self) -> tuple[int, int]:
        """Numbers of rows and columns of tiles."""
        return self._count(0), self._count(1)

    def at(self, row: int, col: int) -> Tile:
        """The tile of a row and a column of the grid.

        Raises:
          IndexError: the grid has no such tile.
        """
        rows, cols = self.grid
        if not (0 <= row < rows and 0 <= col < cols):
            raise IndexError(f"there is no tile {(row, col)} in a grid of {rows} x {cols}")
        start_row, top, core_top, core_bottom, bottom = self._span(0, row)
        start_col, left, core_left, core_right, right = self._span(1, col)
        return Tile(
            row,
            col,
            (top, left, bottom, right),
            (core_top, core_left, core_bottom, core_right),
            (start_row, start_col),
            (row > 0, col > 0, row < rows - 1, col < cols - 1),
        )

    def row(self, row: int) -> list[Tile]:
        """The tiles of one row of the grid, from left to right."""
        return [self.at(row, col) for col in range(self.grid[1])]

    def shard(self, index: int, count: int) -> range:
        """The rows of tiles that process `index` of `count`, counted from 1, does.

        The ranges of all processes follow on each other, and their sizes differ by one at most;
        some are empty where there are more processes than rows.

        Raises:
          ValueError: `index` is not between 1 and `count`.
        """
        _check_shard(index, count)
        rows = self.grid[0]
        return range((index - 1) * rows // count, index * rows // count)

    def _count(self, axis: int) -> int:
        # The first tile, and one more for each step by which the image extends beyond it.
        beyond_first = self.shape[axis] + self.offset[axis] - self.tile
        return 1 + max(0, -(-beyond_first // self.step))

    def _span(self, axis: int, i: int) -> tuple[int, int, int, int, int]:
        """Along an axis: origin, first pixel, first and end of core, end."""
        size, last = self.shape[axis], self._count(axis) - 1
        start, middle = i * self.step - self.offset[axis], self.overlap // 2
        # The cores of neighbors meet in the middle of their overlap.
        core_first = start + middle if i > 0 else 0
        core_end = start + self.step + middle if i < last else size
        return start, max(start, 0), core_first, core_end, min(start + self.tile, size)


def parse_shard(text: str) -> tuple[int, int]:
    """`"i/n"`, process i of n, counted from 1, as `Tiling.shard` takes it.

    Raises:
      ValueError: it is not of this form, or i is not between 1 and n.

    Example:
      >>> parse_shard("2/8")
      (2, 8)
    """
    if not re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}", text):
        raise ValueError(f"shard is {text!r}; write it as i/n, such as 2/8 for the second of eight")
    index, count = map(int, text.split("/"))
    _check_shard(index, count)
    return index, count


def _check_shard(index: int, count: int) -> None:
    if not 1 <= index <= count:
        raise ValueError(
            f"shard is {index}/{count}; the first of i/n must lie between 1 and the second"
        )
