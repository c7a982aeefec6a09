"""Outlines of masks: valid polygons along the borders of pixels, and contours through them."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from jaxnuc.postprocess.masks import Mask


class Outline(NamedTuple):
    """The outline of one nucleus, closed: the first corner is also the last."""

    outer: np.ndarray  # (K, 2) int64 (row, col) of corners of pixels, (0, 0) being the image's
    holes: list[np.ndarray]  # the same of each hole


def outline(mask: Mask) -> Outline:
    """The polygon that covers the pixels of a mask, at least one, and nothing else.

    Of a mask in pieces only the largest is kept, and of equal ones the first: a polygon cannot have
    two parts. Pixels that only touch at a corner are different pieces. The polygon is valid: its
    rings are simple, and meet in single points at most. The outer ring runs counter-clockwise if
    x is the column and y the row, holes clockwise, as GeoJSON has it.

    Example:
      >>> outline(Mask(5, 7, np.ones((1, 2), bool))).outer.tolist()
      [[5, 7], [5, 9], [6, 9], [6, 7], [5, 7]]
    """
    corners, pairs = _corners(largest_piece(mask.mask))
    corners += (mask.row, mask.col)
    rings: list[np.ndarray] = []
    left = set(range(len(corners)))
    for start in range(len(corners)):  # the outer ring has the first corner
        if start not in left:
            continue
        ring, at = [start], start
        while True:
            ring.append(at ^ 1)
            at = pairs[at ^ 1]
            ring.append(at)
            if at == start:
                break
        left.difference_update(ring)
        rings.append(corners[ring] if not rings else corners[ring[::-1]])
    return Outline(rings[0], rings[1:])


def rings(mask: Mask, scale: tuple[float, float] = (1, 1)) -> list[list[list[float]]]:
    """The outline of a nucleus as GeoJSON has it: rings of (x, y), the outer one first.

    The corners are multiplied by the scale (row, col).
    """
    outer, holes = outline(mask)
    corners = [ring[:, ::-1] for ring in (outer, *holes)]
    if scale == (1, 1):
        return [ring.tolist() for ring in corners]  # whole numbers
    return [(ring * scale[::-1]).tolist() for ring in corners]


def contour(mask: Mask) -> np.ndarray:
    """The outer border pixels of a mask in turn: corners of an 8-connected line through them.

    (K, 2) int64 (row, col) of pixels of the image, clockwise as one sees it, not closed. Of a mask
    in pieces, the largest is taken, as in `outline`.

    Example:
      >>> contour(Mask(5, 7, np.ones((3, 2), bool))).tolist()
      [[5, 7], [5, 8], [7, 8], [7, 7]]
    """
    ring = outline(mask).outer
    step = np.sign(np.diff(ring, axis=0))
    # The pixel inside of a side's beginning, and that of its end: sides run with the mask on their
    # right.
    first = ring[:-1] + np.minimum(step, 0) + np.minimum(np.stack([step[:, 1], -step[:, 0]], 1), 0)
    last = first + np.diff(ring, axis=0) - step
    pixels = np.stack([first, last], axis=1).reshape(-1, 2)
    new = (pixels != np.roll(pixels, -1, axis=0)).any(axis=1)
    return pixels[new] if new.any() else pixels[:1]


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest part of a bool mask whose pixels are joined by their sides."""
    labels, n = ndimage.label(mask)
    return mask if n == 1 else labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def _corners(mask: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Where the outline turns, row by row, and which corner is at the other end of a vertical side.

    A horizontal side joins corner 2k to 2k + 1. Where four pixels meet of which only two opposite
    ones are inside, two corners lie, each of which belongs to one of the pixels outside. So every
    ring runs around one piece of the outside, pieces being joined by the sides of pixels. A ring
    that came back to its own corner would cut the mask in two; hence none does.
    """
    height, width = mask.shape
    inside = np.zeros((height + 2, width + 2), np.int8)
    inside[1:-1, 1:-1] = mask
    a, b, c, d = inside[:-1, :-1], inside[:-1, 1:], inside[1:, :-1], inside[1:, 1:]
    crossing = (a == d) & (b == c) & (a != b)
    number = (a ^ b ^ c ^ d) + 2 * crossing
    row, col = np.nonzero(number)
    times = number[row, col]
    row, col = np.repeat(row, times), np.repeat(col, times)
    # Of two corners in one place, the first ends the side on the left and the second begins that on
    # the right. Where `a` is outside, the left side goes on upwards around it, else downwards.
    tie = np.arange(len(row))
    turned = (crossing & (a == 1))[row, col]
    tie[turned] *= -1
    order = np.lexsort((tie, row, col))
    pairs = np.empty_like(order)
    pairs[order[::2]], pairs[order[1::2]] = order[1::2], order[::2]
    return np.stack([row, col], axis=1), pairs.tolist()
