"""Brightness of every nucleus and around it, for fluorescence and other images without stains."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from jaxnuc.postprocess.masks import Mask

# The background of a nucleus: pixels that are this far from it and in no nucleus.
NEAR, FAR = 2, 6
_CHANNELS = {1: ("intensity",), 3: ("red", "green", "blue")}


def measure_intensity(
    masks: Sequence[Mask], image: np.ndarray, corner: tuple[int, int] = (0, 0)
) -> dict[str, np.ndarray]:
    """Measures the brightness of nuclei.

    Args:
      masks: N masks; they may overlap.
      image: (H, W, 1) or (H, W, 3), with at least `FAR` pixels around the masks where the image
        has them; pixels of masks that are not given count as background.
      corner: (row, col) of the image's first pixel in the coordinates of the masks.

    Returns:
      Columns (N,) by name, in units of the image: `intensity_mean`, `intensity_median`,
      `intensity_sum` over the pixels of the nucleus, and `intensity_background`, the median of the
      pixels that are more than 2 and at most 6 steps outside of it and in no nucleus, NaN where
      there are none. Of three channels `red_mean`, ..., `blue_background`.

    Raises:
      ValueError: another number of channels, or a mask leaves the image.
    """
    height, width, channels = image.shape
    if channels not in _CHANNELS:
        raise ValueError(f"an image of {channels} channels; expected 1 or 3")
    taken = np.zeros((height, width), bool)
    places = [_place(mask, corner, (height, width)) for mask in masks]
    for (rows, cols), one in zip(places, masks, strict=True):
        taken[rows, cols] |= one.mask
    found = np.full((len(masks), 4, channels), np.nan)
    for number, ((rows, cols), one) in enumerate(zip(places, masks, strict=True)):
        inside = image[rows, cols][one.mask]
        total = inside.sum(axis=0)
        found[number, :3] = total / len(inside), _median(inside), total
        around = [
            slice(max(0, part.start - FAR), min(side, part.stop + FAR))
            for part, side in zip((rows, cols), (height, width), strict=True)
        ]
        nucleus = np.zeros([part.stop - part.start for part in around], bool)
        top, left = rows.start - around[0].start, cols.start - around[1].start
        nucleus[top : top + one.mask.shape[0], left : left + one.mask.shape[1]] = one.mask
        steps = ndimage.distance_transform_cdt(~nucleus, "taxicab")
        ring = (steps > NEAR) & (steps <= FAR) & ~taken[around[0], around[1]]
        if ring.any():
            found[number, 3] = _median(image[around[0], around[1]][ring])
    kinds = ("mean", "median", "sum", "background")
    return {
        f"{name}_{kind}": found[:, k, channel]
        for channel, name in enumerate(_CHANNELS[channels])
        for k, kind in enumerate(kinds)
    }


def _median(values: np.ndarray) -> np.ndarray:
    """`np.median` over the first axis, which takes several times as long for a few values."""
    n, values = len(values), np.sort(values, axis=0)
    middle: np.ndarray = (values[(n - 1) // 2] + values[n // 2]) / 2
    return middle


def _place(one: Mask, corner: tuple[int, int], shape: tuple[int, int]) -> tuple[slice, slice]:
    rows, cols = (
        slice(first - start, first - start + length)
        for first, start, length in zip(one[:2], corner, one.mask.shape, strict=True)
    )
    if min(rows.start, cols.start) < 0 or rows.stop > shape[0] or cols.stop > shape[1]:
        raise ValueError(f"a mask at {one[:2]} leaves the image of {shape}; is `corner` right?")
    return rows, cols


def is_stained(picture: np.ndarray) -> bool:
    """Whether an image (H, W, 3) uint8 is of stained tissue: bright, and not gray.

    >>> is_stained(np.full((9, 9, 3), (220, 180, 215), np.uint8))
    True
    >>> is_stained(np.zeros((9, 9, 3), np.uint8))
    False
    """
    red, green, blue = np.moveaxis(picture, -1, 0)
    colors = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    bright = np.count_nonzero(picture > 100) > picture.size / 2  # the median is
    return bool(colors.mean() > 4 and bright)
