"""CNSeg's separation of touching and overlapping nuclei with a boundary map."""

import math
from dataclasses import dataclass

import numpy as np
from edt import edt

from jaxnuc.postprocess.checks import probability_map, same_size
from jaxnuc.postprocess.components import label_components
from jaxnuc.postprocess.filters import over_cross
from jaxnuc.postprocess.flooding import flood
from jaxnuc.postprocess.masks import Mask, paint, region_masks
from jaxnuc.postprocess.regions import fill_holes
from jaxnuc.registry import check_known


@dataclass(frozen=True)
class Separation:
    """Nuclei that may overlap.

    Attributes:
      instances: (H, W) int32 label map, 0 is background; where nuclei overlap, the smaller lies on
        top. Nucleus `k` of `masks` has the id `k + 1`, unless smaller ones cover all of it.
      masks: the nuclei one by one, the largest first. `jaxnuc.metrics` takes this tuple as it is.
    """

    instances: np.ndarray
    masks: tuple[Mask, ...]


def separate_overlaps(
    mask: np.ndarray,
    boundary: np.ndarray,
    shape: tuple[int, int] | None = None,
    *,
    threshold: float | str = "otsu",
    min_area_share: float = 0.2,
    max_instances: int | None = None,
    lines: bool = True,
    outline: str = "filled",
) -> Separation:
    """Separates touching and overlapping nuclei: seeds inside the boundaries flood the mask.

    1. The mask is binarized, and again after it is resized to `shape`.
    2. The boundary likewise; before Otsu's threshold it is stretched to [10, 350] and cut at 255.
    3. Seeds are mask without boundary, opened with a cross of 3x3 pixels.
    4. Seeds with at most `min_area_share` of the mean area are dropped, holes of the others filled.
       The area is that of the outer contour through the centers of its pixels.
    5. The seeds, 4-connected, flood the mask at equal speed.
    6. Each region becomes a mask of its own, the largest first.

    Args:
      mask: (H, W) probability of a nucleus in [0, 1], at the resolution of the network.
      boundary: (H, W) probability of a boundary in [0, 1].
      shape: of the image, (rows, columns); None: that of the maps.
      threshold: `"otsu"`, found per image and map (it always finds two classes, even in noise; a
        constant map has the threshold 0.5), or a probability: a pixel above it counts.
      min_area_share: 1/5 in the evaluation of the reference, 1/4 for its pseudo-labels; 0 keeps
        every seed.
      max_instances: only the largest are kept; None keeps all, the reference keeps 150.
      lines: keeps background lines of one pixel between regions that touch.
      outline: `"exact"`, the regions themselves; `"filled"`, with their holes; `"columns"`, the
        polygons of the reference through the top and the bottom pixel of each column, which overlap
        and drop nuclei of less than three columns.

    Returns:
      The nuclei as a label map of `shape` and as masks that may overlap.

    Raises:
      ValueError: the maps differ in shape, are not (H, W) or not in [0, 1]; an argument is unknown
        or out of its range.

    Example:
      >>> mask, boundary = np.zeros((2, 7, 15))
      >>> mask[1:6, 1:14] = 1
      >>> boundary[1:6, 7] = 1
      >>> separate_overlaps(mask, boundary).instances[3]
      array([0, 1, 1, 1, 1, 1, 1, 0, 2, 2, 2, 2, 2, 2, 0], dtype=int32)

    References:
      Zhao et al., AL-Net: Attention learning network based on multi-task learning for cervical
      nucleus segmentation, IEEE JBHI 26(6):2693, 2022, with the method published for the data set
      CNSeg.
    """
    mask, shape = _checked(mask, shape, threshold)
    boundary = probability_map(boundary, "boundary").astype(np.float32)
    same_size(mask, boundary, "mask", "boundary")
    if not (math.isfinite(min_area_share) and min_area_share >= 0):
        raise ValueError(f"min_area_share is {min_area_share}; it must be 0 or more")
    if not mask.size:
        return Separation(np.zeros(shape, np.int32), ())
    foreground = _binarize(mask, shape, threshold)
    seeds = _opened(foreground & _binarize(boundary, shape, threshold, invert=True))
    markers = label_components(_large(seeds, min_area_share), connectivity=1)
    masks = region_masks(flood(markers, foreground, lines), outline, max_instances)
    return Separation(paint(masks, shape), masks)


def separate_by_distance(
    mask: np.ndarray,
    shape: tuple[int, int] | None = None,
    *,
    threshold: float | str = "otsu",
    seed_share: float = 0.5,
    lines: bool = True,
) -> np.ndarray:
    """Separates nuclei without a boundary map: seeds are far inside, and flood the mask.

    It is the baseline of CNSeg. As the greatest distance is that of the whole image, nuclei of less
    than `seed_share` of the width of the widest have no seed and are lost.

    Args:
      mask: (H, W) probability of a nucleus in [0, 1].
      shape: of the image, (rows, columns); None: that of the map.
      threshold: as in `separate_overlaps`.
      seed_share: seeds are farther from the background than this share of the greatest distance;
        0.4 in the figures of the reference. The image border is no background.
      lines: keeps background lines of one pixel between regions that touch.

    Returns:
      (H, W) int32 label map of `shape`, 0 is background, ids in raster order of the seeds.

    Raises:
      ValueError: the map is not (H, W) or not in [0, 1]; an argument is out of its range.

    Example:
      >>> separate_by_distance(np.array([[0, 1, 1, 1, 0, 0, 1, 1, 1]]), lines=False)
      array([[0, 1, 1, 1, 0, 0, 2, 2, 2]], dtype=int32)
    """
    mask, shape = _checked(mask, shape, threshold)
    if not 0 <= seed_share < 1:
        raise ValueError(f"seed_share is {seed_share}; it must be in [0, 1)")
    if not mask.size:
        return np.zeros(shape, np.int32)
    foreground = _binarize(mask, shape, threshold)
    # Exact, where the reference approximates the distance by the steps of a 3x3 neighborhood.
    # Without any background there is no distance, and the image is one nucleus.
    distance = foreground if foreground.all() else edt(foreground)
    markers = label_components(distance > seed_share * distance.max(), connectivity=1)
    return flood(markers, foreground, lines)


def _checked(
    mask: np.ndarray, shape: tuple[int, int] | None, threshold: float | str
) -> tuple[np.ndarray, tuple[int, int]]:
    """The mask as float32, and the shape of the image."""
    mask = probability_map(mask, "mask").astype(np.float32)
    height, width = mask.shape if shape is None else shape
    if (height, width) != mask.shape and not (mask.size and height > 0 and width > 0):
        raise ValueError(f"maps of shape {mask.shape} cannot be resized to {(height, width)}")
    if isinstance(threshold, str):
        check_known("threshold", threshold, ["otsu"])
    elif not 0 <= threshold <= 1:
        raise ValueError(f'threshold is {threshold}; it must be in [0, 1], or "otsu"')
    return mask, (int(height), int(width))


def _binarize(
    probability: np.ndarray, shape: tuple[int, int], threshold: float | str, invert: bool = False
) -> np.ndarray:
    """(H, W) bool of `shape`: where a probability is above the threshold (inverted: is not)."""
    if not isinstance(threshold, str):
        return (_resized(probability, shape) > threshold) ^ invert
    levels = np.rint(probability * 255).astype(np.uint8)
    if invert:
        levels = _stretched(levels)
    above = (levels > _otsu(levels)) ^ invert
    if shape == probability.shape:
        return above
    levels = np.rint(_resized(np.where(above, np.float32(255), 0), shape)).astype(np.uint8)
    return levels > _otsu(levels)


def _stretched(levels: np.ndarray) -> np.ndarray:
    """Stretches the range of uint8 levels to [10, 350], cut at 255; a constant has none."""
    lowest, highest = int(levels.min()), int(levels.max())
    if lowest == highest:
        return levels
    table = np.rint((np.arange(256) - lowest) * 340 / (highest - lowest) + 10)
    return np.clip(table, 0, 255).astype(np.uint8)[levels]


def _otsu(levels: np.ndarray) -> int:
    """Otsu's threshold of uint8 levels: the upper class is above it.

    The reference takes 0 for a constant image, so that a faint constant mask becomes one nucleus
    and an image without any boundary has no nuclei. Here the threshold of a constant image is
    half of the range.
    """
    counts = np.bincount(levels.ravel(), minlength=256)
    below = np.cumsum(counts).astype(np.float64)
    mass = np.cumsum(counts * np.arange(256)).astype(np.float64)
    two_classes = (below > 0) & (below < below[-1])
    if not two_classes.any():
        return 127
    spread = (mass[-1] * below - below[-1] * mass) ** 2
    weight = np.where(two_classes, below * (below[-1] - below), 1)
    return int(np.argmax(np.where(two_classes, spread / weight, 0)))


def _resized(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bilinear, pixel centers at halves, the border repeated, nothing smoothed beforehand."""
    for axis, size in enumerate(shape):
        old = values.shape[axis]
        if size == old:
            continue
        position = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        before = np.floor(position).astype(np.intp)
        share = (position - before).astype(np.float32)
        share = share[:, None] if axis == 0 else share
        after = np.minimum(before + 1, old - 1)
        values = values.take(before, axis) * (1 - share) + values.take(after, axis) * share
    return values


def _opened(seeds: np.ndarray) -> np.ndarray:
    """Erosion and dilation with a cross of 3x3 pixels; the image border does not erode."""
    return over_cross(np.logical_or, over_cross(np.logical_and, seeds))


def _large(seeds: np.ndarray, min_area_share: float) -> np.ndarray:
    """The seeds above a share of the mean contour area, with their holes filled."""
    labels = label_components(fill_holes(seeds))
    areas = _contour_areas(labels)[1:]
    least = min_area_share * areas.mean() if areas.size else 0.0
    # The reference compares with NaN where there is no seed, and drops all where all areas are 0.
    return np.append(False, (areas > least) | (least == 0))[labels]


def _contour_areas(labels: np.ndarray) -> np.ndarray:
    """(n + 1,) areas inside the outer contours of 8-connected components 0..n without holes.

    Through the centers of the pixels, a square of four pixels of a component adds 1, one of three
    adds 1/2, all others nothing.
    """
    inside = (labels > 0).view(np.uint8)
    in_rows = inside[1:] + inside[:-1]
    in_square = in_rows[:, 1:] + in_rows[:, :-1]
    row, col = np.nonzero(in_square > 2)
    # Of three pixels in a square, one is on this diagonal; neighbors belong to one component.
    owner = np.maximum(labels[row, col], labels[row + 1, col + 1])
    size = int(labels.max(initial=0)) + 1
    return np.bincount(owner, (in_square[row, col] - 2) / 2, minlength=size)
