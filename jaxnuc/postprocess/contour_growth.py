"""HARU-Net's separation of touching nuclei: seeds inside the contours, grown to fill the mask."""

from itertools import count

import numpy as np

from jaxnuc.postprocess.checks import same_size
from jaxnuc.postprocess.components import binary, label_components
from jaxnuc.registry import check_known

_ONE = np.uint32(1)
_NONE = np.uint32(2**32 - 1)
_BLOCK = 2**15  # pixels whose neighbors stay in the cache


def grow_from_contours(
    mask: np.ndarray,
    contour: np.ndarray,
    seedless: str = "keep",
    erosion: int = 0,
    sweeps: int | None = None,
) -> np.ndarray:
    """Splits a mask into nuclei by growing the parts inside the contours.

    The seeds are the 8-connected components of mask without contour. They grow together, one
    pixel at a time: each unlabeled mask pixel with labeled 8-neighbors takes the lowest of
    their ids, until nothing changes.

    Args:
      mask: (H, W) bool or integer; every non-zero pixel belongs to a nucleus.
      contour: (H, W) bool or integer; every non-zero pixel belongs to an outline.
      seedless: how to treat mask components without any seed (thin nuclei that are all
        outline): `"keep"` gives them ids of their own after the seeds', `"drop"` removes them.
      erosion: how often the seeds are eroded with a 3x3 square before they are labeled; the
        image border does not erode.
      sweeps: after how many steps growth stops; pixels that no seed has reached by then are treated
        as `seedless` components. By default growth goes on until nothing changes. The published
        code is `seedless="drop"` with 6 sweeps (10 in its demonstration).

    Returns:
      (H, W) int32 instances, 0 is background, ids 1..n, seeds first, each group in raster order.

    Raises:
      ValueError: the inputs are not (H, W) of one shape or hold floats, `seedless` is unknown, or
        `erosion` or `sweeps` is negative.

    Example:
      >>> grow_from_contours(np.ones((1, 7), int), np.array([[0, 0, 1, 1, 1, 0, 0]]))
      array([[1, 1, 1, 1, 2, 2, 2]], dtype=int32)

    References:
      HARU-Net, Algorithm 1.
    """
    mask, contour = binary(mask, "mask"), binary(contour, "contour")
    same_size(mask, contour, "mask", "contour")
    check_known("rule for seedless components", seedless, ("keep", "drop"))
    if erosion < 0:
        raise ValueError(f"erosion {erosion} is negative; 0 leaves the seeds as they are")
    if sweeps is not None and sweeps < 0:
        raise ValueError(f"sweeps {sweeps} is negative; None grows until nothing changes")

    seeds = mask & ~contour
    for _ in range(erosion):
        # The paper erodes for CoNSeP but gives neither kernel nor count. Outside the image counts
        # as inside, or nuclei cut by the border would lose more than the others.
        padded = np.pad(seeds, 1, constant_values=True)
        rows = padded[:-2] & padded[1:-1] & padded[2:]
        seeds = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    # A margin of one pixel, so that no step looks outside.
    labels, mask = label_components(np.pad(seeds, 1)), np.pad(mask, 1)
    _grow(labels, mask, sweeps)
    if seedless == "keep":
        left_over = mask & (labels == 0)
        if left_over.any():
            np.add(label_components(left_over), labels.max(), out=labels, where=left_over)
    return labels[1:-1, 1:-1].copy()


def _grow(labels: np.ndarray, mask: np.ndarray, sweeps: int | None = None) -> None:
    """Grows the labels within the mask, in place, in 8-connected steps; the lowest id wins a tie.

    The paper dilates one id after the other, in ascending order and in place. As no id can pass
    through another within a sweep, this equals taking the lowest neighboring id. It repeats until
    the mask is covered, which never happens if a part has no seed (the published code stops after
    a fixed number of sweeps and leaves the rest empty); here the end is when nothing changes. The
    mask is False in the outermost rows and columns.
    """
    # Unsigned, so that background less one is above every id and the minimum ignores it.
    flat = labels.reshape(-1).view(np.uint32)
    waiting = (mask & (labels == 0)).ravel()
    stride = labels.shape[1]
    offsets = [dr * stride + dc for dr in (-1, 0, 1) for dc in (-1, 0, 1) if dr or dc]
    candidates = np.flatnonzero(waiting)
    for _ in count() if sweeps is None else range(sweeps):
        nearest = _lowest(flat, candidates, offsets)
        reached = nearest > 0
        newest = np.compress(reached, candidates)  # much faster than candidates[reached]
        if not newest.size:
            break
        flat[newest] = np.compress(reached, nearest)
        waiting[newest] = False
        # Contours are thin, so that most of what waits is reached at the next steps: look at all of
        # it again. Where a good part is out of reach, look at the neighbors of the newest pixels
        # alone, so that the whole stays linear however far the seeds grow.
        candidates = np.compress(~reached, candidates)
        if not 0 < candidates.size <= 3 * newest.size:
            candidates = _neighbors(newest, offsets, waiting)


def _lowest(flat: np.ndarray, pixels: np.ndarray, offsets: list[int]) -> np.ndarray:
    """The lowest id, above 0, at the given offsets from each pixel; 0 where there is none."""
    corner = -offsets[0]
    lowest = np.full(pixels.size, _NONE)
    for start in range(0, pixels.size, _BLOCK):
        block = pixels[start : start + _BLOCK] - corner
        found, least = np.empty(block.size, np.uint32), lowest[start : start + _BLOCK]
        for offset in offsets:
            # No index needs clipping: this is the mode that writes to `out` without a buffer.
            np.take(flat[corner + offset :], block, out=found, mode="clip")
            found -= _ONE
            np.minimum(least, found, out=least)
    lowest += _ONE
    return lowest


def _neighbors(pixels: np.ndarray, offsets: list[int], waiting: np.ndarray) -> np.ndarray:
    """The waiting pixels around `pixels`, each once: the next step reaches them all."""
    found = []
    for offset in offsets:
        around = pixels + offset
        around = np.compress(waiting[around], around)
        waiting[around] = False
        found.append(around)
    return np.concatenate(found)
