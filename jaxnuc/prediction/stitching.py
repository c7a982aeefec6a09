"""From the nuclei of overlapping tiles to the nuclei of the image, each once and whole.

Both of two neighboring tiles see the pixels of their overlap, and their predictions there differ a
little. Two nuclei of different tiles are the same one

- if their common pixels are more than half of the smaller one;
- if both are cut, that is, reach a side of their tile that runs through the image, also if they
  agree on the pixels that both tiles see. This finds the pieces of a nucleus that is longer than
  the overlap.

Of nuclei that are the same, one is kept:

1. A cut piece is dropped where a nucleus that is whole in its tile covers more than half of it.
2. The cut pieces that are left are merged into their union where they belong together.
3. Of the rest, a merged nucleus is kept before others, then one with its centroid in the core of
   its tile, then the one whose centroid lies deepest in it. A nucleus outside of the core of its
   tile that no other tile has is dropped: the tile in whose core it lies saw it better.

Masks are kept as their tile saw them: no pixel is removed where nuclei of different tiles overlap.
Representations whose nuclei may overlap give such nuclei in one pass over the image, too; with
others, this concerns a few pixels along the border of two cores where two predictions differ.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jaxnuc.outputs.table import NucleiTable
from jaxnuc.prediction.candidates import SAME, Candidates, Links, find_links
from jaxnuc.prediction.overlaps import union
from jaxnuc.prediction.tiles import Tile, Tiling


class Row(NamedTuple):
    """A row of the grid of tiles, and the nuclei of its tiles, not yet stitched: see `gather`."""

    row: int
    nuclei: NucleiTable


def gather(found: Iterable[tuple[Tile, NucleiTable]]) -> NucleiTable:
    """The nuclei of tiles, in coordinates of the image, as one table, in the order of the tiles.

    The measurements `tile_row` and `tile_col` are the place of a tile in the grid; there are no
    others.
    """
    tables = []
    for tile, nuclei in sorted(found, key=lambda each: (each[0].row, each[0].col)):
        place = {"tile_row": tile.row, "tile_col": tile.col}
        columns = {name: np.full(len(nuclei), at, np.int32) for name, at in place.items()}
        tables.append(replace(nuclei, measurements=columns))
    return NucleiTable.concatenated(tables)


def stitch(tiling: Tiling, candidates: NucleiTable) -> NucleiTable:
    """Stitches the nuclei of the tiles of an image by the rules of this module.

    Args:
      tiling: the grid of the tiles.
      candidates: the nuclei of all tiles, from `gather`; tiles may be missing.

    Returns:
      The nuclei in the order of their tiles, without measurements. Of a merged nucleus, score,
      agreement and class probabilities are means weighted by the areas of its pieces, and the class
      is the most probable among the classes of the pieces.

    Raises:
      ValueError: the tile of a nucleus is unknown, or the nucleus leaves its tile.
      IndexError: the grid has no such tile.
    """
    return _join(tiling, candidates, None)[0]


class Stitcher:
    """Stitches row of tiles by row of tiles, with no more in memory than two rows.

    The nuclei are those of `stitch`, in another order.
    """

    def __init__(self, tiling: Tiling) -> None:
        self._tiling = tiling
        self._pending = NucleiTable.concatenated([])
        self._row = 0

    def add(self, candidates: NucleiTable) -> NucleiTable:
        """Adds the next row of tiles, from `gather`; returns nuclei that no later row can change.

        Raises:
          ValueError: a tile is of another row than the next, or as `stitch`.
        """
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
        """The remaining nuclei, after the last row."""
        final, self._pending = _join(self._tiling, self._pending, None)
        return final

    def all(self, rows: Iterable[NucleiTable]) -> Iterator[NucleiTable]:
        """The nuclei of all rows, which are added one after the other."""
        for row in rows:
            yield self.add(row)
        yield self.finish()


def _join(
    tiling: Tiling, table: NucleiTable, last_row: int | None
) -> tuple[NucleiTable, NucleiTable]:
    """Final nuclei, and the candidates that a row of tiles after `last_row` may still change."""
    if not len(table):
        return replace(table, measurements={}), table
    candidates = Candidates.of(tiling, table)
    links = find_links(candidates)
    groups = _groups(candidates, links)
    if last_row is None:
        return _merged(table, candidates.areas, groups), table.take([])
    # A later row can change only candidates that reach into it, and those linked to them.
    of_last = table.measurements["tile_row"] == last_row
    below = candidates.tile_boxes[:, 2] - candidates.shared[:, 2]
    touched = of_last & (candidates.shared[:, 2] > 0) & (candidates.boxes[:, 2] > below)
    linked = _components(len(table), links.pairs)
    waits = np.isin(linked, linked[touched])
    final = [group for group in groups if not waits[group[0]]]
    return _merged(table, candidates.areas, final), table.take(waits)


def _groups(candidates: Candidates, links: Links) -> list[np.ndarray]:
    """The numbers of the candidates that form each nucleus, by the rules of this module."""
    n = len(candidates.masks)
    first, second = links.pairs.T
    # Rule 1: cut pieces of nuclei that are whole in another tile.
    dropped, keepers = np.zeros(n, bool), list[int]()
    for a, b in [(first, second), (second, first)]:
        covered = links.common > SAME * candidates.areas[a]
        hidden = covered & candidates.cut[a] & ~candidates.cut[b]
        dropped[a[hidden]] = True
        keepers.extend(b[hidden].tolist())

    # Rule 2: pieces that belong together.
    both = ~dropped[first] & ~dropped[second]
    group = _components(n, links.pairs[links.pieces & both])
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    merged = np.array([len(pieces) > 1 for pieces in members])
    owned = np.zeros(len(members), bool)
    owned[group] = candidates.owned
    for g in np.flatnonzero(merged):
        owned[g] = candidates.mostly_in_cores(members[g])
    # A nucleus is known to another tile by a link to a piece of it, which must not have been
    # dropped for something else. A cut piece that fits no other is a fragment.
    known = np.zeros(len(members), bool)
    apart = group[first] != group[second]
    known[group[links.pairs[both & apart]]] = True
    known[group[keepers]] = True
    known[group[candidates.cut]] &= merged[group[candidates.cut]]
    alive = (owned | known) & ~np.array([dropped[pieces[0]] for pieces in members])

    # Rule 3: the best of each set of rivals. A sliver that was merged into a nucleus does not make
    # it a rival of the nucleus to which the sliver belongs.
    rivals: dict[int, set[int]] = {}
    largest = np.zeros(len(members), np.int64)
    np.maximum.at(largest, group, candidates.areas)
    same = links.common > SAME * largest[group[links.pairs]].min(axis=1)
    for a, b in group[links.pairs[both & apart & same]].tolist():
        rivals.setdefault(a, set()).add(b)
        rivals.setdefault(b, set()).add(a)
    order = np.lexsort((-candidates.depths, ~owned[group], ~(merged & owned)[group]))
    for g in group[order].tolist():
        if alive[g] and g in rivals:
            alive[list(rivals.pop(g))] = False
    return sorted((members[g] for g in np.flatnonzero(alive)), key=lambda pieces: int(pieces[0]))


def _merged(table: NucleiTable, areas: np.ndarray, groups: Sequence[np.ndarray]) -> NucleiTable:
    """One nucleus for each group of pieces."""
    nuclei = replace(table, measurements={}).take([int(group[0]) for group in groups])
    masks, scores, agreement = list(nuclei.masks), nuclei.scores, nuclei.agreement  # copies
    classes, probabilities = nuclei.classes, nuclei.class_probabilities
    for k, group in enumerate(groups):
        if len(group) == 1:
            continue
        weights = areas[group]
        masks[k] = union([table.masks[i] for i in group])
        scores[k] = np.average(table.scores[group], weights=weights)
        if agreement is not None and table.agreement is not None:
            agreement[k] = np.average(table.agreement[group], weights=weights)
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
