"""StarDist's target maps: object probability and star distances.

Source: Schmidt et al., "Cell Detection with Star-Convex Polygons", MICCAI 2018, section 2.1.
"""

import edt
import fastremap
import numpy as np

from jaxnuc.postprocess.checks import label_map
from jaxnuc.postprocess.polygons import checked_grid, ray_directions

_CHUNK = 1 << 17  # pixels at a time, so that what a ray needs stays in the cache
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

    Time is linear in grid points times rays times the longest way within an object.

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
    on_grid = labels[::grid, ::grid]
    height, width = on_grid.shape
    counts = _steps_inside(labels, n_rays, grid)
    ends = 0.5 / np.abs(ray_directions(n_rays)).max(axis=0)
    by_pixel = np.ascontiguousarray(counts.T).reshape(height, width + 1, n_rays)[:, :width]
    distances = np.add(by_pixel, ends.astype(np.float32), dtype=np.float32)
    distances[on_grid == 0] = 0
    return distances


def _steps_inside(labels: np.ndarray, n_rays: int, grid: int) -> np.ndarray:
    """(R, h * (w + 1)) how many steps of each ray stay inside; one zero ends each row of the grid.

    A step leads to the same offset from every pixel, as no position lies halfway between two
    pixels. (If R is a multiple of 3 some do: their offsets are rounded half to even, where the
    reference has no rule, for it adds up in single precision.) So one comparison of two shifted
    views of the label map takes a step from all pixels at once. With a grid the label map is
    parted by the remainders of row and column; a shift is within one part.

    The positions of a ray follow each other without a gap. One column of zeros between rows
    therefore stops all rays that leave the image, and what they read later does not matter.
    """
    sides = np.array(labels.shape)
    height, width = -(-sides // grid)
    line = width + 1
    size = height * line
    longest = int(np.hypot(*sides)) + 2
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
