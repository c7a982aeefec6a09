"""Filters of whole maps by small neighborhoods."""

import numpy as np


def open_with_ellipse(mask: np.ndarray) -> np.ndarray:
    """Opens a mask (H, W) bool with OpenCV's 5x5 ellipse.

    The ellipse is a square of 5x5 without its corners and their row-wise neighbors: a column of
    5 pixels and a box of 3 rows by 5 columns, so that a transposed mask may open otherwise. The
    image border neither erodes nor dilates.
    """
    width = mask.shape[1]
    for outside, combine in ((True, np.bitwise_and), (False, np.bitwise_or)):
        around = np.pad(mask, 2, constant_values=outside)
        three = combine(around[1:-3], around[2:-2])  # the box's 3 rows
        combine(three, around[3:-1], out=three)
        mask = combine(around[:-4, 2:-2], around[4:, 2:-2])  # the column's ends
        for shift in range(5):
            combine(mask, three[:, shift : shift + width], out=mask)
    return mask


def over_cross(combine: np.ufunc, values: np.ndarray) -> np.ndarray:
    """Combines each pixel (H, W) with its four neighbors, as far as they are in the image."""
    result = values.copy()
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        combine(result[here], values[there], out=result[here])
        combine(result[there], values[here], out=result[there])
    return result
