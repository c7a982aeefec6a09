"""Hamamatsu's NDPA: outlines on a slide, in nanometers from its center.

Source: the format as OpenSlide's documentation of Hamamatsu's properties describes the offsets,
https://openslide.org/formats/hamamatsu.
"""

from typing import Any
from xml.etree.ElementTree import Element

from jaxnuc.io.annotations import base
from jaxnuc.io.annotations.base import ImageAnnotations, Object
from jaxnuc.io.polygons import Polygon, vertices

_OUTLINES = ("freehand", "polygon")


class Reader(base.Reader):
    """Closed freehand outlines; the class is the title of the annotation.

    Coordinates become micrometers from the center of the slide, not of the image: where the image
    lies, `origin` of the source has to say.
    """

    title = "Hamamatsu's NDPA"

    def accepts(self, content: Any) -> bool:
        return isinstance(content, Element) and (
            content.find("ndpviewstate") is not None
            or (content.tag == "annotations" and not len(content))
        )

    def read(self, content: Any, where: str) -> tuple[ImageAnnotations, ...]:
        objects = tuple(
            _object(each, f"{where}: ndpviewstate {each.get('id', k)}")
            for k, each in enumerate(content.iterfind("ndpviewstate"))
        )
        return (ImageAnnotations(objects, centered=bool(objects)),)


def _object(element: Element, at: str) -> Object:
    unit = (element.findtext("coordformat") or "nanometers").strip()
    if unit != "nanometers":
        raise ValueError(f"{at} is in {unit!r:.40}; expected nanometers")
    drawn = element.find("annotation")
    kind = "nothing" if drawn is None else drawn.get("type", "")
    closed = "0" if drawn is None else (drawn.findtext("closed") or "1").strip()
    if drawn is None or kind not in _OUTLINES or closed == "0":
        raise ValueError(
            f"{at} is {kind!r:.40}{', not closed' if closed == '0' else ''}; draw it as a closed "
            "freehand outline, or remove it"
        )
    points = [(p.findtext("x"), p.findtext("y")) for p in drawn.iterfind("pointlist/point")]
    try:
        microns = [(float(x or "") / 1000, float(y or "") / 1000) for x, y in points]
    except ValueError as error:
        raise ValueError(f"{at}: vertices that are no numbers ({error})") from error
    title = (element.findtext("title") or "").strip()
    return Object(Polygon(vertices(microns, at)), title or None)
