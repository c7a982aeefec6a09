"""Distances between outlines, in pixels or, where the conventions say `mpp`, in micrometers."""

import math
from typing import Any, ClassVar

import numpy as np

from jaxnuc.metrics.base import Counts, Metric, ratio
from jaxnuc.metrics.boundary import BoundaryScores, boundary_scores, matched_distances
from jaxnuc.metrics.pair import ImagePair, Maps, present
from jaxnuc.metrics.surface_distance import SurfaceDistances


class ForegroundDistance(Metric):
    """A distance between the outlines of the two foregrounds; NaN where one of them is empty."""

    unit = "length"
    higher_is_better = False
    best, worst = 0.0, math.nan
    needs = ("maps",)
    field: ClassVar[str]  # of `BoundaryScores`

    def value(self, image: ImagePair) -> float:
        distance = getattr(image.once(_foreground), self.field)
        return distance if math.isfinite(distance) else math.nan


class NucleusDistance(Metric):
    """A figure of the outlines of matched nuclei, averaged over the nuclei.

    Nuclei without a match have no distance: give the figure together with precision and recall.
    """

    unit = "length"
    higher_is_better = False
    best, worst = 0.0, math.nan
    needs = ("maps",)
    pooled_as = ("pooled",)
    figure: ClassVar[str]  # a method of `SurfaceDistances`, and its arguments
    arguments: tuple[float, ...] = ()

    def of_pairs(self, distances: SurfaceDistances) -> np.ndarray:
        """(M,) the figure of each matched pair, from the distances of their outlines."""
        found: np.ndarray = getattr(distances, self.figure)(*self.arguments)
        return found

    def counts(self, image: ImagePair) -> dict[str, float]:
        values = self.of_pairs(image.once(_matched_nuclei))
        return {"nucleus_pairs": len(values), f"{self.name}_sum": float(values.sum())}

    def pooled(self, counts: Counts) -> Any:
        return ratio(counts[f"{self.name}_sum"], counts["nucleus_pairs"])


def _maps(image: ImagePair) -> Maps:
    return present(image.outlines or image.maps, "maps")


def _foreground(image: ImagePair) -> BoundaryScores:
    return boundary_scores(*_maps(image), tolerances=(), mpp=image.conventions.mpp or 1.0)


def _matched_nuclei(image: ImagePair) -> SurfaceDistances:
    table, c = image.table, image.conventions
    ids = (
        table.truth_ids[table.rows[image.matched]],
        table.prediction_ids[table.columns[image.matched]],
    )
    return matched_distances(*_maps(image), *ids, mpp=c.mpp or 1.0)
