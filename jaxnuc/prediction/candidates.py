"""The nuclei of overlapping tiles, and which of them are the same; see `stitching`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask
from jaxnuc.prediction.overlaps import boxes_of, common_pixels, overlapping, union, within
from jaxnuc.prediction.tiles import Tiling

# A nucleus within this many pixels of a side counts as cut: decoders may leave out the last pixel.
_REACH = 2
SAME = 0.5  # common pixels of the same nucleus: more than this share of the smaller one
_SAME_PIECE = 1 / 3  # intersection over union of two cut pieces on the pixels that both tiles see


@dataclass(frozen=True)
class Candidates:
    """Masks and places of N candidates. Boxes are half-open: row_min, col_min, row_max, col_max.

    Attributes:
      masks: in pixels of the image.
      tiles: (N,) number of the tile in the grid, in raster order.
      boxes: (N, 4) of the masks.
      tile_boxes, cores: (N, 4) of the tiles.
      shared: (N, 4) pixels from each side of the tile's box that a neighbor also sees, or 0.
      areas: (N,) pixels.
      cut: (N,) whether it reaches a side of its tile that runs through the image.
      owned: (N,) whether its centroid lies in the core of its tile.
      depths: (N,) how far from the core's nearest side to a neighbor, negative outside.
    """

    masks: tuple[Mask, ...]
    tiles: np.ndarray
    boxes: np.ndarray
    tile_boxes: np.ndarray
    cores: np.ndarray
    shared: np.ndarray
    areas: np.ndarray
    cut: np.ndarray
    owned: np.ndarray
    depths: np.ndarray

    @staticmethod
    def of(tiling: Tiling, table: NucleiTable) -> "Candidates":
        """The candidates of a table from `gather`, one or more.

        Raises:
          ValueError: the tile of a nucleus is unknown, or the nucleus leaves its tile.
          IndexError: the grid has no such tile.
        """
        missing = {"tile_row", "tile_col"} - table.measurements.keys()
        if missing:
            raise ValueError(f"the nuclei have no {' and '.join(sorted(missing))}; use gather")
        places = np.stack([table.measurements["tile_row"], table.measurements["tile_col"]], axis=1)
        unique, which = np.unique(places, axis=0, return_inverse=True)
        grid = [tiling.at(row, col) for row, col in unique.tolist()]
        tile_boxes, cores, edges = (
            np.array([getattr(tile, name) for tile in grid])[which]
            for name in ("box", "core", "edges")
        )
        boxes = boxes_of(table.masks)
        insets = _insets(boxes, tile_boxes)
        if (insets < 0).any():
            i = int(np.argmax((insets < 0).any(axis=1)))
            raise ValueError(
                f"a nucleus in {tuple(boxes[i].tolist())} leaves its tile in "
                f"{tuple(tile_boxes[i].tolist())}; move it into coordinates of the image"
            )
        shared = edges * tiling.overlap
        areas, centroids = _measured(table.masks)
        from_sides = _insets(np.tile(centroids + 0.5, 2), cores)
        from_sides[~edges] = np.inf
        owned = np.all(from_sides[:, :2] >= 0, axis=1) & np.all(from_sides[:, 2:] > 0, axis=1)
        return Candidates(
            table.masks,
            places[:, 0] * tiling.grid[1] + places[:, 1],
            boxes,
            tile_boxes,
            cores,
            shared,
            areas,
            np.any(edges & (insets < _REACH), axis=1),
            owned,
            from_sides.min(axis=1),
        )

    def mostly_in_cores(self, pieces: np.ndarray) -> bool:
        """Whether more than half of a merged nucleus is what tiles see in their own cores."""
        in_cores = sum(within(self.masks[i], self.cores[i]) for i in pieces)
        whole = union([self.masks[i] for i in pieces])
        return 2 * in_cores > int(whole.mask.sum())

    def pairs(self) -> np.ndarray:
        """(P, 2) ascending numbers of candidates of different tiles whose boxes overlap."""
        insets = _insets(self.boxes, self.tile_boxes)
        seen_twice = np.flatnonzero((insets < self.shared).any(axis=1))
        boxes = self.boxes[seen_twice]
        pairs = seen_twice[overlapping(boxes, boxes)]
        a, b = pairs.T
        return pairs[(a < b) & (self.tiles[a] != self.tiles[b])]


@dataclass(frozen=True)
class Links:
    """Pairs of candidates that are the same nucleus.

    Attributes:
      pairs: (P, 2) numbers.
      common: (P,) pixels of both.
      pieces: (P,) whether both are cut and agree on what both tiles see.
    """

    pairs: np.ndarray
    common: np.ndarray
    pieces: np.ndarray


def find_links(candidates: Candidates) -> Links:
    """Finds the pairs of candidates that are the same nucleus."""
    pairs = candidates.pairs()
    common = np.zeros(len(pairs), np.int64)
    # Of cut pairs: the pixels of either mask within the part of the image that both tiles see.
    in_either = np.full(len(pairs), np.inf)
    for k, (a, b) in enumerate(pairs.tolist()):
        one, other = candidates.masks[a], candidates.masks[b]
        common[k] = common_pixels(one, other)
        if common[k] and candidates.cut[a] and candidates.cut[b]:
            seen = within(one, candidates.tile_boxes[b]) + within(other, candidates.tile_boxes[a])
            in_either[k] = seen - common[k]
    covered = common > SAME * candidates.areas[pairs].min(axis=1)
    pieces = common > _SAME_PIECE * in_either
    same = covered | pieces
    return Links(pairs[same], common[same], pieces[same])


def _insets(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """(N, 4) distances of the sides of inner boxes from those of outer boxes."""
    return np.concatenate([inner[:, :2] - outer[:, :2], outer[:, 2:] - inner[:, 2:]], axis=1)


def _measured(masks: Sequence[Mask]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) areas and (N, 2) centroids of masks."""
    areas, centroids = np.zeros(len(masks), np.int64), np.zeros((len(masks), 2))
    for i, (row, col, mask) in enumerate(masks):
        by_row, by_col = mask.sum(axis=1), mask.sum(axis=0)
        areas[i] = area = by_row.sum()
        centroids[i] = (
            row + by_row @ np.arange(len(by_row)) / area,
            col + by_col @ np.arange(len(by_col)) / area,
        )
    return areas, centroids
