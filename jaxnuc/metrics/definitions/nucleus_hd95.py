"""HD95 of matched nuclei."""

import numpy as np

from jaxnuc.metrics.definitions._boundary import NucleusDistance
from jaxnuc.metrics.surface_distance import SurfaceDistances


class Metric(NucleusDistance):
    """The larger of both directed 95th percentiles, averaged over the nuclei."""

    title = "HD95, outlines of matched nuclei"

    def of_pairs(self, distances: SurfaceDistances) -> np.ndarray:
        return distances.hausdorff(95)
