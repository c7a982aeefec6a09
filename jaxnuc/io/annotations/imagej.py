"""ImageJ's regions of interest: one `.roi`, or the zip of many that the ROI Manager saves."""

import io
import zipfile
from typing import Any

import numpy as np
import shapely

from jaxnuc.io.annotations import base
from jaxnuc.io.annotations.base import ImageAnnotations, Object
from jaxnuc.io.image_files import is_junk
from jaxnuc.io.polygons import Pieces, Polygon, Shape, vertices
from jaxnuc.io.text_files import LARGEST


class Reader(base.Reader):
    """Polygons, freehand and traced outlines, rectangles, ovals, and composites with holes.

    The class is the property `class` of a region, else its group, `group 1`, else none. Its
    coordinates are pixels: the corner of pixel (0, 0) is (0, 0).
    """

    title = "ImageJ's ROIs"

    def accepts(self, content: Any) -> bool:
        return isinstance(content, bytes) and content[:4] in (b"Iout", b"PK\3\4", b"PK\5\6")

    def read(self, content: Any, where: str) -> tuple[ImageAnnotations, ...]:
        if content[:4] == b"Iout":
            return (ImageAnnotations((_object(content, where),)),)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                listed = [each for each in archive.infolist() if not is_junk(each.filename)]
                regions = [each for each in listed if each.filename.lower().endswith(".roi")]
                if sum(each.file_size for each in regions) > LARGEST:
                    raise ValueError(f"its regions have more than {LARGEST} bytes")
                files = [(each.filename, archive.read(each)) for each in regions]
        except Exception as error:  # a damaged zip: errors of many types
            raise ValueError(f"{where}: not a readable zip of ROIs ({error!s:.200})") from error
        if listed and not files:
            raise ValueError(f"{where}: a zip without a .roi in it, but {listed[0].filename!r:.60}")
        return (ImageAnnotations(tuple(_object(data, f"{where}: {name}") for name, data in files)),)


def _object(data: bytes, at: str) -> Object:
    try:
        import roifile
    except ImportError as error:
        raise ImportError(
            f"{at}: reading ImageJ's ROIs needs roifile: pip install jaxnuc[annotations]"
        ) from error
    try:
        roi = roifile.ImagejRoi.frombytes(data)
        paths = roi.coordinates(multi=True)
        label = str(roi.properties.get("class", "")) or (
            f"group {roi.group}" if roi.group else None
        )
    except Exception as error:  # damaged files raise whatever they like
        raise ValueError(f"{at}: not a readable ROI ({error!s:.200}); save it again") from error
    kind = roi.roitype.name
    if kind not in ("POLYGON", "FREEHAND", "TRACED", "RECT", "OVAL"):
        raise ValueError(
            f"{at} is a {kind.lower()}, which has no area; outline it, or remove it from the ROI "
            "Manager"
        )
    shape: Shape
    if kind == "OVAL" or (kind == "RECT" and not roi.shape_roi_size):
        left, top, width, height = _box(roi)
        if kind == "OVAL":
            center = left + width / 2, top + height / 2
            shape = Polygon(base.ellipse(center, (width / 2, height / 2)))
        else:
            corners = np.array([[left, top], [left + width, top + height]])
            shape = Polygon(base.rectangle(*corners))
    else:
        shape = _composed([vertices(path, at) for path in paths])
    return Object(shape, label, plane=_plane(roi))


def _plane(roi: Any) -> tuple[int, int] | None:
    """(z, t) from 1, of which 0 is every one; of a stack without channels and times, its slice."""
    z, t = roi.z_position, roi.t_position
    if not (z or t or roi.c_position):
        z = roi.position
    return (z, t) if z or t else None


def _box(roi: Any) -> tuple[float, float, float, float]:
    """Left, top, width and height, in parts of pixels where the file has them."""
    if roi.subpixelrect:
        return roi.xd, roi.yd, roi.widthd, roi.heightd
    return roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top


def _composed(paths: list[np.ndarray]) -> Shape:
    """The paths of a composite: one inside an odd number of others is a hole of the smallest."""
    whole = [path for path in paths if len(path) >= 3]
    if len(paths) == 1 or not whole:
        return Polygon(paths[0] if paths else np.zeros((0, 2)))
    drawn = [shapely.make_valid(shapely.Polygon(path)) for path in whole]
    # A path that is drawn twice counts once.
    once = [k for k, one in enumerate(drawn) if not any(one.equals(each) for each in drawn[:k])]
    whole, rings = [whole[k] for k in once], [drawn[k] for k in once]
    around = [
        [k for k, other in enumerate(rings) if k != n and other.contains(ring)]
        for n, ring in enumerate(rings)
    ]
    holes: dict[int, list[np.ndarray]] = {
        n: [] for n, found in enumerate(around) if len(found) % 2 == 0
    }
    for n, found in enumerate(around):
        if len(found) % 2:
            holes[min(holes.keys() & found, key=lambda k: rings[k].area)].append(whole[n])
    pieces = tuple(Polygon(whole[n], tuple(found)) for n, found in holes.items())
    return pieces[0] if len(pieces) == 1 else Pieces(pieces)
