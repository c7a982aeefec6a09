"""The best one-to-one assignment among few pairs of many things."""

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

_BATCH = 500  # pairs that are solved at a time, unless one group has more


def assign(
    rows: np.ndarray, columns: np.ndarray, worth: np.ndarray, counted: np.ndarray | None = None
) -> np.ndarray:
    """Chooses pairs so that none shares a row or a column and their total worth is greatest.

    A sparse Hungarian method. Pairs that compete form many small groups in images of nuclei, and
    only some groups are solved at a time, as its time grows with the square of the size.

    Args:
      rows: (N,) non-negative integers, what each pair has on one side.
      columns: (N,) the same of the other side.
      worth: (N,) float, at least 0.
      counted: (N,) bool: as many as possible of these pairs come first, and worth second; None:
        worth alone decides.

    Returns:
      (M,) int64 indices of the chosen pairs, ascending. Where several choices are worth the same,
      the one taken depends on the order of the pairs.
    """
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    contested = np.flatnonzero(~alone)
    if not contested.size:
        return np.arange(len(rows))
    if counted is None:
        counted = np.zeros(len(rows), bool)
    n_rows, n_columns = int(rows.max()) + 1, int(columns.max()) + 1
    edges = np.ones(len(contested), bool)
    graph = coo_array(
        (edges, (rows[contested], n_rows + columns[contested])), shape=(n_rows + n_columns,) * 2
    )
    group = connected_components(graph, directed=False)[1][rows[contested]]
    order = np.argsort(group, kind="stable")
    contested, group = contested[order], group[order]
    first = np.flatnonzero(np.diff(group, prepend=-1))
    cuts = first[np.flatnonzero(np.diff(first // _BATCH)) + 1]
    chosen = [np.flatnonzero(alone)]
    for pairs in np.split(contested, cuts):
        best = _solved(rows[pairs], columns[pairs], worth[pairs], counted[pairs])
        chosen.append(pairs[best])
    return np.sort(np.concatenate(chosen))


def _solved(
    rows: np.ndarray, columns: np.ndarray, worth: np.ndarray, counted: np.ndarray
) -> np.ndarray:
    """(N,) bool."""
    rows, columns = (np.unique(side, return_inverse=True)[1] for side in (rows, columns))
    n_rows, n_columns = rows.max() + 1, columns.max() + 1
    # One more pair that counts is worth more than all others together.
    worth = worth + counted * (1 + worth.max() * min(n_rows, n_columns))
    # Each row also gets a column of its own that is worth nothing, so that a full matching exists.
    # Costs are counted from above 0 because a stored 0 is no edge; as every row is matched once,
    # the constant changes nothing.
    nothing = worth.max() + 1
    own = np.arange(n_rows)
    costs = csr_array(
        (
            np.concatenate([nothing - worth, np.full(n_rows, nothing)]),
            (np.concatenate([rows, own]), np.concatenate([columns, n_columns + own])),
        ),
        shape=(n_rows, n_columns + n_rows),
    )
    return min_weight_full_bipartite_matching(costs)[1][rows] == columns
