"""CVAT's XML for images: polygons, masks and ellipses of any number of images.

Source: https://docs.cvat.ai, "CVAT for images 1.1".
"""

from pathlib import PureWindowsPath
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from jaxnuc.io.annotations import base
from jaxnuc.io.annotations.base import ImageAnnotations, Object, size_or_none
from jaxnuc.io.limits import MOST_PIXELS
from jaxnuc.io.polygons import Patch, Polygon, Shape, vertices

_OTHERS = ("box", "polyline", "points", "cuboid", "skeleton")


class Reader(base.Reader):
    """Polygons, masks and ellipses. Pixel (0, 0) reaches from 0 to 1; `outside` is left out.

    Shapes of one label and one `group_id` are one nucleus.
    """

    title = "CVAT's XML for images"

    def accepts(self, content: Any) -> bool:
        return (
            isinstance(content, Element)
            and content.tag == "annotations"
            and (content.find("image") is not None or content.find("meta") is not None)
        )

    def read(self, content: Any, where: str) -> tuple[ImageAnnotations, ...]:
        if content.find("track") is not None:
            raise ValueError(
                f"{where}: holds tracks, as CVAT exports a video; export it as CVAT for images"
            )
        return tuple(_image(each, where) for each in content.iterfind("image"))


def _image(element: Element, where: str) -> ImageAnnotations:
    name = PureWindowsPath(element.get("name", "")).as_posix()
    at = f"{where}: image {name!r}"
    if not name:
        raise ValueError(f"{where}: an <image> without a name; export it again")
    objects, groups = [], []
    for k, each in enumerate(element):
        label = each.get("label")
        what = f"{each.tag} {k} ({label})"
        if each.tag in _OTHERS:
            raise ValueError(
                f"{at}: {what} is a {each.tag}, which is no outline; draw it as a polygon or a "
                "mask, or remove it"
            )
        if each.tag in ("polygon", "mask", "ellipse") and each.get("outside", "0") == "0":
            objects.append(Object(_shape(each, f"{at}: {what}"), label or None))
            groups.append(each.get("group_id"))
    size = size_or_none(element.get("height"), element.get("width"), at)
    return ImageAnnotations(base.grouped(objects, groups), name, size)


def _shape(element: Element, at: str) -> Shape:
    if element.tag == "polygon":
        points = element.get("points", "").strip().strip(";")
        return Polygon(vertices([pair.split(",") for pair in points.split(";")], at))
    if element.tag == "ellipse":
        center, radii = vertices(
            [[element.get(x) for x in pair] for pair in (("cx", "cy"), ("rx", "ry"))], at
        )
        try:
            degrees = float(element.get("rotation", 0))
        except ValueError:
            degrees = np.nan
        if not np.isfinite(degrees):
            raise ValueError(
                f"{at} has the rotation {element.get('rotation')!r:.40}; draw it again"
            )
        return Polygon(base.ellipse((center[0], center[1]), (radii[0], radii[1]), degrees))
    try:
        left, top, width, height = (
            int(element.get(k, "")) for k in ("left", "top", "width", "height")
        )
        counts = np.array(element.get("rle", "").split(","), np.int64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{at}: numbers of a mask are missing or damaged ({error})") from error
    vertices([[left, top]], at)  # refuses a place far away
    # Along the rows of the box, background first.
    pixels = width * height
    wrong = not 0 < width <= pixels <= MOST_PIXELS or (counts < 0).any()
    if wrong or counts.sum() != pixels:
        raise ValueError(
            f"{at}: run lengths of {counts.sum()} pixels for a mask of {height} x {width}; export "
            "it again"
        )
    mask = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
    return Patch(top, left, mask)
