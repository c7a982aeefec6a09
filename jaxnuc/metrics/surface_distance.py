"""Exact distances between the surfaces of many pairs of instances, and their statistics."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from jaxnuc.metrics.surface import Surfaces
from jaxnuc.registry import unknown

# Lengths are sums of irrational pieces, and distances products with `mpp`: without a margin a
# share or a distance that equals its limit would come out on either side.
_ROUNDING = 1e-7


@dataclass(frozen=True)
class GroupedDistances:
    """The distances of N groups, each with its own statistics.

    Attributes:
      distances: (n,) float64, sorted by group, then ascending.
      weights: (n,) float64, the length of surface each distance stands for; None: all count alike.
      bounds: (N + 1,) int64; group k owns the distances from `bounds[k]` to before `bounds[k + 1]`.
    """

    distances: np.ndarray
    weights: np.ndarray | None
    bounds: np.ndarray

    @cached_property
    def groups(self) -> np.ndarray:
        """(n,) int64, the group of each distance."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))

    @cached_property
    def totals(self) -> np.ndarray:
        """(N,) float64, the weight of each group: a length, or the number of distances."""
        return self._sums(np.ones(len(self.distances)))

    def mean(self) -> np.ndarray:
        """(N,) float64, the weighted mean of each group; NaN where it is empty."""
        return self._means(self.distances)

    def share_within(self, tolerance: float) -> np.ndarray:
        """(N,) float64 in [0, 1], the weight of distances <= tolerance; NaN where there is none."""
        return self._means(self.distances <= tolerance * (1 + _ROUNDING))

    def percentile(self, percentile: float) -> np.ndarray:
        """(N,) float64, the distance that `percentile` per cent of each group do not exceed.

        NaN for an empty group. Without weights, interpolated linearly between two distances; with
        weights, the smallest distance such that this one and the smaller ones hold at least the
        share of the weight.

        Raises:
          ValueError: the percentile is not in [0, 100].
        """
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile {percentile} is not in [0, 100]")
        values = np.full(len(self.bounds) - 1, np.nan)
        filled = np.flatnonzero(np.diff(self.bounds))
        first, last = self.bounds[filled], self.bounds[filled + 1] - 1
        if self.weights is None:
            position = (last - first) * (percentile / 100)
            step = position.astype(np.int64)
            low = self.distances[first + step]
            high = self.distances[np.minimum(first + step + 1, last)]
            # Where one of a pair is empty both are infinite, and their difference is not a number.
            rise = np.subtract(high, low, out=np.zeros_like(low), where=high > low)
            values[filled] = low + (position - step) * rise
        else:
            sums = np.append(0.0, np.cumsum(self.weights))
            reached = sums[1:] - sums[self.bounds[self.groups]]
            short = reached < (percentile / 100 - _ROUNDING) * self.totals[self.groups]
            short |= percentile == 100  # the margin may be more than the last element
            step = np.bincount(self.groups[short], minlength=len(values))[filled]
            values[filled] = self.distances[np.minimum(first + step, last)]
        return values

    def _means(self, values: np.ndarray) -> np.ndarray:
        means = np.full(len(self.bounds) - 1, np.nan)
        return np.divide(self._sums(values), self.totals, out=means, where=self.totals > 0)

    def _sums(self, values: np.ndarray) -> np.ndarray:
        weighted = values if self.weights is None else values * self.weights
        return np.bincount(self.groups, weighted, minlength=len(self.bounds) - 1)


@dataclass(frozen=True)
class SurfaceDistances:
    """The distances between the surfaces of N pairs of a true and a predicted instance.

    Where one of a pair is empty, the distances of the other are infinite; where both are, every
    figure is NaN.

    Attributes:
      truth: from each element of the true surface to the nearest one of the predicted surface.
      prediction: from each element of the predicted surface to the nearest one of the true one.
    """

    truth: GroupedDistances
    prediction: GroupedDistances

    @cached_property
    def pooled(self) -> GroupedDistances:
        """The distances of both directions together."""
        sides = (self.truth, self.prediction)
        weights = [side.weights for side in sides if side.weights is not None]
        return _grouped(
            np.concatenate([side.distances for side in sides]),
            np.concatenate(weights) if weights else None,
            np.concatenate([side.groups for side in sides]),
            len(self.truth.bounds) - 1,
        )

    def hausdorff(self, percentile: float = 100, directions: str = "max") -> np.ndarray:
        """(N,) float64, the Hausdorff distance, or a percentile that ignores the outermost parts.

        Args:
          percentile: in [0, 100]; 95 gives HD95.
          directions: `"max"`, the larger one of the two directed percentiles; `"pooled"`, the
            percentile of both directions' distances together. At 100 they are the same.

        Raises:
          ValueError: the percentile is out of range, or `directions` is unknown.

        References:
          Huttenlocher et al., Comparing Images Using the Hausdorff Distance, 1993.
        """
        if directions == "pooled":
            return self.pooled.percentile(percentile)
        if directions == "max":
            # A side without elements has no percentile; the infinite one of the other side counts.
            sides = (self.truth, self.prediction)
            return np.fmax(*(side.percentile(percentile) for side in sides))
        raise unknown("combination of directions", directions, ("max", "pooled"))

    def average(self) -> np.ndarray:
        """(N,) float64, ASSD: the mean of both directions' distances together."""
        return self.pooled.mean()

    def surface_dice(self, tolerance: float) -> np.ndarray:
        """(N,) float64 in [0, 1], NSD: the share of both surfaces within the tolerance."""
        return self.pooled.share_within(tolerance)


def surface_distances(
    truth: Surfaces, prediction: Surfaces, truth_ids: ArrayLike, prediction_ids: ArrayLike
) -> SurfaceDistances:
    """Measures the distances between the surfaces of pairs of instances, all pairs at once.

    The cost is that of one search tree over all surfaces, however many pairs there are. An
    instance in several pairs is measured once for each.

    Args:
      truth: surfaces of the true instances.
      prediction: surfaces of the predicted instances, of the same kind.
      truth_ids: (N,) the true instance of each pair; one without surface is empty.
      prediction_ids: (N,) the predicted instance of each pair.

    Raises:
      ValueError: the ids are not in pairs, or the surfaces are of different kinds.

    Example:
      >>> from jaxnuc.metrics.surface import surfaces
      >>> truth, prediction = np.array([[1, 1, 0, 0, 0]]), np.array([[0, 7, 7, 7, 0]])
      >>> found = surface_distances(surfaces(truth), surfaces(prediction), [1], [7])
      >>> found.truth.distances, found.prediction.distances
      (array([0., 1.]), array([0., 1., 2.]))
    """
    n, n_prediction = np.size(truth_ids), np.size(prediction_ids)
    if n != n_prediction:
        raise ValueError(f"{n} true ids and {n_prediction} predicted ones are no pairs")
    if (truth.weights is None) != (prediction.weights is None):
        raise ValueError("one surface is of pixels, the other a contour; take the same for both")
    # Each pair lies in a plane of its own, further from the next one than any two points of a
    # plane: one search in three dimensions finds the nearest point of the same pair.
    furthest = np.fmax(truth.points.max(0, initial=0), prediction.points.max(0, initial=0))
    apart = 1 + 2 * float(np.hypot(*furthest))
    sides = [_gathered(truth, truth_ids, apart), _gathered(prediction, prediction_ids, apart)]
    grouped = []
    for (points, weights, groups), (others, _, _) in (sides, sides[::-1]):
        # Points on a grid need no medians: splits in the middle are cheaper and as good.
        tree = cKDTree(others, balanced_tree=False)
        distances = tree.query(points, distance_upper_bound=apart)[0]  # infinite if there is none
        grouped.append(_grouped(distances, weights, groups, n))
    return SurfaceDistances(*grouped)


def _gathered(
    surfaces: Surfaces, ids: ArrayLike, apart: float
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Points (n, 3), weights and groups (n,) of the elements of each of the ids in turn."""
    first = np.searchsorted(surfaces.ids, ids, "left")
    counts = np.searchsorted(surfaces.ids, ids, "right") - first
    groups = np.repeat(np.arange(len(counts)), counts)
    taken = np.arange(len(groups)) + np.repeat(first + counts - np.cumsum(counts), counts)
    points = np.column_stack([groups * apart, surfaces.points[taken]])
    return points, None if surfaces.weights is None else surfaces.weights[taken], groups


def _grouped(
    distances: np.ndarray, weights: np.ndarray | None, groups: np.ndarray, n: int
) -> GroupedDistances:
    order = np.lexsort((distances, groups))
    bounds = np.append(0, np.cumsum(np.bincount(groups, minlength=n)))
    return GroupedDistances(distances[order], None if weights is None else weights[order], bounds)
