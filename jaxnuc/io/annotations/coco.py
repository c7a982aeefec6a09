"""COCO's JSON of instances: polygons and run lengths, of any number of images.

Source: https://cocodataset.org/#format-data and the documentation of pycocotools' masks.
"""

from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

from jaxnuc.io.annotations import base
from jaxnuc.io.annotations.base import ImageAnnotations, Object, size_or_none, text_or_none
from jaxnuc.io.polygons import Pieces, Polygon, Shape, vertices
from jaxnuc.io.run_lengths import decode_coco


class Reader(base.Reader):
    """An object's polygons are one nucleus together; `iscrowd` is to be ignored.

    Coordinates count from the corner of the image: pixel (0, 0) reaches from 0 to 1. Category 0,
    `unclassified`, as `jaxnuc predict` writes it, is no class.
    """

    title = "COCO's JSON"

    def accepts(self, content: Any) -> bool:
        return isinstance(content, dict) and "annotations" in content and "images" in content

    def read(self, content: Any, where: str) -> tuple[ImageAnnotations, ...]:
        images = _by_id(content, "images", where)
        names: dict[Any, str | None] = {
            key: text_or_none(each.get("name"), f"{where}: category {key!r}")
            for key, each in _by_id(content, "categories", where).items()
        }
        if names.get(0) == "unclassified":
            names[0] = None
        sizes = {
            key: size_or_none(each.get("height"), each.get("width"), f"{where}: image {key!r}")
            for key, each in images.items()
        }
        objects: dict[Any, list[Object]] = {key: [] for key in images}
        for k, each in enumerate(content["annotations"]):
            number = each.get("id", k) if isinstance(each, dict) else k
            at = f"{where}: annotation {number!r:.40}"
            if not isinstance(each, dict):
                raise ValueError(f"{at} is {each!r:.40}, no object")
            image, category = each.get("image_id"), each.get("category_id")
            for kind, key, known in (("image", image, images), ("category", category, names)):
                if not _is_key(key) or key not in known:
                    raise ValueError(
                        f"{at} is of the {kind} {key!r:.40}, which the file has not; it lists "
                        f"{len(known)}: export it again"
                    )
            shape = _shape(each.get("segmentation"), sizes[image], at)
            objects[image].append(Object(shape, names[category], bool(each.get("iscrowd"))))
        return tuple(
            ImageAnnotations(tuple(objects[key]), _file_name(each, key, where), sizes[key])
            for key, each in images.items()
        )


def _by_id(content: Mapping[str, Any], kind: str, where: str) -> dict[Any, dict[str, Any]]:
    listed, annotations = content.get(kind, []), content["annotations"]
    if not isinstance(listed, list) or not isinstance(annotations, list):
        raise ValueError(f"{where}: `{kind}` or `annotations` is no list, which COCO's are")
    found: dict[Any, dict[str, Any]] = {}
    for each in listed:
        key = each.get("id") if isinstance(each, dict) else None
        if not _is_key(key) or key in found:
            raise ValueError(f"{where}: `{kind}` holds {each!r:.60}; each needs an id of its own")
        found[key] = each
    return found


def _is_key(key: Any) -> bool:
    return isinstance(key, int | str) and not isinstance(key, bool)


def _file_name(image: Mapping[str, Any], key: Any, where: str) -> str:
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where}: image {key!r} has the file_name {name!r:.40}; expected a name")
    return PureWindowsPath(name).as_posix()


def _shape(found: Any, size: tuple[int, int] | None, at: str) -> Shape:
    if isinstance(found, dict) and "counts" in found:
        return _mask(found, size, at)
    if not isinstance(found, list) or not found:
        raise ValueError(
            f"{at} has a box and no outline (segmentation {found!r:.40}); a nucleus needs polygons "
            "or run lengths: export them, or remove it"
        )
    pieces = []
    for flat in found:
        if not isinstance(flat, list) or len(flat) % 2:
            raise ValueError(f"{at} has the polygon {flat!r:.40}; expected x, y, x, y, ...")
        pieces.append(Polygon(vertices(list(zip(flat[::2], flat[1::2], strict=True)), at)))
    return pieces[0] if len(pieces) == 1 else Pieces(tuple(pieces))


def _mask(found: Mapping[str, Any], size: tuple[int, int] | None, at: str) -> Shape:
    sides = found.get("size")
    own = None
    if isinstance(sides, list) and len(sides) == 2:
        own = size_or_none(sides[0], sides[1], at)
    if own is None or size not in (None, own):
        raise ValueError(
            f"{at} has run lengths of size {sides!r:.40} in an image of {size}; export it again"
        )
    try:
        runs = decode_coco(found["counts"], own[0] * own[1])
        return base.patch_of_runs(*runs, own[0])
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{at}: {error!s:.200}; export it again") from error
