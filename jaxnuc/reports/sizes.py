"""Areas of any number of nuclei in little memory, and their histogram."""

from collections.abc import Mapping

import numpy as np

from jaxnuc.reports.histogram import Histogram

# Twenty bins for each power of ten, from 0.1 to 10 million.
EDGES = 10.0 ** (np.arange(-20, 141) / 20)


class Sizes:
    """Counts of areas in bins that grow with the area, and their sum.

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
        # Rounding must not put 10 below the bin that starts at 10.
        places = np.searchsorted(EDGES, np.asarray(areas) * (1 + 1e-9), side="right") - 1
        np.add.at(self.counts, np.clip(places, 0, len(self.counts) - 1), 1)
        self._sum += float(np.sum(areas))

    @property
    def total(self) -> int:
        """Number of areas."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Their mean, NaN where there are none."""
        return self._sum / self.total if self.total else float("nan")


def histogram(sizes: Mapping[str, Sizes], unit: str) -> Histogram:
    """A histogram of areas, one at least, from the first to the last bin that is not empty."""
    used = np.flatnonzero(sum(found.counts for found in sizes.values()))
    bins = slice(int(used[0]), int(used[-1]) + 1)
    counts = {name: found.counts[bins] for name, found in sizes.items()}
    edges = EDGES[bins.start : bins.stop + 1]
    return Histogram(edges, counts, f"area, {unit}², logarithmic", "nuclei", log=True)
