"""Separation of touching nuclei where they are joined by a neck: by the shape of the mask."""

import numpy as np
from scipy import ndimage

from jaxnuc.postprocess._watershed import watershed_by_part
from jaxnuc.postprocess.checks import probability_map, within
from jaxnuc.postprocess.components import label_components
from jaxnuc.postprocess.distance import NEIGHBORS, regional_maxima
from jaxnuc.postprocess.regions import relabel


def split_at_necks(
    mask_probability: np.ndarray,
    threshold: float = 0.5,
    neck: float = 0.9,
    smoothing: float = 1.0,
    contour_probability: np.ndarray | None = None,
    contour_share: float = 0.6,
) -> np.ndarray:
    """Splits a mask into nuclei by a watershed of its smoothed distance transform.

    Every maximum of the distance to the background is a nucleus, unless the way from it to a higher
    one is about as wide all along: of two parts that meet, the narrower one stays a nucleus of its
    own if the widest passage between them is narrower than `neck` times its own width. In terms of
    mathematical morphology the markers are the h-maxima of the logarithm of the distance, with
    `h = -log(neck)`. So nuclei of all sizes are split alike, and one number does for all
    magnifications; h-maxima of the distance itself split large nuclei more readily than small ones.

    Args:
      mask_probability: (H, W) float in [0, 1], of belonging to a nucleus.
      threshold: the mask is where the probability is above it.
      neck: in (0, 1]; lower leaves more nuclei together, and 1 makes a nucleus of each maximum.
      smoothing: standard deviation of the Gaussian that smooths the distances, in pixels; 0 leaves
        them. Without it, outlines that are rough by a pixel have many maxima.
      contour_probability: (H, W) float in [0, 1], of lying on the contour of a nucleus. Distances
        are then a mean of two: to the background, and to the nearest of background and contours,
        which are where this probability is 0.5 or more. So a contour across a wide neck narrows it.
      contour_share: the weight of the latter in [0, 1]; with 1, gaps in contours join nuclei.

    Returns:
      (H, W) int32 instances, 0 is background, ids 1..n. Every pixel of the mask is in one. The
      borders of the image are not background, so that a nucleus they cut is not narrower there.

    Raises:
      ValueError: a map is not (H, W), or holds NaN or a number outside [0, 1]; the threshold, neck
        or share is outside its interval; smoothing is negative.

    Example:
      >>> mask = np.zeros((9, 21))
      >>> mask[1:8, 1:9] = mask[1:8, 12:20] = mask[3:6, 9:12] = 1.0
      >>> int(split_at_necks(mask).max()), int(split_at_necks(mask, neck=0.3).max())
      (2, 1)

    References:
      Vincent, "Morphological grayscale reconstruction in image analysis", IEEE Transactions on
      Image Processing 2(2), 1993 (h-maxima); Najman and Schmitt, "Geodesic saliency of watershed
      contours and hierarchical segmentation", IEEE TPAMI 18(12), 1996 (merging by dynamics).
    """
    probability = probability_map(mask_probability, "mask_probability")
    within(threshold, "threshold")
    within(contour_share, "contour_share")
    if not 0 < neck <= 1:
        raise ValueError(f"neck={neck} must be above 0 and at most 1")
    if not smoothing >= 0:
        raise ValueError(f"smoothing={smoothing} px is negative")
    mask = probability > threshold
    parts = label_components(mask, connectivity=1)
    if mask.all() or not mask.any():
        return parts
    distance = ndimage.distance_transform_edt(mask)
    if contour_probability is not None and contour_share:
        contours = probability_map(contour_probability, "contour_probability") >= 0.5
        inner = ndimage.distance_transform_edt(mask & ~contours)
        distance = (1 - contour_share) * distance + contour_share * inner
    if smoothing:
        distance = ndimage.gaussian_filter(distance, smoothing)
    distance *= mask
    maxima = regional_maxima(distance)
    basins = watershed_by_part(-distance, maxima, parts)
    peaks = np.zeros(int(basins.max()) + 1)
    peaks[basins[maxima > 0]] = distance[maxima > 0]
    return relabel(_merged(basins, peaks, distance, parts, neck)[basins])


def _merged(
    basins: np.ndarray, peaks: np.ndarray, distance: np.ndarray, parts: np.ndarray, neck: float
) -> np.ndarray:
    """The nucleus (N + 1,) of each of N basins (H, W) of distances up to `peaks` (N + 1,).

    Basins meet at their passes, the widest first; over corners too, or slanted necks would count
    as narrower than upright ones. One whose maximum is hardly higher than the pass
    goes to the other: that of the higher maximum, so that no later pass can part them again.
    """
    count = len(peaks) - 1
    keys, heights = [], []
    for here, there in NEIGHBORS:
        differ = np.nonzero(basins[here] != basins[there])  # few pixels, most beside the background
        (one, other), (part, beside), sides = (
            (values[here][differ], values[there][differ]) for values in (basins, parts, distance)
        )
        meet = (part == beside) & (part > 0)
        low, high = np.minimum(one, other)[meet], np.maximum(one, other)[meet]
        keys.append(low.astype(np.int64) * (count + 1) + high)
        heights.append(np.minimum(*sides)[meet])
    key, height = np.concatenate(keys), np.concatenate(heights)
    order = np.lexsort((key, -height))
    _, first = np.unique(key[order], return_index=True)
    passes = order[np.sort(first)]  # of each pair the highest

    owner = np.arange(count + 1)

    def root(basin: int) -> int:
        while owner[basin] != basin:
            owner[basin] = owner[owner[basin]]
            basin = int(owner[basin])
        return basin

    for pair, of_pass in zip(key[passes].tolist(), height[passes].tolist(), strict=True):
        ends = map(root, divmod(pair, count + 1))
        lower, higher = sorted(ends, key=lambda basin: (peaks[basin], -basin))
        if lower != higher and of_pass >= neck * peaks[lower]:
            owner[lower] = higher
    return np.array([root(basin) for basin in range(count + 1)])
