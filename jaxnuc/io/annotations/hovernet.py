"""The JSON of HoVer-Net's programs, and that of TIAToolbox: contours by nucleus.

Source: the README of HoVer-Net's repository, the documentation of TIAToolbox.
"""

from typing import Any

import numpy as np

from jaxnuc.io.annotations import base
from jaxnuc.io.annotations.base import ImageAnnotations, Object, text_or_none
from jaxnuc.io.polygons import Polygon, Shape, pixels_of, vertices


class Reader(base.Reader):
    """Contours run through the centers of the border pixels, which belong to the nucleus.

    One that reaches the lower or right end of its half-open box runs along the borders of pixels,
    as `jaxnuc predict` writes nuclei of a single row.

    The class is `type`, a number or a name; 0 and null are none. Holes are not in these files.
    """

    title = "HoVer-Net's JSON"

    def accepts(self, content: Any) -> bool:
        if not isinstance(content, dict):
            return False
        nuclei = content.get("nuc", content)
        return isinstance(nuclei, dict) and (
            content == {} or "nuc" in content or base.is_list_of(list(nuclei.values()), "contour")
        )

    def read(self, content: Any, where: str) -> tuple[ImageAnnotations, ...]:
        objects = []
        for key, nucleus in content.get("nuc", content).items():
            at = f"{where}: nucleus {key:.40}"
            if not isinstance(nucleus, dict) or not isinstance(nucleus.get("contour"), list):
                raise ValueError(f"{at} has no list `contour`; export it again")
            try:
                contour = np.asarray(nucleus["contour"], np.float64)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{at}: a contour that is no list of points ({error})") from error
            if contour.ndim == 3 and contour.shape[1] == 1:  # as OpenCV has it
                contour = contour[:, 0]
            points = vertices(contour, at)
            shape: Shape = Polygon(points)
            if _along_borders(points, nucleus.get("bbox")):
                shape = pixels_of(Polygon(points), where=at)
            elif 0 < len(points) < 3:  # a nucleus of one row of pixels
                shape = Polygon(points[[0, *range(len(points)), -1]])
            kind = nucleus.get("type")
            name = text_or_none(None if kind == 0 else kind, at)
            objects.append(Object(shape, name))
        return (ImageAnnotations(tuple(objects), convention="hovernet"),)


def _along_borders(points: np.ndarray, box: Any) -> bool:
    """Whether a contour reaches the ends (row, col) of its half-open box, which pixels do not."""
    if (
        not isinstance(box, list)
        or len(box) != 2
        or not isinstance(box[1], list)
        or not len(points)
    ):
        return False
    ends = [each for each in box[1] if isinstance(each, int | float)]
    return len(ends) == 2 and bool((points.max(axis=0) >= ends[::-1]).any())
