"""GeoJSON as QuPath writes it: a FeatureCollection, one feature, or a list of features.

Source: RFC 7946, and the documentation of QuPath, https://qupath.readthedocs.io.
"""

from typing import Any

from jaxnuc.io.annotations import base
from jaxnuc.io.annotations.base import ImageAnnotations, Object, text_or_none
from jaxnuc.io.polygons import Pieces, Polygon, vertices


class Reader(base.Reader):
    """Polygons with holes and multi-polygons, in pixels; of a cell, its nucleus.

    The class is `properties.classification.name`, or in newer files its `names`, which are joined
    as in QuPath: `Tumor: Positive`. Holes are cut out, and a closed ring and an open one are the
    same.
    """

    title = "QuPath's GeoJSON"

    def accepts(self, content: Any) -> bool:
        if isinstance(content, list):
            return content == [] or base.is_list_of(content, "geometry")
        return isinstance(content, dict) and (
            "features" in content or content.get("type") in ("Feature", "FeatureCollection")
        )

    def read(self, content: Any, where: str) -> tuple[ImageAnnotations, ...]:
        features = content
        if isinstance(content, dict):
            features = content.get("features") if "features" in content else [content]
        if not isinstance(features, list):
            raise ValueError(f"{where}: `features` is no list, which GeoJSON has")
        objects = [_object(each, f"{where}: feature {k}") for k, each in enumerate(features)]
        _check_parents(features, objects, where)
        return (ImageAnnotations(tuple(objects)),)


def _kind(feature: dict[str, Any]) -> str:
    """What an object is in QuPath; older files have it as the id, such as `PathCellObject`."""
    properties = feature.get("properties") or {}
    found = properties.get("objectType", properties.get("object_type", feature.get("id")))
    return str(found).removeprefix("Path").removesuffix("Object").casefold()


def _check_parents(features: list[Any], objects: list[Object], where: str) -> None:
    """Refuses annotations without a class among detections, which lie in them in QuPath."""
    kinds = [_kind(feature) for feature in features]
    if not {"detection", "cell"}.isdisjoint(kinds):
        for k, (kind, each) in enumerate(zip(kinds, objects, strict=True)):
            if kind == "annotation" and each.name is None:
                raise ValueError(
                    f"{where}: feature {k} is an annotation without a class among detections; give "
                    "it the class Region* if it is the region that they were looked for in, or a "
                    "class of its own if it is a nucleus"
                )


def _object(feature: Any, at: str) -> Object:
    if not isinstance(feature, dict):
        raise ValueError(f"{at} is {feature!r:.40}, no feature")
    properties = feature.get("properties") or {}
    if not isinstance(properties, dict):
        raise ValueError(f"{at} has the properties {properties!r:.40}; expected an object")
    if _kind(feature) in ("tile", "root", "tmacore", "tma_core"):
        raise ValueError(f"{at} is a {_kind(feature)} and no nucleus; leave it out of the export")
    geometry = feature.get("nucleusGeometry") or feature.get("geometry")
    if not isinstance(geometry, dict):
        raise ValueError(f"{at} has the geometry {geometry!r:.40}; leave it out of the export")
    kind = geometry.get("type")
    if kind == "Polygon":
        polygons: Any = [geometry.get("coordinates")]
    elif kind == "MultiPolygon":
        polygons = geometry.get("coordinates")
    else:
        raise ValueError(
            f"{at} is a {kind!r:.40}, which has no area; nuclei are Polygon or MultiPolygon: "
            "outline it, or leave it out of the export"
        )
    if not isinstance(polygons, list):
        raise ValueError(f"{at} has the coordinates {polygons!r:.40}; expected rings of points")
    pieces = tuple(_polygon(rings, at) for rings in polygons or [[]])
    shape = pieces[0] if len(pieces) == 1 else Pieces(pieces)
    plane = geometry.get("plane") or {}  # QuPath leaves the first out
    if not isinstance(plane, dict) or not all(
        isinstance(plane.get(axis, 0), int) for axis in ("z", "t")
    ):
        raise ValueError(f"{at} has the plane {plane!r:.60}; expected numbers z and t")
    return Object(shape, _class(properties, at), plane=(plane.get("z", 0), plane.get("t", 0)))


def _polygon(rings: Any, at: str) -> Polygon:
    if not isinstance(rings, list) or not all(isinstance(ring, list) for ring in rings):
        raise ValueError(f"{at} has the coordinates {rings!r:.40}; expected rings of points")
    # A third number is a height, which RFC 7946 allows.
    outer, *holes = ([p[:2] if isinstance(p, list) else p for p in ring] for ring in rings or [[]])
    return Polygon(_open(outer, at), tuple(_open(hole, at) for hole in holes))


def _open(ring: list[Any], at: str) -> Any:
    points = vertices(ring, at)
    return points[:-1] if len(points) > 1 and (points[0] == points[-1]).all() else points


def _class(properties: dict[str, Any], at: str) -> str | None:
    found = properties.get("classification")
    if isinstance(found, dict):
        names = found.get("names")
        found = ": ".join(map(str, names)) if isinstance(names, list) else found.get("name")
    name = text_or_none(found, at)
    # Of an object without a class, the name of a region says what it is.
    own = properties.get("name")
    if name is None and isinstance(own, str) and base.is_region(own):
        return own
    return name
