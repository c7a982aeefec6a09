"""Annotation files of LabelMe: outlines in JSON."""

import json
from typing import Any, NamedTuple

import numpy as np

from jaxnuc.io.polygons import vertices

_LARGEST = 128 << 20  # bytes; files may hold their image, too


class Shape(NamedTuple):
    """One outline: its label and (n, 2) float64 vertices (x, y) in pixels."""

    label: str
    outline: np.ndarray


class LabelMe(NamedTuple):
    """(H, W) of the image, None where the file does not say; and the outlines in order."""

    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]


def read_labelme(data: bytes, where: str) -> LabelMe:
    """Reads a LabelMe file.

    Vertices are pixels of the image, pixel (0, 0) reaching from 0 to 1.

    Returns:
      The shapes, also those of fewer than 3 vertices.

    Raises:
      ValueError: not such a file; a vertex that is no pair of finite numbers; a shape that is no
        polygon but has 3 vertices or more.
    """
    if len(data) > _LARGEST:
        raise ValueError(f"{where}: {len(data)} bytes, more than the {_LARGEST} that are read")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: not readable as JSON in UTF-8 ({error}); it is truncated or another kind of "
            "file"
        ) from error
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        raise ValueError(f"{where}: no list `shapes`, which a LabelMe file has")
    found = tuple(_shape(shape, f"{where}: shape {k}") for k, shape in enumerate(shapes))
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if height is None or width is None:
        return LabelMe(None, found)
    if not (isinstance(height, int) and isinstance(width, int)):
        raise ValueError(
            f"{where}: imageHeight={height!r:.80}, imageWidth={width!r:.80}; expected two integers"
        )
    return LabelMe((height, width), found)


def _shape(shape: Any, at: str) -> Shape:
    if not (isinstance(shape, dict) and isinstance(shape.get("points"), list)):
        raise ValueError(f"{at} has no list `points`")
    label = shape.get("label")
    if not isinstance(label, str):
        raise ValueError(f"{at} has the label {label!r:.80}, expected a string")
    outline = vertices(shape["points"], f"{at} ({label:.80})")
    kind = shape.get("shape_type") or "polygon"
    if kind != "polygon" and len(outline) > 2:
        raise ValueError(f"{at} ({label:.80}) is a {kind!r:.80}; draw it as a polygon or remove it")
    return Shape(label, outline)
