"""Normalized surface Dice (NSD) of matched nuclei."""

from dataclasses import dataclass

import numpy as np

from jaxnuc.metrics.definitions._boundary import NucleusDistance
from jaxnuc.metrics.surface_distance import SurfaceDistances


@dataclass(frozen=True)
class Metric(NucleusDistance):
    """The share of both outlines within a tolerance of the other, averaged over the nuclei.

    Attributes:
      tolerance: in pixels, or in micrometers where the conventions say `mpp`.

    References:
      Nikolov et al., Deep learning to achieve clinically applicable segmentation of head and neck
      anatomy for radiotherapy, 2018.
    """

    tolerance: float = 1.0

    unit = ""
    higher_is_better = True
    best, worst = 1.0, 0.0

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the tolerance, so that several can be computed."""
        return f"nucleus_nsd_{self.tolerance:g}"

    @property
    def title(self) -> str:  # type: ignore[override]
        """With the tolerance."""
        return f"NSD within {self.tolerance:g}, outlines of matched nuclei"

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ValueError(f"nucleus_nsd: tolerance is {self.tolerance}; it must be 0 or more")

    def of_pairs(self, distances: SurfaceDistances) -> np.ndarray:
        return distances.surface_dice(self.tolerance)
