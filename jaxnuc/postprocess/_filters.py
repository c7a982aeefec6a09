"""Binary filters of whole masks."""

import numpy as np

from jaxnuc.postprocess.components import label_components


def fill_mask(mask: np.ndarray) -> np.ndarray:
    """Fills the holes of a mask (H, W) bool.

    A hole is a 4-connected part of the background that does not touch the image border.
    """
    if not mask.size:
        return mask
    background = label_components(~mask, connectivity=1)
    open_to_border = np.zeros(int(background.max()) + 1, bool)
    for side in (background[0], background[-1], background[:, 0], background[:, -1]):
        open_to_border[side] = True
    open_to_border[0] = False
    return ~open_to_border[background]


def open_with_ellipse(mask: np.ndarray) -> np.ndarray:
    """Opens a mask (H, W) bool with OpenCV's 5x5 ellipse.

    The ellipse is a square of 5x5 without its corners and their row-wise neighbours: a column of
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
