"""Place, size, shape and stain of every nucleus."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import shapely

from jaxnuc.data import stains as stain
from jaxnuc.postprocess.masks import Mask
from jaxnuc.registry import unknown

# Directions of hematoxylin and eosin in optical density, red, green, blue.
RUIFROK = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
RUIFROK /= np.linalg.norm(RUIFROK, axis=1, keepdims=True)

# Length of the outline per border pixel by its neighbors on the border: 2 for each beside it, 10
# for each at a corner. All others count 0.
_LENGTHS = np.zeros(50)
_LENGTHS[[4, 6, 14, 16, 24, 26]] = 1
_LENGTHS[[20, 32]] = np.sqrt(2)
_LENGTHS[[12, 22]] = (1 + np.sqrt(2)) / 2


def measure(
    masks: Sequence[Mask],
    image: np.ndarray | None = None,
    *,
    corner: tuple[int, int] = (0, 0),
    mpp: float | None = None,
    stains: str | np.ndarray | None = "ruifrok",
) -> dict[str, np.ndarray]:
    """Measures nuclei, all at once, in time that grows with their pixels only.

    Args:
      masks: N masks; they may overlap.
      image: (H, W, 3) uint8; None leaves stains out.
      corner: (row, col) of the image's first pixel in the coordinates of the masks.
      mpp: micrometers per pixel; where given, lengths and areas come in micrometers too.
      stains: `"ruifrok"`, the usual vectors, or the image's own (2, 3) as in `Stains.matrix`,
        hematoxylin first; None leaves them out, as for fluorescence.

    Returns:
      Columns (N,) by name: `centroid_row`, `centroid_col`; `row_min`, `col_min`, `row_max`,
      `col_max` (half-open, int64); `area` (int64), `perimeter`, `major_axis`, `minor_axis` in
      pixels; `eccentricity`, `solidity`; `hematoxylin` and `eosin`, mean optical density in
      decades; `area_um2`, `perimeter_um`, `major_axis_um`, `minor_axis_um`. All are those of
      scikit-image's `regionprops`.

    Raises:
      ValueError: a mask is empty or leaves the image, or `stains` is unknown.

    Example:
      >>> found = measure([Mask(2, 3, np.ones((4, 4), bool))], mpp=0.5)
      >>> [float(found[name][0]) for name in ("centroid_row", "area", "area_um2", "solidity")]
      [3.5, 16.0, 4.0, 1.0]

    References:
      Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution",
      2001; Benkrid and Crookes, "Design and FPGA implementation of a perimeter estimator", 2000.
    """
    pixels = _pixels(masks)
    n, owner = len(masks), pixels.owner
    area = np.bincount(owner, minlength=n)
    if not area.all():
        raise ValueError(f"masks[{np.argmin(area)}] has no pixel; leave it out")

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(owner, values, minlength=n) / area

    row, col = mean(pixels.row), mean(pixels.col)  # within the crop, for precision
    far_row, far_col = pixels.row - row[owner], pixels.col - col[owner]
    # The eigenvalues of the covariance of rows and columns.
    rows, cols = mean(far_row**2), mean(far_col**2)
    spread = np.hypot((rows - cols) / 2, mean(far_row * far_col))
    major, minor = (rows + cols) / 2 + spread, np.maximum((rows + cols) / 2 - spread, 0)
    corners = np.array([mask[:2] for mask in masks], np.int64).reshape(-1, 2)
    low, high = _bounds(pixels, n)
    found = {
        "centroid_row": corners[:, 0] + row,
        "centroid_col": corners[:, 1] + col,
        "row_min": corners[:, 0] + low[0],
        "col_min": corners[:, 1] + low[1],
        "row_max": corners[:, 0] + high[0] + 1,
        "col_max": corners[:, 1] + high[1] + 1,
        "area": area,
        "perimeter": _perimeters(pixels, n),
        "major_axis": 4 * np.sqrt(major),
        "minor_axis": 4 * np.sqrt(minor),
        "eccentricity": np.sqrt(1 - np.divide(minor, major, out=np.ones(n), where=major > 0)),
        "solidity": area / _hull_areas(pixels, n),
    }
    if image is not None and stains is not None:
        at_row = corners[owner, 0] + pixels.row - corner[0]
        at_col = corners[owner, 1] + pixels.col - corner[1]
        density = _densities(image, at_row, at_col, stains)
        found |= {"hematoxylin": mean(density[:, 0]), "eosin": mean(density[:, 1])}
    if mpp is not None:
        found["area_um2"] = area * mpp**2
        for name in ("perimeter", "major_axis", "minor_axis"):
            found[f"{name}_um"] = found[name] * mpp
    return found


class _Pixels(NamedTuple):
    """All P pixels of all masks, row by row, one mask after the other."""

    owner: np.ndarray  # (P,) number of the mask
    row: np.ndarray  # (P,) within its crop
    col: np.ndarray  # (P,) within its crop
    at: np.ndarray  # (P,) where the pixel is in `flat`
    width: np.ndarray  # (P,) how much further the pixel below is in `flat`
    flat: np.ndarray  # bool, the crops one after the other, with a margin


def _pixels(masks: Sequence[Mask]) -> _Pixels:
    sizes = np.array([mask.mask.shape for mask in masks], np.int64).reshape(-1, 2) + 2
    stops = np.cumsum(sizes.prod(axis=1))
    starts = stops - sizes.prod(axis=1)
    flat = np.zeros(stops[-1] if len(masks) else 0, bool)
    for mask, start, stop, size in zip(masks, starts, stops, sizes.tolist(), strict=True):
        flat[start:stop].reshape(size)[1:-1, 1:-1] = mask.mask
    at = np.flatnonzero(flat)
    owner = np.repeat(np.arange(len(masks)), sizes.prod(axis=1))[at]
    width = sizes[owner, 1]
    row, col = np.divmod(at - starts[owner], width)
    return _Pixels(owner, row - 1, col - 1, at, width, flat)


def _bounds(pixels: _Pixels, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest (row, col) of each mask, (2, n) each."""
    starts = np.searchsorted(pixels.owner, np.arange(n))
    places = np.stack([pixels.row, pixels.col])
    if not n:
        return places, places
    return np.minimum.reduceat(places, starts, axis=1), np.maximum.reduceat(places, starts, axis=1)


def _perimeters(pixels: _Pixels, n: int) -> np.ndarray:
    at, width, flat = pixels.at, pixels.width, pixels.flat
    inside = flat[at - width] & flat[at + width] & flat[at - 1] & flat[at + 1]
    border = flat.copy()
    border[at[inside]] = False
    at, width = at[~inside], width[~inside]
    beside = sum(border[at + step].astype(np.intp) for step in (-width, width, -1, 1))
    corners = sum(border[at + s * width + t].astype(np.intp) for s in (-1, 1) for t in (-1, 1))
    lengths = _LENGTHS[2 * beside + 10 * corners]
    return np.bincount(pixels.owner[~inside], lengths, minlength=n)


def _hull_areas(pixels: _Pixels, n: int) -> np.ndarray:
    """(n,) how many pixels have their center in the convex hull of the middles of all sides.

    In half pixels, so that everything is a whole number and exact.
    """
    if not n:
        return np.zeros(0, np.int64)
    first = np.flatnonzero(np.diff(pixels.row, prepend=-1) | np.diff(pixels.owner, prepend=-1))
    last = np.append(first[1:], len(pixels.row)) - 1
    row, left, right = 2 * pixels.row[first], 2 * pixels.col[first], 2 * pixels.col[last]
    middles = [(left - 1, row), (right + 1, row)]
    middles += [(side, row + step) for side in (left, right) for step in (-1, 1)]
    points = np.concatenate([np.stack(middle, axis=1) for middle in middles])
    owners = np.tile(pixels.owner[first], len(middles))
    order = np.argsort(owners, kind="stable")
    # A line through the points has their hull, and is made faster than a set of points.
    hulls = shapely.convex_hull(
        shapely.linestrings(points[order].astype(np.float64), indices=owners[order])
    )
    corners, ring = shapely.get_coordinates(
        shapely.orient_polygons(hulls, exterior_cw=False), return_index=True
    )
    x, y = corners.astype(np.int64).T
    edge = np.flatnonzero((ring[1:] == ring[:-1]) & (y[1:] != y[:-1]))
    low, high = np.minimum(y[edge], y[edge + 1]), np.maximum(y[edge], y[edge + 1])
    # Every edge in each row of pixels that it crosses: first..high - 1, in steps of 2.
    start = low + low % 2
    count = (high - start + 1) // 2
    edge, start = np.repeat(edge, count), np.repeat(start, count)
    at = start + 2 * (np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count))
    rise = y[edge + 1] - y[edge]
    # The hull is on the left of its edges, so that rising ones are its right end. A row has the
    # pixels ceil(left / 2) .. floor(right / 2).
    scaled = np.sign(rise) * (x[edge] * rise + (at - y[edge]) * (x[edge + 1] - x[edge]))
    steps = 2 * np.abs(rise)
    pixel = np.where(rise > 0, scaled // steps, 1 + -scaled // steps)
    return np.bincount(ring[edge], pixel, minlength=n)


def _densities(
    image: np.ndarray, row: np.ndarray, col: np.ndarray, stains: str | np.ndarray
) -> np.ndarray:
    """(P, 2) optical density of the two stains in each pixel."""
    if isinstance(stains, str):
        if stains != "ruifrok":
            raise unknown("stain vectors", stains, ["ruifrok"])
        stains = RUIFROK
    height, width = image.shape[:2]
    outside = (row < 0) | (col < 0) | (row >= height) | (col >= width)
    if outside.any():
        i = int(np.argmax(outside))
        raise ValueError(
            f"a mask has a pixel at {(int(row[i]), int(col[i]))} of an image of "
            f"{(height, width)}; is `corner` right?"
        )
    if not len(row):
        return np.zeros((0, 2))
    return stain.concentrations(image[row, col][None], stains)[0]
