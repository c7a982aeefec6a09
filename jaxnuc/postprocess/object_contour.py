"""Thresholded maps as instances: U-Net, Micro-Net, and DCAN with its contours taken out."""

import numpy as np

from jaxnuc.postprocess.checks import label_map, probability_map, same_size, within
from jaxnuc.postprocess.components import label_components
from jaxnuc.postprocess.filters import over_cross
from jaxnuc.postprocess.regions import fill_holes


def label_probability(
    probability: np.ndarray, threshold: float = 0.5, min_size: int = 10, radius: int = 0
) -> np.ndarray:
    """Labels the components of a thresholded map: the post-processing of U-Net and Micro-Net.

    Threshold, fill holes, label, remove small components, dilate. The defaults are those of the
    HoVer-Net authors' reimplementation of U-Net; with `radius=1` those of Micro-Net.

    Args:
      probability: (H, W) float in [0, 1], of belonging to a nucleus.
      threshold: foreground is where the probability is above this.
      min_size: components with fewer pixels, holes counted, are removed.
      radius: how far instances grow, in pixels of city-block distance; see `dilate_instances`.

    Returns:
      (H, W) int32 instances, 0 is background, ids 1..n in raster order.

    Raises:
      ValueError: the map is not (H, W), holds NaN or a number outside [0, 1], threshold is outside
        [0, 1], or the radius is negative.

    Example:
      >>> label_probability(np.array([[0.9, 0.1, 0.6, 0.5]]), min_size=0)
      array([[1, 0, 2, 0]], dtype=int32)

    References:
      Ronneberger et al., "U-Net", MICCAI 2015; Raza et al., "Micro-Net", Medical Image Analysis
      52, 2019; as reimplemented for Graham et al., "HoVer-Net", Medical Image Analysis 58, 2019.
    """
    within(threshold, "threshold")
    mask = probability_map(probability, "probability") > threshold
    return dilate_instances(label_components(fill_holes(mask), min_size, connectivity=1), radius)


def label_inside_contours(
    object_probability: np.ndarray,
    contour_probability: np.ndarray,
    threshold: float = 0.3,
    min_size: int = 20,
    radius: int = 3,
) -> np.ndarray:
    """Labels the objects without their contours: the post-processing of DCAN.

    Subtract, threshold, label, remove small components, dilate to give back what the contours
    took, fill the holes of each instance. The defaults are those of the HoVer-Net authors'
    reimplementation (its threshold is 0.1 for CPM-17; the radius of 3 is its
    diamond of 7 pixels). The paper asks for a probable object that is no probable contour, each
    with its own threshold.

    Args:
      object_probability: (H, W) float in [0, 1], of belonging to a nucleus.
      contour_probability: (H, W) float in [0, 1], of belonging to an outline.
      threshold: foreground is where the difference is above this.
      min_size: components with fewer pixels are removed, before they are dilated and filled.
      radius: how far instances grow, in pixels of city-block distance; see `dilate_instances`.

    Returns:
      (H, W) int32 instances, 0 is background, ids 1..n in raster order of the components.

    Raises:
      ValueError: the maps are not (H, W) of one size, hold NaN or a number outside [0, 1],
        threshold is outside [-1, 1], or the radius is negative.

    Example:
      >>> inside = np.array([[1.0, 1.0, 1.0, 1.0, 1.0]])
      >>> outline = np.array([[0.0, 0.0, 0.9, 0.0, 0.0]])
      >>> label_inside_contours(inside, outline, min_size=0)
      array([[1, 1, 1, 2, 2]], dtype=int32)

    References:
      Chen et al., "DCAN: Deep contour-aware networks for accurate gland segmentation", CVPR 2016;
      as reimplemented for Graham et al., "HoVer-Net", Medical Image Analysis 58, 2019.
    """
    inside = probability_map(object_probability, "object_probability")
    outline = probability_map(contour_probability, "contour_probability")
    same_size(inside, outline, "object_probability", "contour_probability")
    within(threshold, "threshold", -1, 1)
    instances = label_components(inside - outline > threshold, min_size, connectivity=1)
    return fill_holes(dilate_instances(instances, radius))


def dilate_instances(instances: np.ndarray, radius: int) -> np.ndarray:
    """Grows each instance into the background.

    A dilation of one nucleus by a diamond. Of several, each background pixel within the radius
    goes to the nearest one, the lowest id among equally near ones, so that none overwrites another
    (dilated one after the other in place, later ids would) or merges with it (dilated as a binary
    mask, nearby ones would).

    Args:
      instances: (H, W) integer or bool label map, 0 is background; any ids, gaps allowed.
      radius: in pixels of city-block distance, 0 or more; 3 is a diamond 7 pixels wide.

    Returns:
      (H, W) label map, a new array with the same ids; bool comes back as uint8.

    Raises:
      ValueError: the map is not (H, W), holds floats or a negative id, or the radius is negative.

    Example:
      >>> dilate_instances(np.array([[0, 0, 5, 0, 0, 0, 2, 0]]), 2)
      array([[5, 5, 5, 5, 2, 2, 2, 2]])
    """
    if radius < 0:
        raise ValueError(f"radius {radius} is negative; 0 leaves the instances as they are")
    labels = label_map(instances, "instances")
    # Less one and without a sign the background is the greatest number, and loses every minimum.
    # A minimum over the four neighbors per step gives the lowest id among the nearest ones, as
    # the neighbors on the shortest paths know all of them.
    grown = labels.astype(f"u{labels.itemsize}", order="C") - 1
    background = np.iinfo(grown.dtype).max
    for _ in range(min(radius, sum(labels.shape))):  # no pixel is farther away
        np.copyto(grown, over_cross(np.minimum, grown), where=grown == background)
    grown += 1
    return grown.view(f"{labels.dtype.kind}{labels.itemsize}")
