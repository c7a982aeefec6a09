"""Separation of touching nuclei by a watershed of the contours' probability."""

import numpy as np

from jaxnuc.postprocess._watershed import watershed_by_part
from jaxnuc.postprocess.checks import probability_map, same_size, within
from jaxnuc.postprocess.components import label_components


def watershed_from_contours(
    mask_probability: np.ndarray, contour_probability: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    """Splits a mask into nuclei along the ridges of the contours.

    The markers are the 8-connected components of mask without contour, as the seeds of
    `grow_from_contours` are. They flood the rest of the mask, least probable contours first, in
    4-connected steps: two nuclei meet where a contour is most probable between them. HARU-Net's
    ablation takes "watershed" for this without a word on markers and relief.

    Args:
      mask_probability: (H, W) float in [0, 1], of belonging to a nucleus.
      contour_probability: (H, W) float in [0, 1], of belonging to an outline.
      threshold: of both maps; mask and contour are where the probability is above it.

    Returns:
      (H, W) int32 instances, 0 is background, ids 1..n in raster order of the markers. A part of
      the mask without a marker is background.

    Raises:
      ValueError: the maps are not (H, W) of one size, hold NaN or a number outside [0, 1], or the
        threshold is outside [0, 1].

    Example:
      >>> outline = np.array([[0.0, 0.1, 0.6, 0.7, 0.9, 0.0]])
      >>> watershed_from_contours(np.ones((1, 6)), outline)
      array([[1, 1, 1, 1, 2, 2]], dtype=int32)
    """
    inside = probability_map(mask_probability, "mask_probability")
    outline = probability_map(contour_probability, "contour_probability")
    same_size(inside, outline, "mask_probability", "contour_probability")
    within(threshold, "threshold")
    mask = inside > threshold
    markers = label_components(mask & ~(outline > threshold))
    # Markers come first, in raster order, so that all that lies beside them waits before the lowest
    # of it is flooded.
    relief = outline.astype(np.float64)
    marked = np.flatnonzero(markers)
    relief.ravel()[marked] = np.linspace(-2, -1, len(marked))
    return watershed_by_part(relief, markers, label_components(mask, connectivity=1))
