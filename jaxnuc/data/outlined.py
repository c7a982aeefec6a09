"""From the annotations of an image, in any of the formats, to the maps of a sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from jaxnuc.data.own_classes import OwnClasses
from jaxnuc.data.sources.base import Annotation
from jaxnuc.io.annotations import ImageAnnotations, Object
from jaxnuc.io.label_images import LABEL_FROM
from jaxnuc.io.polygons import (
    Patch,
    Pieces,
    Polygon,
    Shape,
    check_convention,
    pixels_of,
    rasterize,
)
from jaxnuc.registry import check_known


@dataclass(frozen=True)
class Reading:
    """How annotations are read.

    Attributes:
      label_from: of label images, `"ids"`, each number is a nucleus; `"components"`, each
        8-connected part of a mask; `"colors"`, each color; `"masks"`, each of a stack (N, H, W).
      format: of annotation files, a name of `jaxnuc.io.annotations`; empty: what the content is.
      scale: pixels of the image per unit of the annotations: 0.5 where they were drawn on an image
        of twice the sides, 1 / mpp where they are in micrometers.
      origin: (x, y) of the image's upper left corner in the units of the annotations, for an image
        that is cut out of what was annotated; None: (0, 0).
      convention: how outlines become pixels, see `jaxnuc.io.polygons.rasterize`; empty: the
        format's own.

    Raises:
      ValueError: an unknown name, or a scale or origin that is none.
    """

    label_from: str = "ids"
    format: str = ""
    scale: float = 1.0
    origin: Sequence[float] | None = None
    convention: str = ""

    def __post_init__(self) -> None:
        check_known("label_from", self.label_from, (*LABEL_FROM, "masks"))
        for key in ("format", "convention"):
            if not isinstance(getattr(self, key), str):
                raise ValueError(f"{key}={getattr(self, key)!r}: a name is expected")
        if self.convention:
            check_convention(self.convention)
        if not isinstance(self.scale, Real) or not 0 < self.scale < np.inf:
            raise ValueError(f"scale={self.scale!r}: pixels per unit are a positive number")
        if self.origin is not None and not (
            isinstance(self.origin, Sequence | np.ndarray)
            and len(self.origin) == 2
            and all(isinstance(each, Real) and np.isfinite(each) for each in self.origin)
        ):
            raise ValueError(f"origin={self.origin!r}: two numbers (x, y) are expected")


def annotation_of(
    found: ImageAnnotations,
    shape: tuple[int, int],
    reading: Reading,
    classes: OwnClasses,
    where: str,
) -> Annotation:
    """The maps of an image.

    Args:
      found: its annotations.
      shape: (H, W) of the image.
      reading: where and how they are to be drawn.
      classes: what the names of their classes stand for.
      where: address of their file, for errors.

    Returns:
      The nuclei; classes are numbers of `classes`, -1 for a nucleus without a name. `meta` has
      `mpp` where the file says it, and counts of objects: `regions`, all that may be nuclei, and of
      these `skipped_regions` (too few vertices), `outside_regions`, `duplicate_regions` (drawn
      twice to the point), `hidden_regions` (no pixel left), and `unnamed_regions`.

    Raises:
      ValueError: they are of an image of another size, or none lies in this one.
    """
    _check_place(found, shape, reading, where)
    convention = reading.convention or found.convention
    through_centers = "pixel_centers" if reading.convention else found.convention
    placed: dict[str, list[tuple[Object, Shape]]] = {"nucleus": [], "ignore": [], "region": []}
    for each in found.objects:
        role = "ignore" if each.ignored else classes.role(each.name)
        if role != "drop":
            placed[role].append((each, _placed(each.shape, reading, through_centers, where)))
    nuclei, counts = _distinct(placed["nucleus"], shape)
    painted = rasterize([one for _, one in nuclei], shape, convention)
    meta: dict[str, Any] = counts | {
        "skipped_regions": painted.counts["skipped_regions"],
        "hidden_regions": painted.counts["hidden_regions"],
    }
    if found.mpp is not None:
        meta["mpp"] = found.mpp / reading.scale
    if placed["nucleus"] and counts["outside_regions"] == len(placed["nucleus"]):
        raise ValueError(
            f"{where}: none of its {len(placed['nucleus'])} nuclei lies in the image of {shape} "
            "pixels; it belongs to another image, or needs a scale or an origin: see "
            "docs/annotations.md"
        )
    numbers = None
    if classes.label_set is not None:
        natives = [classes.numbers.get(each.name or "", -1) for each, _ in nuclei]
        numbers = np.array([0, *natives], np.int32)[painted.instances]
        meta["unnamed_regions"] = natives.count(-1)
    ignore = np.zeros(shape, bool)
    if placed["region"]:
        ignore |= rasterize([one for _, one in placed["region"]], shape).instances == 0
    if placed["ignore"]:
        ignore |= rasterize([one for _, one in placed["ignore"]], shape, convention).instances > 0
    return Annotation(
        painted.instances, numbers, ignore if ignore.any() else None, meta, painted.covered
    )


def _check_place(
    found: ImageAnnotations, shape: tuple[int, int], reading: Reading, where: str
) -> None:
    if found.centered and reading.origin is None:
        raise ValueError(
            f"{where}: its outlines are in micrometers from the center of the slide; give "
            "`origin`, where the image's corner is in these, and `scale`, 1 / mpp: see "
            "docs/annotations.md"
        )
    placed = reading.origin is not None or reading.scale != 1
    if found.size is None or found.size == shape or placed:
        return
    factors = [own / drawn for own, drawn in zip(shape, found.size, strict=True)]
    same = abs(factors[0] / factors[1] - 1) < 0.01 and f"{factors[0]:.4g}" != "1"
    raise ValueError(
        f"{where}: annotations of an image of {found.size} pixels, the image has {shape}; "
        + (
            f"give scale={factors[0]:.4g} if it is the same in another resolution"
            if same
            else "they do not belong together: give `origin` if it is a part of that one"
        )
    )


def _placed(one: Shape, reading: Reading, convention: str, where: str) -> Shape:
    """A shape in pixels of the image; `convention` is that of the outlines as they are drawn."""
    if reading.scale == 1 and reading.origin is None:
        return one
    if isinstance(one, Pieces):
        parts = (_placed(part, reading, convention, where) for part in one.parts)
        return Pieces(tuple(part for part in parts if not isinstance(part, Pieces)))
    origin = np.asarray((0, 0) if reading.origin is None else reading.origin, float)
    scale = reading.scale
    if isinstance(one, Polygon) and convention != "pixel_centers":
        one = pixels_of(one, convention, where)  # by the pixels of what it was drawn on
    if isinstance(one, Polygon):
        outline, *holes = ((ring - origin) * scale for ring in (one.outline, *one.holes))
        one = Polygon(outline, tuple(holes))
        if reading.convention in ("", "pixel_centers"):
            return one
        # The others truncate toward zero, which is another place left of the image and above it.
        return pixels_of(one, reading.convention, where)
    # A pixel belongs to it where its center lies within.
    lines, indices = [], []
    for first, length in zip(
        (one.row - origin[1], one.col - origin[0]), one.mask.shape, strict=True
    ):
        line = np.arange(math.floor(first * scale), math.ceil((first + length) * scale) + 1)
        index = np.floor((line + 0.5) / scale - first).astype(int)
        inside = (index >= 0) & (index < length)
        lines.append(line[inside])
        indices.append(index[inside])
    row, col = (int(line[0]) if len(line) else 0 for line in lines)
    return Patch(row, col, one.mask[np.ix_(*indices)])


def _distinct(
    placed: list[tuple[Object, Shape]], shape: tuple[int, int]
) -> tuple[list[tuple[Object, Shape]], dict[str, int]]:
    """The nuclei in the image, each once, and counts of the others."""
    kept: dict[object, tuple[Object, Shape]] = {}
    outside = 0
    for each, one in placed:
        if _is_outside(one, shape):
            outside += 1
        else:
            kept.setdefault((each.name, _content(one)), (each, one))
    return list(kept.values()), {
        "regions": len(placed),
        "outside_regions": outside,
        "duplicate_regions": len(placed) - outside - len(kept),
    }


def _is_outside(one: Shape, shape: tuple[int, int]) -> bool:
    ends = [_ends(part) for part in (one.parts if isinstance(one, Pieces) else (one,))]
    points = np.concatenate(ends)
    if not len(points):
        return False
    return bool((points.max(axis=0) < 0).any() or (points.min(axis=0) > shape[::-1]).any())


def _ends(part: Polygon | Patch) -> np.ndarray:
    """Points (x, y) between which a part lies."""
    if isinstance(part, Polygon):
        return part.outline
    height, width = part.mask.shape
    return np.array([[part.col, part.row], [part.col + width, part.row + height]])


def _from_its_corner(ring: np.ndarray) -> np.ndarray:
    """The same ring, open, from its first vertex by (x, y) on toward the lesser of the two next."""
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    if len(ring) < 3:
        return ring
    ring = np.roll(ring, -int(np.lexsort(ring.T[::-1])[0]), axis=0)
    return ring if tuple(ring[1]) <= tuple(ring[-1]) else np.roll(ring[::-1], 1, axis=0)


def _content(one: Shape) -> object:
    """What two objects have in common that are drawn alike."""
    if isinstance(one, Pieces):
        return tuple(map(_content, one.parts))
    if isinstance(one, Polygon):
        return tuple(_from_its_corner(ring).tobytes() for ring in (one.outline, *one.holes))
    return one.row, one.col, one.mask.shape, one.mask.tobytes()
