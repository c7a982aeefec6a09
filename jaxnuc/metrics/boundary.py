"""How far predicted outlines are from the true ones: of an image, and nucleus by nucleus."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.metrics.matching import pairs_above
from jaxnuc.metrics.surface import surfaces
from jaxnuc.metrics.surface_distance import SurfaceDistances, surface_distances
from jaxnuc.postprocess.components import binary
from jaxnuc.registry import unknown

# What is a surface, and how the two directed percentiles make one.
_CONVENTIONS = {
    "monai": ("pixels", "max"),
    "medpy": ("pixels", "pooled"),
    "surface_distance": ("contour", "max"),
}
_EMPTY = ("skip", "perfect")
_CHUNK = 4_000_000  # surface elements measured at a time, which bounds the memory


class BoundaryScores(NamedTuple):
    """Distances between outlines, in the unit of `mpp`, and shares of outlines.

    Attributes:
      hd: Hausdorff distance, the greatest distance of either outline to the other.
      hd95: its 95th percentile.
      assd: average symmetric surface distance, the mean over both outlines: what is meant by mean
        boundary distance or boundary error.
      asd_truth_to_prediction: the mean over the true outline alone: large where truth is missed.
      asd_prediction_to_truth: the mean over the predicted outline alone.
      nsd: normalized surface Dice in [0, 1], the share of both outlines that is not further than
        the tolerance from the other; one for each tolerance.
    """

    hd: float
    hd95: float
    assd: float
    asd_truth_to_prediction: float
    asd_prediction_to_truth: float
    nsd: tuple[float, ...]


class InstanceBoundaryScores(NamedTuple):
    """The `BoundaryScores` of each matched pair, and the instances that are in none.

    Attributes:
      truth: (M,) ids of the matched true instances, ascending.
      prediction: (M,) the predicted id of each.
      hd: (M,) float64, see `BoundaryScores`.
      hd95: (M,) float64.
      assd: (M,) float64.
      asd_truth_to_prediction: (M,) float64.
      asd_prediction_to_truth: (M,) float64.
      nsd: (M, T) float64, one column for each tolerance.
      missed: ids of the true instances without a match, ascending.
      false: ids of the predicted instances without a match, ascending.
    """

    truth: np.ndarray
    prediction: np.ndarray
    hd: np.ndarray
    hd95: np.ndarray
    assd: np.ndarray
    asd_truth_to_prediction: np.ndarray
    asd_prediction_to_truth: np.ndarray
    nsd: np.ndarray
    missed: np.ndarray
    false: np.ndarray

    def mean(self) -> BoundaryScores:
        """The means over the matched pairs, each pair counting alike; NaN if there is none.

        Missed and false instances have no distance: report their numbers beside the means.
        """
        return _means(self[2:8])


def boundary_scores(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    convention: str = "monai",
    tolerances: Sequence[float] = (1.0, 2.0),
    mpp: float | Sequence[float] = 1.0,
    empty: str = "skip",
) -> BoundaryScores:
    """Measures how far the outlines of two foregrounds are apart.

    Ids play no role here: touching nuclei have one outline, and a missed nucleus is as far as the
    nearest other one. `instance_boundary_scores` compares nucleus by nucleus.

    Packages differ, so a figure needs its convention:

    | `convention` | surface | hd95 |
    | --- | --- | --- |
    | `"monai"` | pixels with a 4-neighbor outside | the larger directed 95th percentile |
    | `"medpy"` | the same | 95th percentile of both directions' distances together |
    | `"surface_distance"` | contour between pixels, weighted by length | as MONAI, by length |

    For `hd`, `assd` and `nsd` only the surface makes a difference; ASSD is the mean of both
    directions' distances together everywhere. The default is what Metrics Reloaded recommends:
    one direction's small errors cannot hide the large ones of the other, as they do when pooled.

    If one foreground is empty, distances are infinite and NSD is 0; the mean over the empty
    outline is NaN. MedPy raises an error then, MONAI's hd95 is NaN and its directed mean infinite
    whichever is empty. If both are, surface-distance gives infinite hd and hd95; see `empty`.

    Args:
      truth: (H, W) label map or mask, integer or bool; every non-zero pixel is foreground.
      prediction: (H, W) of the same shape.
      convention: `"monai"`, `"medpy"` or `"surface_distance"`.
      tolerances: for NSD, in the unit of `mpp`; a distance of exactly the tolerance is within it.
      mpp: size of a pixel, one number or (row, col): micrometers per pixel give micrometers, 1
        gives pixels.
      empty: if both are empty, `"skip"`: all NaN; `"perfect"`: distances 0, NSD 1.

    Returns:
      The figures.

    Raises:
      ValueError: the maps are no label maps of one shape, `convention` or `empty` is unknown, a
        tolerance is negative or `mpp` is not positive.

    Example:
      >>> scores = boundary_scores(np.array([[1, 1, 0, 0]]), np.array([[0, 1, 1, 1]]))
      >>> scores.hd, scores.assd, scores.nsd
      (2.0, 0.8, (0.8, 1.0))

    References:
      Maier-Hein et al., Metrics reloaded: recommendations for image analysis validation, Nature
      Methods 2024. NSD: Nikolov et al., 2018. ASSD: Heimann et al., Comparison and evaluation of
      methods for liver segmentation from CT datasets, IEEE TMI 2009.
    """
    if empty not in _EMPTY:
        raise unknown("rule for empty images", empty, _EMPTY)
    surface, directions = _convention(convention)
    masks = _foreground(truth, "truth"), _foreground(prediction, "prediction")
    if masks[0].shape != masks[1].shape:
        raise ValueError(
            f"truth has shape {masks[0].shape}, prediction {masks[1].shape}; "
            "compare both at the same resolution"
        )
    sides = [surfaces(mask, surface, mpp) for mask in masks]
    distances = surface_distances(sides[0], sides[1], [True], [True])
    figures = _figures(distances, directions, tolerances)
    if empty == "perfect" and not any(mask.any() for mask in masks):
        return BoundaryScores(0.0, 0.0, 0.0, 0.0, 0.0, (1.0,) * len(tolerances))
    return _means(figures)


def instance_boundary_scores(
    truth: np.ndarray,
    prediction: np.ndarray,
    threshold: float = 0.5,
    *,
    inclusive: bool = False,
    matching: str = "iou",
    convention: str = "monai",
    tolerances: Sequence[float] = (1.0, 2.0),
    mpp: float | Sequence[float] = 1.0,
) -> InstanceBoundaryScores:
    """Measures how far the outlines of matched nuclei are apart, pair by pair.

    Each nucleus has its whole outline, where it touches another one too. Nuclei without a match
    have no distance; they are listed.

    Args:
      truth: (H, W) integer label map, 0 is background.
      prediction: (H, W) label map of the same shape.
      threshold: IoU above which instances match, see `pairs_above`.
      inclusive: an IoU of exactly the threshold is a match.
      matching: the choice among competing pairs, `"iou"` or `"count"`, see `pairs_above`.
      convention: see `boundary_scores`.
      tolerances: for NSD, in the unit of `mpp`; a distance of exactly the tolerance is within it.
      mpp: size of a pixel, one number or (row, col): micrometers per pixel give micrometers.

    Returns:
      The figures of each pair, and the ids of the instances in none; `mean()` averages the pairs.

    Raises:
      ValueError: the maps are no label maps of one shape, a name is unknown, the threshold is out
        of range, a tolerance is negative or `mpp` is not positive.

    Example:
      >>> found = instance_boundary_scores(np.array([[1, 1, 1, 0, 2]]), np.array([[7, 7, 0, 9, 0]]))
      >>> found.truth, found.prediction, found.hd, found.missed, found.false
      (array([1]), array([7]), array([1.]), array([2]), array([9]))
    """
    directions = _convention(convention)[1]
    table = contingency_table(truth, prediction)
    pairs = pairs_above(table, threshold, inclusive=inclusive, matching=matching)
    rows, columns = table.rows[pairs], table.columns[pairs]
    truth_ids, prediction_ids = table.truth_ids[rows], table.prediction_ids[columns]
    distances = matched_distances(
        truth, prediction, truth_ids, prediction_ids, convention=convention, mpp=mpp
    )
    return InstanceBoundaryScores(
        truth_ids,
        prediction_ids,
        *_figures(distances, directions, tolerances),
        missed=np.delete(table.truth_ids, rows),
        false=np.delete(table.prediction_ids, columns),
    )


def matched_distances(
    truth: np.ndarray,
    prediction: np.ndarray,
    truth_ids: np.ndarray,
    prediction_ids: np.ndarray,
    *,
    convention: str = "monai",
    mpp: float | Sequence[float] = 1.0,
) -> SurfaceDistances:
    """The distances between the outlines of pairs of nuclei.

    Args:
      truth: (H, W) integer label map, 0 is background.
      prediction: (H, W) label map of the same shape.
      truth_ids: (M,) the true nucleus of each pair.
      prediction_ids: (M,) the predicted one.
      convention: see `boundary_scores`.
      mpp: size of a pixel, one number or (row, col).

    Raises:
      ValueError: a map is no label map, `convention` is unknown or `mpp` not positive.
    """
    surface = _convention(convention)[0]
    sides = surfaces(truth, surface, mpp), surfaces(prediction, surface, mpp)
    return surface_distances(*sides, truth_ids, prediction_ids)


def instance_hausdorff(
    truth: np.ndarray,
    prediction: np.ndarray,
    percentile: float = 95,
    *,
    convention: str = "surface_distance",
    mpp: float | Sequence[float] = 1.0,
) -> float:
    """Inst-HD of an image: the worst of the predictions, each at its nearest true nucleus.

    The maximum over the predictions that overlap a true nucleus, of the minimum over the nuclei
    that they overlap, of HD95. Nothing is matched one to one: neither a prediction that overlaps
    nothing nor a missed nucleus counts, so give the figure together with others.

    The cost is linear in the outlines of all overlapping pairs, summed.

    Args:
      truth: (H, W) integer label map, 0 is background.
      prediction: (H, W) label map of the same shape.
      percentile: in [0, 100].
      convention: see `boundary_scores`.
      mpp: size of a pixel, one number or (row, col).

    Returns:
      The distance in the unit of `mpp`; NaN if no prediction overlaps a true nucleus.

    Raises:
      ValueError: the maps are no label maps of one shape, `convention` is unknown, the percentile
        is out of range or `mpp` not positive.

    References:
      Zhao et al., AL-Net: Attention Learning Network Based on Multi-Task Learning for Cervical
      Nucleus Segmentation, IEEE JBHI 2022 (there on masks that may overlap, here on label maps).
    """
    surface, directions = _convention(convention)
    table = contingency_table(truth, prediction)
    truth_ids, prediction_ids = table.truth_ids[table.rows], table.prediction_ids[table.columns]
    sides = surfaces(truth, surface, mpp), surfaces(prediction, surface, mpp)
    elements = sides[0].ranges(truth_ids)[1] + sides[1].ranges(prediction_ids)[1]
    chunks = np.flatnonzero(np.diff(np.cumsum(elements) // _CHUNK, prepend=0))
    nearest = np.full(len(table.prediction_ids), math.inf)
    for part in np.split(np.arange(len(table.rows)), chunks):
        distances = surface_distances(*sides, truth_ids[part], prediction_ids[part])
        np.minimum.at(nearest, table.columns[part], distances.hausdorff(percentile, directions))
    overlapping = nearest[np.isfinite(nearest)]
    return float(overlapping.max()) if overlapping.size else math.nan


def _foreground(labels: np.ndarray, name: str) -> np.ndarray:
    mask = binary(labels, name)
    lowest = np.min(labels, initial=0)
    if lowest < 0:
        raise ValueError(f"{name} holds the negative id {lowest}; set ignored pixels to 0 in both")
    return mask


def _convention(name: str) -> tuple[str, str]:
    if name not in _CONVENTIONS:
        raise unknown("boundary convention", name, _CONVENTIONS)
    return _CONVENTIONS[name]


_Figures = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _figures(distances: SurfaceDistances, directions: str, tolerances: Sequence[float]) -> _Figures:
    """The figures of N pairs in the order of `BoundaryScores`: five (N,), and NSD (N, T)."""
    if not all(tolerance >= 0 for tolerance in tolerances):
        raise ValueError(f"tolerances {tuple(tolerances)} are not all >= 0")
    hd = distances.hausdorff()
    nsd = np.empty((len(hd), len(tolerances)))
    for k, tolerance in enumerate(tolerances):
        nsd[:, k] = distances.surface_dice(tolerance)
    hd95, assd = distances.hausdorff(95, directions), distances.average()
    return hd, hd95, assd, distances.truth.mean(), distances.prediction.mean(), nsd


def _means(figures: Sequence[np.ndarray]) -> BoundaryScores:
    """The means of `_figures` over the pairs, NaN without any."""
    *distances, nsd = (f.mean(0) if len(f) else np.full(f.shape[1:], math.nan) for f in figures)
    hd, hd95, assd, to_prediction, to_truth = (float(d) for d in distances)
    return BoundaryScores(hd, hd95, assd, to_prediction, to_truth, tuple(nsd.tolist()))
