"""HARU-Net's separation of touching nuclei: seeds inside the contours, grown to fill the mask."""

from functools import reduce

import numpy as np
from scipy import ndimage

from jaxnuc.postprocess.components import binary, label_components
from jaxnuc.registry import unknown

_SEEDLESS = ("keep", "drop")
_UNREACHED = np.iinfo(np.int32).max


def grow_from_contours(
    mask: np.ndarray, contour: np.ndarray, seedless: str = "keep", erosion: int = 0
) -> np.ndarray:
    """Splits a mask into nuclei by growing the parts inside the contours.

    The seeds are the 8-connected components of mask without contour. They grow together, one
    pixel at a time: each unlabelled mask pixel with labelled 8-neighbours takes the lowest of
    their ids, until nothing changes.

    Args:
      mask: (H, W) bool or integer; every non-zero pixel belongs to a nucleus.
      contour: (H, W) bool or integer; every non-zero pixel belongs to an outline.
      seedless: what becomes of mask components without any seed (thin nuclei that are all
        outline): `"keep"` gives them ids of their own after the seeds', `"drop"` removes them.
      erosion: how often the seeds are eroded with a 3x3 square before they are labelled; the
        image border does not erode.

    Returns:
      (H, W) int32 instances, 0 is background, ids 1..n, seeds first, each group in raster order.

    Raises:
      ValueError: the inputs are not (H, W) of one shape or hold floats, `seedless` is unknown, or
        `erosion` is negative.

    Example:
      >>> grow_from_contours(np.ones((1, 7), int), np.array([[0, 0, 1, 1, 1, 0, 0]]))
      array([[1, 1, 1, 1, 2, 2, 2]], dtype=int32)

    References:
      HARU-Net, Algorithm 1.
    """
    mask, contour = binary(mask, "mask"), binary(contour, "contour")
    if mask.shape != contour.shape:
        raise ValueError(f"mask has shape {mask.shape}, contour {contour.shape}; they must agree")
    if seedless not in _SEEDLESS:
        raise unknown("rule for seedless components", seedless, _SEEDLESS)
    if erosion < 0:
        raise ValueError(f"erosion {erosion} is negative; 0 leaves the seeds as they are")

    seeds = mask & ~contour
    if erosion:
        # The paper erodes for CoNSeP but gives neither kernel nor count. Outside the image counts
        # as inside, or nuclei cut by the border would lose more than the others.
        square = np.ones((3, 3), bool)
        seeds = ndimage.binary_erosion(seeds, square, iterations=erosion, border_value=1)
    instances = _grow(label_components(seeds), mask)
    if seedless == "keep":
        left_over = label_components(mask & (instances == 0))
        instances[left_over > 0] = left_over[left_over > 0] + instances.max(initial=0)
    return instances


def _grow(seeds: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Grows labelled seeds through the mask in 8-connected steps; the lowest id wins a tie.

    The paper dilates one id after the other, in ascending order and in place. As no id can pass
    through another within a sweep, this equals taking the lowest neighbouring id. It repeats until
    the mask is covered, which never happens if a part has no seed (the published code stops after
    a fixed number of sweeps and leaves the rest empty); here the end is when nothing changes.
    """
    height, width = mask.shape
    labels = np.pad(np.where(seeds > 0, seeds, _UNREACHED), 1, constant_values=_UNREACHED).ravel()
    waiting = np.pad(mask & (seeds == 0), 1).ravel()
    stride = width + 2
    around = [dr * stride + dc for dr in (-1, 0, 1) for dc in (-1, 0, 1) if dr or dc]

    # A pixel can be reached in a step only if a neighbour was reached in the step before, so that
    # after the first step only the neighbours of the newest pixels are looked at.
    candidates = np.flatnonzero(waiting)
    while candidates.size:
        nearest = reduce(np.minimum, (labels[candidates + offset] for offset in around))
        reached = nearest < _UNREACHED
        newest = candidates[reached]
        labels[newest] = nearest[reached]
        waiting[newest] = False
        neighbours = np.concatenate([newest + offset for offset in around])
        candidates = np.unique(neighbours[waiting[neighbours]])
    labels[labels == _UNREACHED] = 0
    return labels.reshape(height + 2, stride)[1:-1, 1:-1].copy()
