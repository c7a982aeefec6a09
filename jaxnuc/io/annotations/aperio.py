"""Aperio ImageScope's XML: layers of regions."""

from typing import Any
from xml.etree.ElementTree import Element

from jaxnuc.io.annotations import base
from jaxnuc.io.annotations.base import ImageAnnotations, Object
from jaxnuc.io.aperio import layers_of


class Reader(base.Reader):
    """The class is the first attribute of a layer, or the text of its description, or its name.

    Coordinates are pixels of the slide in full resolution; negative regions are holes.
    """

    title = "Aperio ImageScope's XML"

    def accepts(self, content: Any) -> bool:
        return isinstance(content, Element) and content.tag == "Annotations"

    def read(self, content: Any, where: str) -> tuple[ImageAnnotations, ...]:
        found = layers_of(content, where)
        objects = (
            Object(
                polygon,
                next((n.strip() for n in (*layer.attributes, layer.name) if n.strip()), None),
            )
            for layer in found.layers
            for polygon in layer.polygons
        )
        return (ImageAnnotations(tuple(objects), mpp=found.mpp),)
