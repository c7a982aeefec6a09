"""Annotation files of Aperio ImageScope: outlines in XML."""

from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from jaxnuc.io.polygons import Polygon, vertices
from jaxnuc.io.text_files import parse_xml

_OUTLINES = ("0", "1")  # region types: drawn freely, rectangle


class Layer(NamedTuple):
    """One `Annotation` element.

    Attributes:
      name: its name, often empty.
      attributes: the names of its attributes, MoNuSAC's holds the class; of `Description`, which
        ImageScope gives to every layer, the value.
      ids: of its regions, as in the file.
      polygons: its regions, in the order of the file.
    """

    name: str
    attributes: tuple[str, ...]
    ids: tuple[str, ...]
    polygons: tuple[Polygon, ...]


class Annotations(NamedTuple):
    """Microns per pixel, None where the file does not say; and the layers."""

    mpp: float | None
    layers: tuple[Layer, ...]

    @property
    def polygons(self) -> list[Polygon]:
        """The regions of all layers."""
        return [polygon for layer in self.layers for polygon in layer.polygons]


def read_aperio(data: bytes, where: str) -> Annotations:
    """Reads an annotation file.

    A region with `NegativeROA="1"` is a hole: of the region that its `InputRegionId` names, and
    where it names none of its layer, of all regions of its layer. Vertices are (x, y) in pixels of
    the image, pixel (0, 0) reaching from 0 to 1.

    Returns:
      The layers with their regions, also those of fewer than 3 vertices.

    Raises:
      ValueError: not such a file; a document type or entity, which annotation files do not have
        and attacks do; a vertex that is no pair of finite numbers, a shape that is no outline
        (ellipse, arrow), or an unreadable resolution.
    """
    return layers_of(parse_xml(data, where), where)


def layers_of(root: ElementTree.Element, where: str) -> Annotations:
    """The layers below the root element of such a file: see `read_aperio`."""
    if root.tag != "Annotations":
        raise ValueError(
            f"{where}: the root element is <{root.tag[:80]}>, expected <Annotations> of Aperio "
            "ImageScope"
        )
    layers = tuple(_layer(element, where) for element in root.iterfind("Annotation"))
    return Annotations(_resolution(root.get("MicronsPerPixel", ""), where), layers)


def _resolution(text: str, where: str) -> float | None:
    if not text.strip():
        return None
    try:
        mpp = float(text)
    except ValueError:
        mpp = np.nan
    if not 0 < mpp < np.inf:
        raise ValueError(f"{where}: MicronsPerPixel={text!r}, expected a number above 0 or none")
    return mpp


def _layer(element: ElementTree.Element, where: str) -> Layer:
    ids: list[str] = []
    outlines: list[np.ndarray] = []
    holes: list[tuple[str, np.ndarray]] = []
    for region in element.iterfind("Regions/Region"):
        number = region.get("Id", "")
        at = f"{where}: region {number!r}"
        points = [(v.get("X"), v.get("Y")) for v in region.iterfind("Vertices/Vertex")]
        outline = vertices(points, at)
        if region.get("Type", "0") not in _OUTLINES and len(outline) > 2:
            raise ValueError(
                f"{at} has Type={region.get('Type')!r}, which is no outline (0) or rectangle (1); "
                "draw it as an outline or remove it"
            )
        if region.get("NegativeROA", "0") not in ("", "0"):
            holes.append((region.get("InputRegionId", ""), outline))
        else:
            ids.append(number)
            outlines.append(outline)
    shared = tuple(hole for owner, hole in holes if owner not in ids)
    polygons = tuple(
        Polygon(outline, shared + tuple(hole for owner, hole in holes if owner == number))
        for number, outline in zip(ids, outlines, strict=True)
    )
    found = element.iterfind("Attributes/Attribute")
    names = (
        each.get("Value" if each.get("Name") == "Description" else "Name", "") for each in found
    )
    return Layer(element.get("Name", ""), tuple(names), tuple(ids), polygons)
