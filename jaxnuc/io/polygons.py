"""Outlines painted as a label map, by one default convention and those of published code."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnuc import registry
from jaxnuc.io.limits import MOST_PIXELS

_FARTHEST = 1e6  # pixels; no image reaches as far, so a vertex there is a mistake
_MOST = 20_000  # vertices; no nucleus has as many, and time and memory grow with them


class Polygon(NamedTuple):
    """An outline, closed by itself, and the outlines of its holes: (n, 2) float64 (x, y)."""

    outline: np.ndarray
    holes: tuple[np.ndarray, ...] = ()


class Patch(NamedTuple):
    """The pixels of a nucleus: the upper left corner, and the (h, w) bool mask from there on."""

    row: int
    col: int
    mask: np.ndarray


class Pieces(NamedTuple):
    """What is one nucleus together."""

    parts: tuple[Polygon | Patch, ...]


Shape = Polygon | Pieces | Patch


class Convention(NamedTuple):
    """How outlines become pixels.

    Attributes:
      rounding: added to the vertices before they are truncated toward zero; None keeps them.
      by_area: larger first, so that the smaller lies on top; otherwise later on top.
      keep: number of nuclei to keep, the first in this order; None keeps all.
    """

    rounding: float | None
    by_area: bool
    keep: int | None = None


CONVENTIONS = {
    "pixel_centers": Convention(None, by_area=True),
    "hovernet": Convention(0.5, by_area=True),
    "haru": Convention(0.0, by_area=False),
    "alnet": Convention(0.0, by_area=True, keep=150),
}


class Painted(NamedTuple):
    """Polygons as pixels.

    Attributes:
      instances: (H, W) int32 label map, 0 is background; the id of a polygon is its position + 1.
      counts: `regions`, all polygons, `skipped_regions`, those with too few vertices, and
        `hidden_regions`, the others of which the label map has no pixel: outside of the image,
        covered, thinner than a pixel, or beyond the number that the convention keeps.
      covered: (H, W, D) int32, the ids that lie under the one of `instances`, from the top, 0 is
        none; None where no polygons overlap.
    """

    instances: np.ndarray
    counts: dict[str, int]
    covered: np.ndarray | None


def rasterize(
    polygons: Sequence[Shape],
    shape: tuple[int, int],
    convention: str = "pixel_centers",
    min_vertices: int = 3,
) -> Painted:
    """Paints polygons as instances, clipped at the image.

    A nucleus may also be several polygons or the pixels themselves, which every convention leaves
    as they are.

    The conventions:

    - `"pixel_centers"`, the default: a pixel belongs to a nucleus if its center lies inside the
      outline. Pixel (row i, column j) covers [j, j + 1) x [i, i + 1) of the annotation tools' image
      coordinates (Aperio ImageScope, LabelMe), so its center is (x, y) = (j + 0.5, i + 0.5); on
      MoNuSeg's images this is where the outlines separate dark from light best, too.
      Nothing is rounded, so that areas are right on average, and of two nuclei that share an edge
      each pixel belongs to exactly one. Inside is a winding number other than 0: where a freehand
      outline runs over its own beginning, the overlap is still part of the nucleus. Larger polygons
      first, so that the smaller lies on top and none disappears under a larger one.
    - `"hovernet"`: HoVer-Net's label files of Kumar's images: 0.5 is added and truncated, larger
      first.
    - `"haru"`: HARU-Net: truncated, later over earlier.
    - `"alnet"`: AL-Net 2022: truncated, larger first, the 150 largest. The lines of background
      between nuclei are made with the targets: see `jaxnuc.representations.targets.contours`.

    The last three fill as OpenCV 4.11 and later does: the vertices are pixel indices, and a pixel
    is filled if it lies inside by the even-odd rule or on the outline, an 8-connected line; nuclei
    come out about half a pixel larger on each side than by the default.

    Args:
      polygons: outlines and their holes, (x, y) in pixels; or `Pieces`, or a `Patch`.
      shape: (H, W) of the image.
      convention: one of the above.
      min_vertices: outlines with fewer vertices are skipped; at least 3. Holes of fewer than 3
        vertices have no area and change nothing.

    Returns:
      The label map, what it hides of polygons that overlap, and counts.

    Raises:
      ValueError: unknown convention, min_vertices below 3, vertices that are not (n, 2), not
        finite or absurdly far from the image.

    Example:
      >>> square = np.array([[1, 1], [3, 1], [3, 3], [1, 3]])
      >>> rasterize([Polygon(square)], (4, 5)).instances
      array([[0, 0, 0, 0, 0],
             [0, 1, 1, 0, 0],
             [0, 1, 1, 0, 0],
             [0, 0, 0, 0, 0]], dtype=int32)
      >>> int(rasterize([Polygon(square)], (4, 5), "haru").instances.sum())
      9
      >>> rasterize([Polygon(square), Polygon(square + (1, 0))], (4, 5)).covered[1, :, 0]
      array([0, 0, 1, 0, 0], dtype=int32)

    References:
      Graham et al., HoVer-Net, 2019; Chen et al., HARU-Net; Zhao et al., AL-Net, 2022.
    """
    rule = check_convention(convention)
    if min_vertices < 3:
        raise ValueError(f"min_vertices={min_vertices}: an outline needs 3 vertices or more")
    layers = [np.zeros(shape, np.int32)]  # the top one is the label map
    placed = {
        k: parts
        for k, each in enumerate(polygons)
        if (parts := _parts(each, f"polygon {k}", min_vertices, rule))
    }
    whole = list(placed)
    if rule.by_area:
        whole.sort(key=lambda k: -sum(map(_area, placed[k])))  # stable: ties keep their order
    for k in whole[: rule.keep]:
        _paint(layers, k + 1, placed[k], rule)
    painted = np.count_nonzero(np.bincount(layers[0].ravel())[1:])
    counts = {
        "regions": len(polygons),
        "skipped_regions": len(polygons) - len(whole),
        "hidden_regions": len(whole) - int(painted),
    }
    return Painted(layers[0], counts, np.stack(layers[1:], axis=-1) if layers[1:] else None)


def pixels_of(
    polygon: Polygon, convention: str = "pixel_centers", where: str = "a polygon"
) -> Patch:
    """The pixels of a polygon by a convention, wherever it lies.

    A ValueError names `where` it is if its box has more than `MOST_PIXELS`.

    >>> pixels_of(Polygon(np.array([[-4, 2], [-2, 2], [-2, 3], [-4, 3]])))
    Patch(row=2, col=-4, mask=array([[ True,  True]]))
    """
    outline = vertices(polygon.outline, where)
    if not len(outline):
        return Patch(0, 0, np.zeros((0, 0), bool))
    left, top = np.floor(outline.min(axis=0)).astype(int).tolist()
    width, height = (np.ceil(outline.max(axis=0)).astype(int) + 1 - (left, top)).tolist()
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"{where}: an outline over {height} x {width} pixels, more than the {MOST_PIXELS} that "
            "are read; correct or remove it"
        )
    moved = Polygon(outline - (left, top), tuple(hole - (left, top) for hole in polygon.holes))
    inside = rasterize([moved], (height, width), convention).instances > 0
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return Patch(top, left, inside[:0, :0])
    mask = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Patch(top + int(rows[0]), left + int(columns[0]), mask)


def check_convention(name: str) -> Convention:
    """The convention of this name; ValueError lists those there are."""
    if name not in CONVENTIONS:
        raise registry.unknown("rasterization convention", name, CONVENTIONS)
    return CONVENTIONS[name]


def vertices(points: Any, where: str) -> np.ndarray:
    """Coordinates as read from a file, checked.

    Args:
      points: n pairs (x, y) of numbers, or of strings of numbers.
      where: the file and the region, for errors.

    Returns:
      (n, 2) float64.

    Raises:
      ValueError: something else than pairs of finite numbers, a number beyond any image, or too
        many vertices.
    """
    try:
        array = np.asarray(points, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{where}: vertices that are not pairs of numbers ({error})") from error
    if not array.size:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"{where}: vertices of shape {array.shape}, expected (n, 2): x and y")
    if len(array) > _MOST:
        raise ValueError(
            f"{where}: {len(array)} vertices, more than the {_MOST} that are read; simplify the "
            "outline"
        )
    wrong = ~(np.abs(array) <= _FARTHEST).all(axis=1)  # also NaN
    if wrong.any():
        k = int(wrong.argmax())
        raise ValueError(
            f"{where}: vertex {k} at x, y = {array[k, 0]}, {array[k, 1]} is missing, not finite or "
            f"farther than {_FARTHEST:.0f} pixels; correct or remove the region"
        )
    return array


def _placed(outline: np.ndarray, rule: Convention) -> np.ndarray:
    """The vertices where pixel (i, j) has its center at (x, y) = (j, i)."""
    return outline - 0.5 if rule.rounding is None else np.trunc(outline + rule.rounding)


def _parts(each: Shape, where: str, least: int, rule: Convention) -> list[Polygon | Patch]:
    """What a nucleus consists of, placed; nothing where no outline has enough vertices."""
    found: list[Polygon | Patch] = []
    for part in each.parts if isinstance(each, Pieces) else (each,):
        if isinstance(part, Patch):
            if part.mask.any():
                found.append(part)
            continue
        outline = vertices(part.outline, where)
        if len(outline) >= least:
            holes = (_placed(vertices(h, f"a hole of {where}"), rule) for h in part.holes)
            found.append(Polygon(_placed(outline, rule), tuple(holes)))
    return found


def _area(part: Polygon | Patch) -> float:
    if isinstance(part, Patch):
        return float(np.count_nonzero(part.mask))
    x, y = part.outline.T - part.outline[0][:, None]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _paint(
    layers: list[np.ndarray], number: int, parts: list[Polygon | Patch], rule: Convention
) -> None:
    """Paints a nucleus on the first layer; what it covers goes one layer down."""
    size = layers[0].shape
    found = [
        _patch_pixels(part, size) if isinstance(part, Patch) else _pixels(part, size, rule)
        for part in parts
    ]
    rows, columns = (np.concatenate(each) for each in zip(*found, strict=True))
    if len(parts) > 1:  # which may overlap
        rows, columns = np.divmod(np.unique(rows * size[1] + columns), size[1])
    ids, depth = np.full(len(rows), number, np.int32), 0
    while len(ids):
        if depth == len(layers):
            layers.append(np.zeros_like(layers[0]))
        below = layers[depth][rows, columns]
        layers[depth][rows, columns] = ids
        rows, columns, ids = (each[below > 0] for each in (rows, columns, below))
        depth += 1


def _patch_pixels(patch: Patch, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels that lie in the image."""
    rows, columns = np.nonzero(patch.mask)
    rows, columns = rows + patch.row, columns + patch.col
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return rows[inside], columns[inside]


def _pixels(
    polygon: Polygon, shape: tuple[int, ...], rule: Convention
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels of a placed polygon that lie in the image."""
    outline, size = polygon.outline, np.array(shape[::-1])
    low = np.clip(np.ceil(outline.min(axis=0)), 0, size).astype(np.int64)
    high = np.clip(np.floor(outline.max(axis=0)) + 1, low, size).astype(np.int64)
    (width, height), opencv = high - low, rule.rounding is not None
    inside = np.zeros((height, width), bool)
    if inside.size:
        inside = _fill(outline - low, height, width, even_odd=opencv)
        if opencv:
            x, y = line_pixels(outline - low, height, width)
            seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            inside[y[seen], x[seen]] = True
        for hole in polygon.holes:
            if len(hole) >= 3:
                inside &= ~_fill(hole - low, height, width, even_odd=opencv)
    rows, columns = np.nonzero(inside)
    return rows + low[1], columns + low[0]


def _fill(outline: np.ndarray, height: int, width: int, even_odd: bool) -> np.ndarray:
    """(height, width) bool: the points (x, y) = (column, row) inside of a closed outline."""
    ends = np.roll(outline, -1, axis=0)
    down = ends[:, 1] > outline[:, 1]
    # Upper end first, so that an edge crosses a row at the same place whichever way it runs: two
    # polygons with a common edge then share no pixel and leave none out.
    top, bottom = np.where(down[:, None], (outline, ends), (ends, outline))
    first = np.clip(np.ceil(top[:, 1]), 0, height).astype(np.int64)
    last = np.clip(np.ceil(bottom[:, 1]), first, height).astype(np.int64)  # the lower end is out
    counts = last - first
    edge = np.repeat(np.arange(len(outline)), counts)
    row = first[edge] + np.arange(len(edge)) - (np.cumsum(counts) - counts)[edge]
    run, fall = (bottom - top)[edge].T
    crossing = top[edge, 0] + (row - top[edge, 1]) * run / fall
    column = np.clip(np.ceil(crossing), 0, width).astype(np.int64)
    change = np.zeros((height, width + 1), np.int32)
    np.add.at(change, (row, column), np.where(down[edge], 1, -1))
    winding = np.cumsum(change[:, :width], axis=1)
    return winding % 2 == 1 if even_odd else winding != 0


def line_pixels(outline: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixels of a closed line through whole vertices, as OpenCV draws it.

    Args:
      outline: (n, 2) whole numbers (x, y).
      height: of the image; pixels outside of it may be among those found, but not many.
      width: likewise.
    """
    start = outline.astype(np.int64)
    end = np.roll(start, -1, axis=0)
    left = (start[:, 0] <= end[:, 0])[:, None]
    start, end = np.where(left, start, end), np.where(left, end, start)  # from left to right
    step, length = np.sign(end - start), np.abs(end - start)
    # Along the longer side every pixel that can be in the image, along the other the nearest;
    # halves are rounded down.
    edges, side = np.arange(len(start)), length.argmax(axis=1)
    size, at_start, longer = np.array([width, height])[side], start[edges, side], length.max(axis=1)
    back = step[edges, side] < 0
    first = np.maximum(np.where(back, at_start - size + 1, -at_start), 0)
    last = np.minimum(np.where(back, at_start, size - 1 - at_start), longer)
    counts = np.maximum(last - first + 1, 0)
    edge = np.repeat(edges, counts)
    at = first[edge] + np.arange(len(edge)) - (np.cumsum(counts) - counts)[edge]
    whole = np.maximum(2 * longer, 1)[edge, None]
    moved = -((longer[edge, None] - 2 * at[:, None] * length[edge]) // whole)
    x, y = (start[edge] + step[edge] * moved).T
    return x, y
