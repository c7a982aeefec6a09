"""ImageJ's regions of interest: a zip that the ROI Manager opens."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.outputs.formats import base
from jaxnuc.outputs.outlines import outline
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask

_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest of a zip: the same nuclei make the same bytes
_MOVE, _LINE, _CLOSE = 0, 1, 4  # steps of a path


class Format(base.Format):
    """A zip of one region a nucleus, in pixels of the image's full resolution.

    Regions are the polygons of the format geojson, with ImageJ's flag for parts of pixels, so that
    they may lie anywhere in a slide; a nucleus with holes is a composite. The name is the number of
    the nucleus, and its class where it has one, which is also the region's group, its property
    `class` and its color.
    """

    suffix = ".rois.zip"
    needs = "roifile"

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        n = 0
        with zipfile.ZipFile(path, "w") as archive:
            for first, table in scene.numbered(tables):
                for k, mask in enumerate(table.masks):
                    class_id = 0 if table.classes is None else int(table.classes[k])
                    roi = _region(mask, first + k, class_id, float(table.scores[k]), scene)
                    entry = zipfile.ZipInfo(f"{first + k:06d}.roi", _DATE)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(entry, roi.tobytes())
                    n += 1
        return n


def _region(mask: Mask, number: int, class_id: int, score: float, scene: Scene) -> Any:
    """An `ImagejRoi`."""
    import roifile

    outer, holes = outline(mask)
    # Corners are (x, y), and rings are closed by ImageJ.
    rings = [ring[:-1, ::-1] * np.array(scene.scale[::-1]) for ring in (outer, *holes)]
    name = scene.class_name(class_id)
    roi = roifile.ImagejRoi.frompoints(rings[0], name=f"{number} {name}" if name else str(number))
    roi.roitype = roifile.ROI_TYPE.POLYGON
    roi.stroke_color = bytes((255, *scene.color(class_id)))  # opacity, red, green, blue
    roi.group = class_id
    roi.properties = {"score": f"{score:.4f}"} | ({"class": name} if name else {})
    if holes:
        steps = [step for ring in rings for step in _path(ring)]
        roi.roitype = roifile.ROI_TYPE.RECT  # of a composite
        roi.multi_coordinates = np.array(steps, np.float32)
        roi.shape_roi_size = len(steps)
        roi.options &= ~roifile.ROI_OPTIONS.SUB_PIXEL_RESOLUTION  # it would be a rectangle's
        roi.integer_coordinates = roi.subpixel_coordinates = None
        roi.n_coordinates = 0
    return roi


def _path(ring: np.ndarray) -> list[float]:
    """A ring as ImageJ has it: steps, each followed by its place."""
    first, *others = ring.tolist()
    return [_MOVE, *first, *(value for place in others for value in (_LINE, *place)), _CLOSE]
