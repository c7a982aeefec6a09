"""The areas of any number of nuclei in little memory, and their histogram."""

from collections.abc import Mapping

import numpy as np

from jaxnuc.reports import charts
from jaxnuc.reports.page import Html

# Twenty bins for each power of ten, from 0.1 to 10 million.
EDGES = 10.0 ** (np.arange(-20, 141) / 20)


class Sizes:
    """Counts of areas in bins that grow with the area, and what the bins do not tell.

    >>> sizes = Sizes()
    >>> sizes.add(np.array([20, 30, 40]))
    >>> sizes.total, sizes.mean
    (3, 30.0)
    """

    def __init__(self) -> None:
        self.counts = np.zeros(len(EDGES) - 1, np.int64)
        self._sum = 0.0

    def add(self, areas: np.ndarray) -> None:
        """Counts areas (n,), in any unit."""
        # A hair is added so that 10 falls into the bin that begins at 10.
        places = np.searchsorted(EDGES, np.asarray(areas) * (1 + 1e-9), side="right") - 1
        np.add.at(self.counts, np.clip(places, 0, len(self.counts) - 1), 1)
        self._sum += float(np.sum(areas))

    @property
    def total(self) -> int:
        """How many were counted."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Their mean, NaN where there are none."""
        return self._sum / self.total if self.total else float("nan")


def histogram(sizes: Mapping[str, Sizes], unit: str) -> Html:
    """A histogram of areas by name, from the first to the last bin with anything in it.

    Args:
      sizes: with one area at least.
      unit: of length.
    """
    used = np.flatnonzero(sum(found.counts for found in sizes.values()))
    bins = slice(int(used[0]), int(used[-1]) + 1)
    counts = {name: found.counts[bins] for name, found in sizes.items()}
    edges = EDGES[bins.start : bins.stop + 1]
    return charts.histogram(edges, counts, f"area, {unit}², logarithmic", "nuclei", log=True)
