"""HoVer-Net's separation of touching nuclei by their horizontal and vertical maps."""

from math import comb, exp

import numpy as np
from scipy import ndimage

from jaxnuc.postprocess._watershed import watershed_by_part
from jaxnuc.postprocess.checks import float_map, probability_map, same_size, within
from jaxnuc.postprocess.components import label_components
from jaxnuc.postprocess.filters import open_with_ellipse
from jaxnuc.postprocess.regions import fill_holes
from jaxnuc.registry import check_known


def hover_watershed(
    probability: np.ndarray,
    hv: np.ndarray,
    threshold: float = 0.5,
    min_size: int = 10,
    marker_threshold: float = 0.4,
    kernel: int = 21,
    constant: str = "ignore",
) -> np.ndarray:
    """Separates nuclei where the horizontal or the vertical map jumps.

    Both maps rise over each nucleus, horizontally or vertically, and fall steeply to the next one.
    Sobel filters find the falls. The foreground without them makes the markers (holes filled,
    opened with a 5x5 ellipse), from which a watershed refills the foreground. A component of the
    foreground without a marker is dropped.

    The falls are measured against the steepest rise and fall in the image, so that the result for
    a nucleus depends on the image around it.

    Args:
      probability: (H, W) float in [0, 1], of belonging to a nucleus.
      hv: (H, W, 2) float, about [-1, 1]: distance to the nucleus' center, channel 0 horizontal
        (rising from left to right), 1 vertical (rising from top to bottom).
      threshold: foreground is where the probability is at least this.
      min_size: components of the foreground and markers with fewer pixels are removed.
      marker_threshold: in [0, 1]; markers are where the scaled fall is below this.
      kernel: side of the Sobel filters in pixels, odd. 21 is meant for 40x (0.25 micrometers per
        pixel); scale it with the magnification, 11 for 20x.
      constant: how to treat a horizontal or vertical map without any slope along its axis,
        which does not show where nuclei meet. `"ignore"`: the other map decides alone, and
        without either the components are the nuclei. `"reference"`: no instances, as in the
        published code, where such a map scales to a fall at every pixel.

    Returns:
      (H, W) int32 instances, 0 is background, ids 1..n in raster order of the markers.

    Raises:
      ValueError: the maps are not (H, W) and (H, W, 2) of one size, hold NaN or infinite numbers
        or a probability outside [0, 1]; a threshold is outside [0, 1]; the kernel is not odd or
        below 3; or `constant` is unknown.

    Example:
      >>> ramp = np.tile(np.linspace(-1, 1, 20), 2)  # two nuclei side by side
      >>> hv = np.stack(np.broadcast_arrays(ramp, np.linspace(-1, 1, 20)[:, None]), axis=-1)
      >>> instances = hover_watershed(np.ones((20, 40)), hv, kernel=5)
      >>> np.unique(instances, return_counts=True)
      (array([1, 2], dtype=int32), array([400, 400]))

    References:
      Graham et al., "HoVer-Net", Medical Image Analysis 58, 2019, section on post-processing, and
      the code published with it.
    """
    probability = probability_map(probability, "probability")
    hv = float_map(hv, "hv", (None, None, 2))
    same_size(probability, hv, "probability", "hv")
    within(threshold, "threshold")
    within(marker_threshold, "marker_threshold")
    if kernel < 3 or kernel % 2 == 0:
        raise ValueError(f"kernel {kernel} is not an odd number from 3; 21 is meant for 40x")
    check_known("rule for constant maps", constant, ("ignore", "reference"))

    parts = label_components(probability >= threshold, min_size, connectivity=1)
    if not parts.any():
        return parts
    energy = hover_energy(hv, kernel, constant)
    energy *= parts > 0  # as in the published code, the background counts as a fall
    markers = hover_markers(energy, parts > 0, marker_threshold, min_size)
    # The relief is smoothed with OpenCV's 3x3 Gaussian, whose sigma is 0.8.
    side = exp(-1 / (2 * 0.8**2))
    gauss = np.array([side, 1, side]) / (1 + 2 * side)
    for axis in (0, 1):
        energy = ndimage.correlate1d(energy, gauss, axis, mode="mirror")
    return watershed_by_part(np.negative(energy, out=energy), markers, parts)


def hover_energy(hv: np.ndarray, kernel: int = 21, constant: str = "ignore") -> np.ndarray:
    """How far each pixel is from a fall of the horizontal or the vertical map.

    It is (H, W) float64, the lower of both slopes, each scaled to [0, 1] over the image: 0 is the
    steepest fall, 1 the steepest rise; arguments are those of `hover_watershed`.

    It is one minus what the published code calls `overall`. That code also scales the maps to
    [0, 1] before it filters them, which changes nothing: the filter is linear, and its result is
    scaled to [0, 1] in any case.
    """
    energy = np.ones(hv.shape[:2])
    for channel, axis in ((0, 1), (1, 0)):
        slope = sobel(hv[..., channel], axis, kernel)
        low, high = slope.min(), slope.max()
        if low < high:
            slope -= low
            slope /= high - low
            np.minimum(energy, slope, out=energy)
        elif constant == "reference":
            energy[:] = 0
    return energy


def hover_markers(
    energy: np.ndarray, foreground: np.ndarray, marker_threshold: float = 0.4, min_size: int = 10
) -> np.ndarray:
    """The parts of the foreground (H, W) away from the falls: a label map, ids in raster order.

    A marker also covers the holes of the foreground inside it.
    """
    flat = foreground & (1 - energy < marker_threshold)
    filled = fill_holes(flat).view(bool)
    return label_components(open_with_ellipse(filled), min_size, connectivity=1)


def sobel(values: np.ndarray, axis: int, kernel: int) -> np.ndarray:
    """The derivative of a map (H, W) by a Sobel filter of any odd size, as OpenCV defines it.

    The other axis is smoothed. The result is float64 and not scaled: binomial weights. The image is
    mirrored about its outermost pixels. Where the map does not change along the axis the result is
    exactly 0.
    """
    smooth = np.array([comb(kernel - 1, k) for k in range(kernel)], np.float64)
    shorter = np.array([comb(kernel - 2, k) for k in range(kernel - 1)], np.float64)
    derive = np.append(0, shorter) - np.append(shorter, 0)
    slope = ndimage.correlate1d(values, derive, axis, output=np.float64, mode="mirror")
    return ndimage.correlate1d(slope, smooth, 1 - axis, output=np.float64, mode="mirror")
