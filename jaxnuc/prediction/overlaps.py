"""Boxes, common pixels and unions of masks.

Boxes are half-open: row_min, col_min, row_max, col_max.
"""

from collections.abc import Sequence

import numpy as np
import shapely

from jaxnuc.postprocess.masks import Mask


def boxes_of(masks: Sequence[Mask]) -> np.ndarray:
    """(N, 4) int64 boxes of masks."""
    boxes = [(m.row, m.col, *np.add(m[:2], m.mask.shape)) for m in masks]
    return np.array(boxes, np.int64).reshape(-1, 4)


def overlapping(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(P, 2) ascending pairs of a box and another that have pixels in common."""
    # The tree also returns boxes that only touch, which have no pixel in common.
    tree = shapely.STRtree(shapely.box(*others.T))
    a, b = tree.query(shapely.box(*boxes.T))
    first = np.maximum(boxes[a, :2], others[b, :2])
    stop = np.minimum(boxes[a, 2:], others[b, 2:])
    pairs = np.stack([a, b], axis=1)[(first < stop).all(axis=1)]
    return pairs[np.lexsort(pairs.T[::-1])]


def common_pixels(one: Mask, other: Mask) -> int:
    """Number of pixels in both masks, whose boxes overlap."""
    row, col = max(one.row, other.row), max(one.col, other.col)
    a = one.mask[row - one.row :, col - one.col :]
    b = other.mask[row - other.row :, col - other.col :]
    height, width = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    return int(np.count_nonzero(a[:height, :width] & b[:height, :width]))


def within(one: Mask, box: np.ndarray) -> int:
    """Number of pixels of a mask in a box."""
    top, left, bottom, right = box.tolist()
    rows = slice(max(0, top - one.row), max(0, bottom - one.row))
    cols = slice(max(0, left - one.col), max(0, right - one.col))
    return int(np.count_nonzero(one.mask[rows, cols]))


def union(masks: Sequence[Mask]) -> Mask:
    """The union of one mask or more."""
    boxes = boxes_of(masks)
    (top, left), (bottom, right) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    pixels = np.zeros((bottom - top, right - left), bool)
    for row, col, mask in masks:
        part = np.s_[row - top : row - top + mask.shape[0], col - left : col - left + mask.shape[1]]
        pixels[part] |= mask
    return Mask(top, left, pixels)
