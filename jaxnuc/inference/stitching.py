"""From the nuclei of overlapping tiles to the nuclei of the image: each once, and whole.

Neighbouring tiles see the pixels of their overlap both, and their predictions there differ a
little. Nuclei of different tiles are taken for the same one

- where their common pixels are more than half of the smaller one;
- where both are cut, that is, reach a side of their tile that runs through the image, also where
  they agree on the pixels that both tiles see. So the pieces of a nucleus that is longer than the
  overlap are found.

Of what is the same nucleus, one is kept:

1. A cut piece is dropped where a nucleus that is whole in its tile covers more than half of it.
2. The cut pieces that are left are merged into their union where they belong together.
3. Of the rest, a merged nucleus is kept before others, then one with its centroid in the core of
   its tile, then the one whose centroid lies deepest in it. A nucleus that is outside of the core
   of its tile, and known to no other, is dropped: the tile in whose core it lies saw it better.

The masks that are kept are as the tile saw them: where different nuclei overlap across tiles, no
pixel is taken away. In one pass over the image, nuclei of a representation in which they may
overlap do so as well, and others differ in the few pixels along the border of two cores that two
predictions dispute, about which neither is more right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jaxnuc.inference.tiles import Tile, Tiling
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask

# A nucleus is cut where it comes as near to a side as this: decoders may leave out the last pixel.
_REACH = 2
_SAME = 0.5  # of the smaller one's pixels, at least
_SAME_PIECE = 1 / 3  # intersection over union of two cut pieces on the pixels that both tiles see


def gather(found: Iterable[tuple[Tile, NucleiTable]]) -> NucleiTable:
    """The nuclei of several tiles as one table, to be kept until they are stitched.

    Args:
      found: tiles and all nuclei of each, in coordinates of the whole image.

    Returns:
      The nuclei in the order of their tiles, whatever the order of `found`. The measurements
      `tile_row` and `tile_col` say which tile a nucleus comes from; there are no others.
    """
    by_tile = sorted(found, key=lambda each: (each[0].row, each[0].col))
    return NucleiTable.concatenated(
        [
            replace(
                nuclei,
                measurements={
                    "tile_row": np.full(len(nuclei), tile.row, np.int32),
                    "tile_col": np.full(len(nuclei), tile.col, np.int32),
                },
            )
            for tile, nuclei in by_tile
        ]
    )


def stitch(tiling: Tiling, candidates: NucleiTable) -> NucleiTable:
    """Makes the nuclei of an image of those of its tiles, by the rules of this module.

    Args:
      tiling: the grid of the tiles.
      candidates: the nuclei of all tiles, from `gather`; tiles may be missing.

    Returns:
      The nuclei in the order of their tiles, without measurements. Of a merged nucleus, scores and
      class probabilities are means weighted by the areas of its pieces, and the class is the most
      probable among the classes of the pieces.

    Raises:
      ValueError: the tile of a nucleus is not known, or the nucleus leaves it.
      IndexError: the grid has no such tile.
    """
    return _join(tiling, candidates, None)[0]


class Stitcher:
    """Stitches row of tiles by row of tiles, with no more in memory than two rows.

    The nuclei are those of `stitch`, in another order. The state is what waits for the next row, so
    that a stream over rows kept on disk can be begun again at any time.
    """

    def __init__(self, tiling: Tiling) -> None:
        self._tiling = tiling
        self._pending = NucleiTable.concatenated([])
        self._row = 0

    def add_row(self, found: Iterable[tuple[Tile, NucleiTable]]) -> NucleiTable:
        """Takes the next row of tiles, in any order; tiles without nuclei may be left out.

        Returns:
          The nuclei that no later row can change.

        Raises:
          ValueError: a tile is of another row than the next, or as `stitch`.
        """
        return self.add(gather(found))

    def add(self, candidates: NucleiTable) -> NucleiTable:
        """As `add_row`, from the table that `gather` made of the row."""
        rows = np.unique(candidates.measurements.get("tile_row", ()))
        if len(rows) and (len(rows) > 1 or rows[0] != self._row):
            raise ValueError(
                f"expected nuclei of the row of tiles {self._row}, got rows {rows.tolist()}; add "
                "every row once, from the top, also those without nuclei"
            )
        everything = NucleiTable.concatenated([self._pending, candidates])
        final, self._pending = _join(self._tiling, everything, self._row)
        self._row += 1
        return final

    def finish(self) -> NucleiTable:
        """The nuclei that were waiting for a row that does not come."""
        final, self._pending = _join(self._tiling, self._pending, None)
        return final


@dataclass(frozen=True)
class _Candidates:
    """What is known of N candidates. Boxes are half-open: row_min, col_min, row_max, col_max.

    Attributes:
      tiles: (N,) number of the tile in the grid, in raster order.
      boxes: (N, 4) of the masks.
      tile_boxes, cores: (N, 4) of the tiles.
      shared: (N, 4) pixels from each side of the tile's box that a neighbour also sees, or 0.
      areas: (N,) pixels.
      cut: (N,) whether it reaches a side of its tile that runs through the image.
      owned: (N,) whether its centroid lies in the core of its tile.
      depths: (N,) how far from the core's nearest side to a neighbour, negative outside.
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
    def of(tiling: Tiling, table: NucleiTable) -> "_Candidates":
        missing = {"tile_row", "tile_col"} - table.measurements.keys()
        if missing:
            raise ValueError(f"no {' and '.join(sorted(missing))} of the nuclei; use gather")
        places = np.stack([table.measurements["tile_row"], table.measurements["tile_col"]], axis=1)
        unique, which = np.unique(places, axis=0, return_inverse=True)
        grid = [tiling.at(row, col) for row, col in unique.tolist()]
        tile_boxes, cores, edges = (
            np.array(values)[which]
            for values in (
                [tile.box for tile in grid],
                [tile.core for tile in grid],
                [tile.edges for tile in grid],
            )
        )
        boxes = np.array([(m.row, m.col, *np.add(m[:2], m.mask.shape)) for m in table.masks])
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
        return _Candidates(
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
        responsible = sum(_within(self.masks[i], self.cores[i]) for i in pieces)
        union = _union([self.masks[i] for i in pieces])
        return 2 * responsible > int(union.mask.sum())

    def pairs(self) -> np.ndarray:
        """(P, 2) ascending numbers of candidates of different tiles whose boxes overlap."""
        seen_twice = np.flatnonzero(
            (_insets(self.boxes, self.tile_boxes) < self.shared).any(axis=1)
        )
        rows_cols = self.boxes[seen_twice].T
        boxes = shapely.box(rows_cols[1], rows_cols[0], rows_cols[3], rows_cols[2])
        a, b = seen_twice[shapely.STRtree(boxes).query(boxes)]
        first = np.maximum(self.boxes[a, :2], self.boxes[b, :2])
        stop = np.minimum(self.boxes[a, 2:], self.boxes[b, 2:])
        found = (a < b) & (self.tiles[a] != self.tiles[b]) & (first < stop).all(axis=1)
        order = np.lexsort((b[found], a[found]))
        return np.stack([a[found][order], b[found][order]], axis=1)


@dataclass(frozen=True)
class _Links:
    """Pairs of candidates that are the same nucleus.

    Attributes:
      pairs: (P, 2) numbers.
      common: (P,) pixels of both.
      pieces: (P,) whether both are cut and agree on what both tiles see.
    """

    pairs: np.ndarray
    common: np.ndarray
    pieces: np.ndarray


def _links(candidates: _Candidates) -> _Links:
    pairs = candidates.pairs()
    common = np.zeros(len(pairs), np.int64)
    seen_by_one = np.full(len(pairs), np.inf)  # pixels that both tiles see, in either mask
    for k, (a, b) in enumerate(pairs.tolist()):
        one, other = candidates.masks[a], candidates.masks[b]
        common[k] = _common(one, other)
        if common[k] and candidates.cut[a] and candidates.cut[b]:
            seen = _within(one, candidates.tile_boxes[b]) + _within(other, candidates.tile_boxes[a])
            seen_by_one[k] = seen - common[k]
    covered = common > _SAME * candidates.areas[pairs].min(axis=1)
    pieces = common > _SAME_PIECE * seen_by_one
    same = covered | pieces
    return _Links(pairs[same], common[same], pieces[same])


def _join(
    tiling: Tiling, table: NucleiTable, last_row: int | None
) -> tuple[NucleiTable, NucleiTable]:
    """Resolves candidates; those that a row of tiles after `last_row` may change come second."""
    if not len(table):
        return replace(table, measurements={}), table
    candidates = _Candidates.of(tiling, table)
    links = _links(candidates)
    groups = _resolved(candidates, links)
    if last_row is None:
        return _merged(table, candidates.areas, groups), table.take([])
    # Links alone carry influence from one candidate to another.
    of_last = table.measurements["tile_row"] == last_row
    below = candidates.tile_boxes[:, 2] - candidates.shared[:, 2]
    touched = of_last & (candidates.shared[:, 2] > 0) & (candidates.boxes[:, 2] > below)
    linked = _components(len(table), links.pairs)
    waits = np.isin(linked, linked[touched])
    final = [group for group in groups if not waits[group[0]]]
    return _merged(table, candidates.areas, final), table.take(waits)


def _resolved(candidates: _Candidates, links: _Links) -> list[np.ndarray]:
    """The numbers of the candidates that make each nucleus, by the rules of this module."""
    n = len(candidates.masks)
    first, second = links.pairs.T
    dropped, keepers = np.zeros(n, bool), list[int]()
    for a, b in [(first, second), (second, first)]:
        covered = links.common > _SAME * candidates.areas[a]
        hidden = covered & candidates.cut[a] & ~candidates.cut[b]
        dropped[a[hidden]] = True
        keepers.extend(b[hidden].tolist())

    both = ~dropped[first] & ~dropped[second]
    group = _components(n, links.pairs[links.pieces & both])
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    merged = np.array([len(pieces) > 1 for pieces in members])
    owned = np.zeros(len(members), bool)
    owned[group] = candidates.owned
    for g in np.flatnonzero(merged):
        owned[g] = candidates.mostly_in_cores(members[g])
    # A link to a piece that was dropped says nothing, unless it was dropped for it; and a cut
    # piece that fits no other is a fragment.
    known = np.zeros(len(members), bool)
    apart = group[first] != group[second]
    known[group[links.pairs[both & apart]]] = True
    known[group[keepers]] = True
    known[group[candidates.cut]] &= merged[group[candidates.cut]]
    alive = (owned | known) & ~np.array([dropped[pieces[0]] for pieces in members])

    rivals: dict[int, set[int]] = {}
    # A sliver that has come to the wrong nucleus makes it no rival of the right one.
    largest = np.zeros(len(members), np.int64)
    np.maximum.at(largest, group, candidates.areas)
    same = links.common > _SAME * largest[group[links.pairs]].min(axis=1)
    for a, b in group[links.pairs[both & apart & same]].tolist():
        rivals.setdefault(a, set()).add(b)
        rivals.setdefault(b, set()).add(a)
    order = np.lexsort((-candidates.depths, ~owned[group], ~(merged & owned)[group]))
    for g in group[order].tolist():
        if alive[g] and g in rivals:
            alive[list(rivals.pop(g))] = False
    return sorted((members[g] for g in np.flatnonzero(alive)), key=lambda pieces: int(pieces[0]))


def _merged(table: NucleiTable, areas: np.ndarray, groups: Sequence[np.ndarray]) -> NucleiTable:
    """One row for each group of pieces."""
    nuclei = replace(table, measurements={}).take([int(group[0]) for group in groups])
    masks, scores = list(nuclei.masks), nuclei.scores  # `take` copies
    classes, probabilities = nuclei.classes, nuclei.class_probabilities
    for k, group in enumerate(groups):
        if len(group) == 1:
            continue
        weights = areas[group]
        masks[k] = _union([table.masks[i] for i in group])
        scores[k] = np.average(table.scores[group], weights=weights)
        if probabilities is not None and table.class_probabilities is not None:
            probabilities[k] = weights @ table.class_probabilities[group] / weights.sum()
        if classes is not None and table.classes is not None:
            among, which = np.unique(table.classes[group], return_inverse=True)
            votes = (
                np.bincount(which, weights) if probabilities is None else probabilities[k, among]
            )
            classes[k] = among[np.argmax(votes)]
    return replace(nuclei, masks=tuple(masks))


def _components(n: int, pairs: np.ndarray) -> np.ndarray:
    """(N,) number of the connected component of each of n nodes."""
    ones = np.ones(len(pairs), np.int8)
    return connected_components(coo_array((ones, tuple(pairs.T)), shape=(n, n)), directed=False)[1]


def _insets(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """(N, 4) how far inside the sides of outer boxes those of inner boxes lie."""
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


def _common(one: Mask, other: Mask) -> int:
    """Number of pixels in both masks, whose boxes overlap."""
    row, col = max(one.row, other.row), max(one.col, other.col)
    a = one.mask[row - one.row :, col - one.col :]
    b = other.mask[row - other.row :, col - other.col :]
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    return int(np.count_nonzero(a[:height, :width] & b[:height, :width]))


def _within(one: Mask, box: np.ndarray) -> int:
    """Number of pixels of a mask in a box."""
    top, left, bottom, right = box.tolist()
    rows = slice(max(0, top - one.row), max(0, bottom - one.row))
    cols = slice(max(0, left - one.col), max(0, right - one.col))
    return int(np.count_nonzero(one.mask[rows, cols]))


def _union(masks: Sequence[Mask]) -> Mask:
    top, left = min(m.row for m in masks), min(m.col for m in masks)
    bottom = max(m.row + m.mask.shape[0] for m in masks)
    right = max(m.col + m.mask.shape[1] for m in masks)
    union = np.zeros((bottom - top, right - left), bool)
    for row, col, mask in masks:
        union[row - top : row - top + mask.shape[0], col - left : col - left + mask.shape[1]] |= (
            mask
        )
    return Mask(top, left, union)
