"""Frames: lines of one color at the borders of an image, as exporters and slide programs add."""

import numpy as np

# Levels of 255, a mean of the channels, by which a frame differs from the median of what it frames
# to be foreign to it.
FOREIGN = 64


def inside_frame(image: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of an image (H, W, C) without the lines of one color at its borders.

    All of them where the whole image has one color.

    >>> image = np.pad(np.arange(12).reshape(3, 4, 1), ((2, 0), (0, 1), (0, 0)))
    >>> inside_frame(image)
    (slice(2, 5, None), slice(0, 4, None))
    """
    inside = []
    for axis in (0, 1):
        varied = np.flatnonzero(np.ptp(image, axis=1 - axis).any(axis=-1))
        if not len(varied):
            return slice(0, image.shape[0]), slice(0, image.shape[1])
        inside.append(slice(int(varied[0]), int(varied[-1]) + 1))
    return inside[0], inside[1]


def without_foreign_frame(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) uint8 without a frame that is far darker or brighter than most of it.

    A black frame makes stained tissue pale, and a white one fluorescence dark, if it has a part in
    the percentiles of the image. The empty borders of an image are as dark as its background, and
    stay.
    """
    rows, cols = inside_frame(image)
    inside = image[rows, cols]
    if inside.shape == image.shape:
        return image
    height, width, _ = image.shape
    lines = {
        (0, 0): rows.start > 0 or cols.start > 0,
        (-1, 0): rows.stop < height,
        (0, -1): cols.stop < width,
    }
    colors = np.array([image[corner] for corner, framed in lines.items() if framed], float)
    off = np.abs(colors - np.median(inside, axis=(0, 1))).mean(axis=1)
    return inside if off.max() > FOREIGN else image
