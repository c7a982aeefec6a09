"""Instances that may overlap, each as a cropped mask."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from jaxnuc.postprocess.checks import label_map
from jaxnuc.postprocess.regions import regions
from jaxnuc.registry import check_known


class Mask(NamedTuple):
    """One instance: where its crop lies in the image, and which pixels of the crop belong to it.

    Attributes:
      row: first row of the crop.
      col: first column of the crop.
      mask: (h, w) bool, at least one pixel set in each outer row and column.
    """

    row: int
    col: int
    mask: np.ndarray


def scaled(one: Mask, scale: tuple[float, float], shape: tuple[int, int]) -> Mask:
    """A mask in another resolution: a pixel belongs to it where its center lies within.

    Args:
      one: the mask.
      scale: (row, col), pixels of the result per pixel of the mask.
      shape: (H, W) of the image in the other resolution.

    Returns:
      The mask; the pixel nearest to its middle where no center lies within.

    >>> scaled(Mask(1, 1, np.ones((1, 2), bool)), (2, 2), (6, 8))[:2]
    (2, 2)
    """
    starts, indices = [], []
    for first, length, factor, whole in zip(one[:2], one.mask.shape, scale, shape, strict=True):
        start = min(math.floor(first * factor), whole - 1)
        lines = np.arange(start, min(math.ceil((first + length) * factor), whole))
        index = np.floor((lines + 0.5) / factor).astype(int) - first
        inside = (index >= 0) & (index < length)
        starts.append(int(lines[inside][0]) if inside.any() else start)
        indices.append(index[inside])
    mask = one.mask[np.ix_(*indices)]
    if not mask.any():
        middle = [
            min(int((first + length / 2) * factor), whole - 1)
            for first, length, factor, whole in zip(
                one[:2], one.mask.shape, scale, shape, strict=True
            )
        ]
        return Mask(middle[0], middle[1], np.ones((1, 1), bool))
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    crop = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return Mask(starts[0] + int(rows[0]), starts[1] + int(cols[0]), crop)


def paint(masks: Sequence[Mask], shape: tuple[int, int]) -> np.ndarray:
    """Paints masks over each other.

    Args:
      masks: in the order of painting: where they overlap, the later lies on top.
      shape: (H, W) of the image.

    Returns:
      (H, W) int32 label map; mask `k` has the id `k + 1`, if later ones leave anything of it.

    Raises:
      ValueError: a mask leaves the image.

    Example:
      >>> paint([Mask(0, 0, np.ones((2, 3), bool)), Mask(1, 2, np.ones((1, 2), bool))], (2, 4))
      array([[1, 1, 1, 0],
             [1, 1, 2, 2]], dtype=int32)
    """
    labels = np.zeros(shape, np.int32)
    for i, (row, col, mask) in enumerate(masks, start=1):
        height, width = mask.shape
        below = labels[row : row + height, col : col + width]
        if row < 0 or col < 0 or below.shape != mask.shape:
            raise ValueError(
                f"mask {i - 1} has its corner at {(row, col)} and a size of {mask.shape}: it "
                f"leaves the image of {tuple(shape)}"
            )
        below[mask] = i
    return labels


def masks_of(
    instances: np.ndarray, covered: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[Mask, ...]]:
    """The nuclei of a label map one by one, each whole where others lie on top of it.

    Args:
      instances: (H, W) integer label map, 0 is background.
      covered: (H, W, D) integer ids of the nuclei below, as in `jaxnuc.data.Sample`; None: no
        nuclei overlap.

    Returns:
      (N,) ids, ascending, and as many masks.

    Raises:
      ValueError: a map holds floats or a negative id, or is not (H, W).

    Example:
      >>> ids, masks = masks_of(np.array([[4, 9, 9]]), np.array([[[0], [4], [0]]]))
      >>> ids, masks[0].mask
      (array([4, 9]), array([[ True,  True]]))
    """
    layers = [instances, *([] if covered is None else np.moveaxis(covered, -1, 0))]
    found = [regions(layer) for layer in layers]
    ids, owner = np.unique(np.concatenate([each.ids for each in found]), return_inverse=True)
    every = np.concatenate([each.boxes for each in found])
    boxes = np.tile(np.array([*instances.shape, 0, 0]), (len(ids), 1))
    np.minimum.at(boxes[:, :2], owner, every[:, :2])
    np.maximum.at(boxes[:, 2:], owner, every[:, 2:])
    masks = []
    for number, (row, col, end_row, end_col) in zip(ids, boxes.tolist(), strict=True):
        box = np.s_[row:end_row, col:end_col]
        masks.append(Mask(row, col, np.any([layer[box] == number for layer in layers], axis=0)))
    return ids, tuple(masks)


def region_masks(
    regions: np.ndarray, outline: str = "filled", max_instances: int | None = None
) -> tuple[Mask, ...]:
    """The regions of a label map as masks, the largest first.

    They are in the order of the area of their column polygon: from the top pixel of each column,
    left to right, and the bottom pixels back, through the centers of the pixels. Equal areas are in
    the order of their ids. The order does not depend on `outline`.

    Args:
      regions: (H, W) integer or bool label map of 8-connected regions, 0 is background.
      outline: `"exact"`, the region itself; `"filled"`, the region with its holes, which are
        enclosed by 8-connected pixels of it; `"columns"`, the column polygon with its outline,
        which fills holes and parts that are open upwards or downwards, may cover pixels of
        neighbors, and drops regions of less than three columns.
      max_instances: how many to keep; None keeps all.

    Raises:
      ValueError: the map is not (H, W), holds floats or a negative id, `outline` is unknown,
        `max_instances` is negative, or a region whose column polygon is wanted is in pieces.

    Example:
      >>> ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
      >>> region_masks(ring)[0].mask.sum(), region_masks(ring, "exact")[0].mask.sum()
      (np.int64(9), np.int64(8))
    """
    check_known("outline", outline, ("filled", "exact", "columns"))
    if max_instances is not None and max_instances < 0:
        raise ValueError(f"max_instances is {max_instances}; it must be 0 or more, or None for all")

    regions = label_map(regions, "regions")
    columns = _columns(regions)
    if not columns.ids.size:
        return ()
    order = np.lexsort((columns.ids, -columns.polygon_areas()))
    top, bottom = columns.top, columns.bottom
    if outline == "columns":
        columns.check_whole()
        order = order[(columns.stops - columns.starts)[order] > 2]
        top, bottom = columns.outlined()
    first_row = np.minimum.reduceat(top, columns.starts)
    last_row = np.maximum.reduceat(bottom, columns.starts)
    first_col = columns.col[columns.starts]
    boxes = np.stack([first_row, last_row + 1, first_col, columns.starts, columns.stops], axis=1)
    masks = []
    for k in order[:max_instances].tolist():
        row, end_row, col, start, stop = boxes[k].tolist()
        if outline == "columns":
            rows = np.arange(row, end_row)[:, None]
            mask = (rows >= top[start:stop]) & (rows <= bottom[start:stop])
        else:
            end_col = int(columns.col[stop - 1]) + 1
            mask = regions[row:end_row, col:end_col] == columns.ids[k]
            if outline == "filled" and columns.open_columns[k]:  # others have no hole
                mask = ndimage.binary_fill_holes(mask)
        masks.append(Mask(row, col, mask))
    return tuple(masks)


class _Columns(NamedTuple):
    """The column polygons of N regions, one column after the other, one region after the other."""

    ids: np.ndarray  # (N,) of the regions, ascending
    starts: np.ndarray  # (N,) the columns of each region are `starts:stops` of the (C,) below
    stops: np.ndarray
    open_columns: np.ndarray  # (N,) whether a column has other pixels between its own: a hole?
    col: np.ndarray  # (C,) number of each column
    top: np.ndarray  # (C,) first row of the region in it
    bottom: np.ndarray  # (C,) last row

    def check_whole(self) -> None:
        """Raises ValueError where a region leaves out columns: there is no line between them."""
        skipped = np.diff(self.col) != 1
        skipped[self.starts[1:] - 1] = False
        if skipped.any():
            i = int(np.argmax(skipped))
            region = self.ids[np.searchsorted(self.starts, i, side="right") - 1]
            raise ValueError(
                f"region {region} has nothing between the columns {self.col[i]} and "
                f'{self.col[i + 1]}; separate its pieces first, or take outline="filled"'
            )

    def polygon_areas(self) -> np.ndarray:
        """(N,) float64 area of each polygon through the centers of its pixels."""
        heights = self.bottom - self.top
        trapezoids = (heights[1:] + heights[:-1]) * np.diff(self.col) / 2
        trapezoids[self.starts[1:] - 1] = 0
        return np.add.reduceat(np.append(trapezoids, 0.0), self.starts)

    def outlined(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last row of each column of the polygons, filled with their outline.

        The outline is drawn with 8-connected lines from left to right. Between two columns, the
        line from row y0 to y1 has its first |y1 - y0| // 2 + 1 pixels in the left column.
        """
        first, last = self.top.copy(), self.bottom.copy()
        left = np.setdiff1d(np.arange(self.col.size - 1), self.starts[1:] - 1, assume_unique=True)
        for edge in (self.top, self.bottom):
            step = edge[left + 1] - edge[left]
            turn = edge[left] + np.sign(step) * (np.abs(step) // 2)
            for column, row in ((left, turn), (left + 1, turn + np.sign(step))):
                first[column] = np.minimum(first[column], row)
                last[column] = np.maximum(last[column], row)
        return first, last


def _columns(regions: np.ndarray) -> _Columns:
    by_column = np.pad(np.ascontiguousarray(regions.T), ((0, 0), (1, 1)))
    change = by_column[:, 1:] != by_column[:, :-1]
    col, top = np.nonzero(change & (by_column[:, 1:] > 0))
    _, end = np.nonzero(change & (by_column[:, :-1] > 0))
    # One run of pixels of a column after the other; the ends pair up with the starts.
    ids = regions[top, col]
    order = np.argsort(ids, kind="stable")
    ids, col, top, bottom = ids[order], col[order], top[order], end[order] - 1
    new_region = np.diff(ids, prepend=0) != 0
    first_run = np.flatnonzero(new_region | (np.diff(col, prepend=-1) != 0))
    last_run = np.append(first_run[1:], ids.size)[: first_run.size] - 1
    starts = np.flatnonzero(new_region[first_run])
    stops = np.append(starts[1:], first_run.size)[: starts.size]
    n_runs = np.diff(np.append(first_run[starts], ids.size))
    return _Columns(
        ids[first_run[starts]],
        starts,
        stops,
        n_runs > stops - starts,
        col[first_run],
        top[first_run],
        bottom[last_run],
    )
