"""ASSD of matched nuclei."""

import numpy as np

from jaxnuc.metrics.definitions._boundary import NucleusDistance
from jaxnuc.metrics.surface_distance import SurfaceDistances


class Metric(NucleusDistance):
    """The mean distance over both outlines, averaged over the nuclei."""

    title = "Boundary distance (ASSD), outlines of matched nuclei"

    def of_pairs(self, distances: SurfaceDistances) -> np.ndarray:
        return distances.average()
