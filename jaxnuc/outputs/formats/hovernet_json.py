"""The JSON that HoVer-Net's programs write, for programs that read it."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jaxnuc.outputs.formats import base
from jaxnuc.outputs.measure import measure
from jaxnuc.outputs.outlines import contour, outline
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask


class Format(base.Format):
    """HoVer-Net's JSON: box, centroid, contour and type of every nucleus by its number.

    All in pixels of the masks' grid, whose magnification is `mag`: 10 / mpp, null where unknown.
    Boxes are half-open (row, col); centroids and contours are (x, y). Contours run through the
    centers of the border pixels, as OpenCV's; of a mask in pieces, around the largest. Where they
    would have no area, as of two pixels, they run along the borders of the pixels. `type_prob` is
    the probability of the class; both are null where there are none.
    """

    suffix = ".hovernet.json"

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        n = 0
        magnification = json.dumps(round(10 / scene.mpp, 2) if scene.mpp else None)
        with path.open("w", encoding="utf-8") as file:
            file.write(f'{{"mag": {magnification}, "nuc": {{')
            for first, table in scene.numbered(tables):
                found = measure(table.masks)
                places = centroids(found).tolist()
                boxes = [found[side] for side in ("row_min", "col_min", "row_max", "col_max")]
                for k, mask in enumerate(table.masks):
                    top, left, bottom, right = (int(side[k]) for side in boxes)
                    class_id = None if table.classes is None else int(table.classes[k])
                    probability = None
                    if class_id is not None and table.class_probabilities is not None:
                        probability = float(table.class_probabilities[k, class_id])
                    nucleus = {
                        "bbox": [[top, left], [bottom, right]],
                        "centroid": places[k],
                        "contour": _contour(mask)[:, ::-1].tolist(),
                        "type_prob": probability,
                        "type": class_id,
                    }
                    file.write(("," if n else "") + f'\n"{first + k}": {json.dumps(nucleus)}')
                    n += 1
            file.write("\n}}\n")
        return n


def _contour(mask: Mask) -> np.ndarray:
    """(K, 2) (row, col): a polygon with an area, which programs that draw contours need."""
    through = contour(mask)
    row, col = through.T
    twice_area = np.dot(row, np.roll(col, -1)) - np.dot(col, np.roll(row, -1))
    return through if twice_area else outline(mask).outer[:-1]


def centroids(measurements: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 2) float64 (x, y) from the columns of `measure`."""
    return np.stack([measurements["centroid_col"], measurements["centroid_row"]], axis=1)
