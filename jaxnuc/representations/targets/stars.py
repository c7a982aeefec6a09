"""StarDist's target maps: object probability and star distances.

Source: Schmidt et al., "Cell Detection with Star-Convex Polygons", MICCAI 2018, section 2.1.
"""

import edt
import fastremap
import numpy as np

from jaxnuc.postprocess.checks import label_map
from jaxnuc.postprocess.polygons import checked_grid, ray_directions
from jaxnuc.postprocess.regions import regions

_CHUNK = 1 << 17  # pixels at a time, so that what a ray needs stays in the cache
_BOX = 100  # copying an object takes as long as the steps of so many pixels
_SPARSE = 32  # when fewer than one pixel in so many is left, only these are looked at


def edt_probability(instances: np.ndarray, grid: int = 1) -> np.ndarray:
    """The object probability: the distance to outside the object over its greatest value there.

    The border of the image is not outside: an object cut by it keeps its high values there. Only
    of an object that fills the whole image is the frame around it outside. With a grid, distances
    are taken on the subsampled label map.

    Args:
      instances: (H, W) integer label map, 0 is background. Parts of one id are one object.
      grid: pixels from one grid point to the next, each way.

    Returns:
      (ceil(H / grid), ceil(W / grid)) float32 in [0, 1], 0 in the background.

    Raises:
      ValueError: no (H, W) label map of non-negative integers, or no positive grid.

    Example:
      >>> edt_probability(np.array([[0, 1, 1, 1, 2, 2]]))
      array([[0. , 0.5, 1. , 0.5, 0.5, 1. ]], dtype=float32)
    """
    grid = checked_grid(grid)
    labels = fastremap.renumber(label_map(instances, "instances"))[0][::grid, ::grid]
    if not labels.any():
        return np.zeros(labels.shape, np.float32)
    fills = bool((labels == labels[0, 0]).all())
    distances = edt.edt(np.ascontiguousarray(labels), black_border=fills)
    most = np.zeros(int(labels.max()) + 1, np.float32)
    np.maximum.at(most, labels.ravel(), distances.ravel())
    most[0] = 1
    return distances / most[labels]


def star_distances(instances: np.ndarray, n_rays: int = 32, grid: int = 1) -> np.ndarray:
    """The distances from each pixel to the outline of its object along equally spaced rays.

    Ray k of R points to the angle 2 pi k / R: row + sin, column + cos. It proceeds by steps of one
    pixel until its position, rounded, is off the object or the image; the distance ends at the
    side of that pixel: (steps inside) + 0.5 / max(|sin|, |cos|).

    Time is linear in the grid points of the objects' boxes, in rays, and in the longest way within
    an object.

    Args:
      instances: (H, W) integer label map, 0 is background.
      n_rays: R, at least 3.
      grid: pixels from one grid point to the next, each way. Rays run on the full label map.

    Returns:
      (ceil(H / grid), ceil(W / grid), R) float32 in pixels of the label map, 0 in the background.

    Raises:
      ValueError: no (H, W) label map of non-negative integers, no positive grid, too few rays.

    Example:
      >>> star_distances(np.array([[0, 5, 5, 5, 0]]), n_rays=4)[0, 1]
      array([2.5, 0.5, 0.5, 0.5], dtype=float32)
    """
    if n_rays < 3:
        raise ValueError(f"{n_rays} rays make no polygon; at least 3 are needed")
    grid = checked_grid(grid)
    labels = fastremap.renumber(label_map(instances, "instances"))[0]
    height, width = -(-np.array(labels.shape) // grid)
    distances = np.zeros((height * width, n_rays), np.float32)
    if labels.any():
        packed, sources, longest = _packed(labels, grid)
        places = np.flatnonzero(np.pad(packed[::grid, ::grid], ((0, 0), (0, 1))))
        counts = _steps_inside(packed, n_rays, grid, longest)[:, places]
        ends = 0.5 / np.abs(ray_directions(n_rays)).max(axis=0)
        values = np.add(counts.T, ends.astype(np.float32), dtype=np.float32)
        distances[sources[packed[::grid, ::grid] > 0]] = values
    return distances.reshape(height, width, n_rays)


def _packed(labels: np.ndarray, grid: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The objects without most of the background between them: rays need not look at it.

    Each object is copied with its box, in rows of boxes side by side; the tallest come first. What
    is crowded stays as it is.

    Args:
      labels: (H, W) label map of 1 to n.
      grid: pixels from one grid point to the next, which stay grid points.

    Returns:
      The packed label map; of each grid point in it, the index in the flat grid that it comes from;
      and how many steps leave any object.
    """
    boxes = regions(labels).boxes
    height, width = -(-np.array(labels.shape) // grid)
    starts, stops = boxes[:, :2] // grid, -(-boxes[:, 2:] // grid)
    sizes = stops - starts
    flat = np.arange(height * width).reshape(height, width)
    longest = int(np.hypot(*(boxes[:, 2:] - boxes[:, :2]).max(axis=0))) + 2
    if sizes.prod(axis=1).sum() + len(boxes) * _BOX > 0.7 * height * width:
        return labels, flat, longest
    line = max(int(sizes[:, 1].max()), int(1.1 * np.sqrt(sizes.prod(axis=1).sum())) + 1)
    places, lines = _in_rows(sizes, line)
    packed = np.zeros((lines * grid, line * grid), labels.dtype)
    sources = np.zeros((lines, line), np.int64)
    moves = np.tile(places - starts, 2)  # of both corners of a box
    for number, (box, move) in enumerate(zip(boxes, moves, strict=True), 1):
        own = labels[_within(box)] == number
        packed[_within(box + move * grid)][own] = number
    for points, move in zip(np.hstack([starts, stops]), moves, strict=True):
        sources[_within(points + move)] = flat[_within(points)]
    return packed, sources, longest


def _within(box: np.ndarray) -> tuple[slice, slice]:
    """The pixels of a box (first row, first column, last row + 1, last column + 1)."""
    top, left, bottom, right = box
    return slice(top, bottom), slice(left, right)


def _in_rows(sizes: np.ndarray, line: int) -> tuple[np.ndarray, int]:
    """Where boxes (n, 2) begin in rows of boxes of this length, (n, 2), and all rows' height."""
    places, row, col, tallest = np.zeros_like(sizes), 0, 0, 0
    for number in np.argsort(-sizes[:, 0], kind="stable"):
        height, length = sizes[number]
        if col + length > line:
            row, col, tallest = row + tallest, 0, 0
        places[number] = row, col
        col, tallest = col + length, max(tallest, height)
    return places, int(row + tallest)


def _steps_inside(labels: np.ndarray, n_rays: int, grid: int, longest: int) -> np.ndarray:
    """(R, h * (w + 1)) how many steps of each ray stay inside; one zero ends each row of the grid.

    A step leads to the same offset from every pixel, as no position lies halfway between two
    pixels. (If R is a multiple of 3 some do: their offsets are rounded half to even, where the
    reference has no rule, for it adds up in single precision.) So one comparison of two shifted
    views of the label map takes a step from all pixels at once. With a grid the label map is
    parted by the remainders of row and column; a shift is within one part.

    The positions of a ray follow each other without a gap. One column of zeros between rows
    therefore stops all rays that leave the map, and what they read later does not matter.
    No ray takes `longest` steps within an object.
    """
    sides = np.array(labels.shape)
    height, width = -(-sides // grid)
    line = width + 1
    size = height * line
    margin = (longest // grid + 2) * line
    parts = np.zeros((grid * grid, margin + size + margin), labels.dtype)
    for number, part in enumerate(parts):
        a, b = divmod(number, grid)
        subsampled = labels[a::grid, b::grid]
        within = part[margin : margin + size].reshape(height, line)
        within[: subsampled.shape[0], : subsampled.shape[1]] = subsampled

    lengths = np.arange(1, longest + 1)
    rows, cols = (np.rint(np.outer(d, lengths)).astype(np.int64) for d in ray_directions(n_rays))
    numbers = (rows % grid * grid + cols % grid).tolist()
    shifts = (margin + rows // grid * line + cols // grid).tolist()
    counts = np.zeros((n_rays, size), np.min_scalar_type(longest))
    views = list(parts)
    for start in range(0, size, _CHUNK):
        stop = min(start + _CHUNK, size)
        own = views[0][margin + start : margin + stop]
        if not own.any():
            continue
        same, few = np.empty(len(own), bool), np.empty(len(own), np.uint8)
        for count, ray in zip(
            counts[:, start:stop], zip(numbers, shifts, strict=True), strict=True
        ):
            inside = own > 0
            steps = zip(*ray, strict=True)
            few[:] = 0  # steps are counted in bytes, which add several times as fast
            for step, (number, shift) in enumerate(steps, 1):
                np.equal(views[number][start + shift : stop + shift], own, out=same)
                inside &= same
                few += inside.view(np.uint8)
                if step % 255 == 0:
                    count += few
                    few[:] = 0
                if np.count_nonzero(inside) * _SPARSE < len(own):
                    break
            count += few
            left = np.flatnonzero(inside)
            while left.size:  # `steps` are enough for the longest way there can be
                number, shift = next(steps)
                left = left[views[number][left + (start + shift)] == own[left]]
                count[left] += 1
    return counts
