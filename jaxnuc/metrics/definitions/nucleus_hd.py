"""Hausdorff distance of matched nuclei."""

import numpy as np

from jaxnuc.metrics.definitions._boundary import NucleusDistance
from jaxnuc.metrics.surface_distance import SurfaceDistances


class Metric(NucleusDistance):
    """The greatest distance of either outline to the other, averaged over the nuclei."""

    title = "Hausdorff distance, outlines of matched nuclei"

    def of_pairs(self, distances: SurfaceDistances) -> np.ndarray:
        return distances.hausdorff()
