"""LabelMe's JSON: the shapes of one image.

Source: the documentation of LabelMe, https://labelme.io/docs.
"""

import base64
import binascii
from pathlib import PureWindowsPath
from typing import Any

import numpy as np

from jaxnuc.io.annotations import base
from jaxnuc.io.annotations.base import ImageAnnotations, Object
from jaxnuc.io.image_files import decode
from jaxnuc.io.polygons import Patch, Polygon, Shape, vertices
from jaxnuc.io.text_files import parse_json

_KINDS = ("polygon", "rectangle", "circle", "mask")


class Reader(base.Reader):
    """Polygons, rectangles, circles and masks. Pixel (0, 0) reaches from 0 to 1.

    Shapes of one label and one `group_id` are one nucleus.

    The image that a file may hold (`imageData`) is left aside; `imagePath` is relative to the file.
    """

    title = "LabelMe's JSON"

    def accepts(self, content: Any) -> bool:
        return isinstance(content, dict) and "shapes" in content

    def read(self, content: Any, where: str) -> tuple[ImageAnnotations, ...]:
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if not isinstance(shapes, list):
            raise ValueError(f"{where}: no list `shapes`, which a LabelMe file has")
        objects = [_object(each, f"{where}: shape {k}") for k, each in enumerate(shapes)]
        groups = [each.get("group_id") for each in shapes]
        height, width = content.get("imageHeight"), content.get("imageWidth")
        if not isinstance(height, int | None) or not isinstance(width, int | None):
            raise ValueError(
                f"{where}: imageHeight={height!r:.80}, imageWidth={width!r:.80}; expected two "
                "integers"
            )
        size = base.size_or_none(height, width, where)
        path = content.get("imagePath")
        # Windows' separators, as LabelMe writes them there, and others.
        image = PureWindowsPath(path).name if isinstance(path, str) and path else None
        return (ImageAnnotations(base.grouped(objects, groups), image, size),)


def read_labelme(data: bytes, where: str) -> ImageAnnotations:
    """Reads a LabelMe file, see `Reader`.

    Returns:
      Its shapes in order, also polygons of fewer than 3 vertices; each has a label.
    """
    return Reader().read(parse_json(data, where), where)[0]


def _object(shape: Any, at: str) -> Object:
    if not (isinstance(shape, dict) and isinstance(shape.get("points"), list)):
        raise ValueError(f"{at} has no list `points`")
    label = shape.get("label")
    if not isinstance(label, str):
        raise ValueError(f"{at} has the label {label!r:.80}, expected a string")
    at = f"{at} ({label:.80})"
    kind = shape.get("shape_type") or "polygon"
    if kind not in _KINDS:
        raise ValueError(f"{at} is a {kind!r:.80}; draw it as a polygon or remove it")
    return Object(_shape(kind, shape, at), label or None)


def _shape(kind: str, shape: dict[str, Any], at: str) -> Shape:
    points = vertices(shape["points"], at)
    if kind == "polygon":
        return Polygon(points)
    if len(points) != 2:
        raise ValueError(f"{at} is a {kind} of {len(points)} points; it has 2: draw it again")
    if kind == "circle":  # its center, and a point on it
        center, radius = points[0], float(np.hypot(*(points[1] - points[0])))
        return Polygon(base.ellipse((center[0], center[1]), (radius, radius)))
    if kind == "rectangle":
        return Polygon(base.rectangle(points[0], points[1]))
    try:
        data = base64.b64decode(shape.get("mask") or "", validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ValueError(f"{at} is a mask without a picture in base64 ({error!s:.80})") from error
    mask = decode(data, at)
    column, row = np.rint(points.min(axis=0)).astype(int)
    if mask.ndim != 2:
        raise ValueError(f"{at} is a mask of shape {mask.shape}; expected (H, W): draw it again")
    return Patch(int(row), int(column), mask > 0)
