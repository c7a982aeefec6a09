"""How far predicted outlines are from the true ones: of an image, and nucleus by nucleus."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxnuc.metrics.surface import surfaces
from jaxnuc.metrics.surface_distance import SurfaceDistances, surface_distances
from jaxnuc.postprocess.components import binary
from jaxnuc.registry import unknown

# What is a surface, and how the two directed percentiles make one.
CONVENTIONS = {
    "monai": ("pixels", "max"),
    "medpy": ("pixels", "pooled"),
    "surface_distance": ("contour", "max"),
}


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


def boundary_scores(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    convention: str = "monai",
    tolerances: Sequence[float] = (1.0, 2.0),
    mpp: float | Sequence[float] = 1.0,
) -> BoundaryScores:
    """Measures how far the outlines of two foregrounds are apart.

    Ids play no role here: touching nuclei have one outline, and a missed nucleus is as far as the
    nearest other one. `matched_distances` compares nucleus by nucleus.

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
    outline is NaN. If both are empty, all is NaN.

    Args:
      truth: (H, W) label map or mask; every non-zero pixel is foreground.
      prediction: (H, W) of the same shape.
      convention: `"monai"`, `"medpy"` or `"surface_distance"`.
      tolerances: for NSD, in the unit of `mpp`; a distance of exactly the tolerance is within it.
      mpp: size of a pixel, one number or (row, col): micrometers per pixel give micrometers.

    Raises:
      ValueError: the maps are no label maps of one shape, `convention` is unknown, a tolerance is
        negative or `mpp` is not positive.

    Example:
      >>> scores = boundary_scores(np.array([[1, 1, 0, 0]]), np.array([[0, 1, 1, 1]]))
      >>> scores.hd, scores.assd, scores.nsd
      (2.0, 0.8, (0.8, 1.0))

    References:
      Maier-Hein et al., Metrics reloaded: recommendations for image analysis validation, Nature
      Methods 2024. NSD: Nikolov et al., 2018. ASSD: Heimann et al., Comparison and evaluation of
      methods for liver segmentation from CT datasets, IEEE TMI 2009.
    """
    if not all(tolerance >= 0 for tolerance in tolerances):
        raise ValueError(f"tolerances {tuple(tolerances)} are not all >= 0")
    masks = _foreground(truth, "truth"), _foreground(prediction, "prediction")
    if masks[0].shape != masks[1].shape:
        raise ValueError(
            f"truth has shape {masks[0].shape}, prediction {masks[1].shape}; "
            "compare both at the same resolution"
        )
    distances = matched_distances(*masks, [True], [True], convention=convention, mpp=mpp)
    directions = CONVENTIONS[convention][1]
    return BoundaryScores(
        hd=float(distances.hausdorff()[0]),
        hd95=float(distances.hausdorff(95, directions)[0]),
        assd=float(distances.average()[0]),
        asd_truth_to_prediction=float(distances.truth.mean()[0]),
        asd_prediction_to_truth=float(distances.prediction.mean()[0]),
        nsd=tuple(float(distances.surface_dice(tolerance)[0]) for tolerance in tolerances),
    )


def matched_distances(
    truth: np.ndarray,
    prediction: np.ndarray,
    truth_ids: ArrayLike,
    prediction_ids: ArrayLike,
    *,
    convention: str = "monai",
    mpp: float | Sequence[float] = 1.0,
) -> SurfaceDistances:
    """The distances between the outlines of pairs of nuclei, such as those of `match`.

    Each nucleus has its whole outline, where it touches another one too.

    Args:
      truth: (H, W) integer label map, 0 is background.
      prediction: (H, W) of the same shape.
      truth_ids: (M,) the true nucleus of each pair.
      prediction_ids: (M,) the predicted one.
      convention: see `boundary_scores`.
      mpp: size of a pixel, one number or (row, col).

    Raises:
      ValueError: a map is no label map, `convention` is unknown or `mpp` not positive.

    Example:
      >>> maps = np.array([[1, 1, 1, 0, 2]]), np.array([[7, 7, 0, 9, 0]])
      >>> matched_distances(*maps, [1], [7]).hausdorff()
      array([1.])
    """
    if convention not in CONVENTIONS:
        raise unknown("boundary convention", convention, CONVENTIONS)
    surface = CONVENTIONS[convention][0]
    sides = surfaces(truth, surface, mpp), surfaces(prediction, surface, mpp)
    return surface_distances(*sides, truth_ids, prediction_ids)


def _foreground(labels: np.ndarray, name: str) -> np.ndarray:
    mask = binary(labels, name)
    lowest = np.min(labels, initial=0)
    if lowest < 0:
        raise ValueError(f"{name} holds the negative id {lowest}; set ignored pixels to 0 in both")
    return mask
