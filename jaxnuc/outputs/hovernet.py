"""The files that HoVer-Net's programs write, for what was built to read them."""

import json
import os
from collections.abc import Iterable

import numpy as np
from scipy.io import savemat

from jaxnuc.io.atomic import replacing
from jaxnuc.outputs.measure import measure
from jaxnuc.outputs.outlines import contour
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable

MAT_PIXELS = 2**28  # at most; the whole image is held in memory, 4 bytes a pixel


def write_hovernet_json(
    path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene
) -> int:
    """Writes HoVer-Net's JSON: box, centroid, contour and type of every nucleus by its number.

    All in pixels of the masks' grid, whose magnification is `mag`: 10 / mpp, null where unknown.
    Boxes are half-open (row, col); centroids and contours are (x, y). Contours run through the
    centres of the border pixels, as OpenCV's; of a mask in pieces, around the largest. `type_prob`
    is the class's probability; both are null where there are none.

    Args:
      path: of the file.
      tables: the nuclei; taken one table at a time.
      scene: the image.

    Returns:
      How many nuclei were written.

    Raises:
      ValueError: the tables do not fit the scene.
    """
    n = 0
    magnification = json.dumps(round(10 / scene.mpp, 2) if scene.mpp else None)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f'{{"mag": {magnification}, "nuc": {{')
        for first, table in scene.numbered(tables):
            found = measure(table.masks)
            boxes = _columns(found, "row_min", "col_min", "row_max", "col_max").tolist()
            centroids = _columns(found, "centroid_col", "centroid_row").tolist()
            for k, mask in enumerate(table.masks):
                class_id = None if table.classes is None else int(table.classes[k])
                probability = None
                if class_id is not None and table.class_probabilities is not None:
                    probability = float(table.class_probabilities[k, class_id])
                nucleus = {
                    "bbox": [boxes[k][:2], boxes[k][2:]],
                    "centroid": centroids[k],
                    "contour": contour(mask)[:, ::-1].tolist(),
                    "type_prob": probability,
                    "type": class_id,
                }
                file.write(("," if n else "") + f'\n"{first + k}": {json.dumps(nucleus)}')
                n += 1
        file.write("\n}}\n")
    return n


def write_hovernet_mat(
    path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene
) -> int:
    """Writes HoVer-Net's MAT file, for images that fit in memory.

    `inst_map` (H, W) int32, later nuclei on top; then, for all nuclei in the order of their
    numbers, `inst_uid` (N, 1), `inst_type` (N, 1) where there are classes, and `inst_centroid`
    (N, 2), (x, y) of the whole mask.

    Args:
      path: of the file.
      tables: the nuclei.
      scene: the image.

    Returns:
      How many nuclei were written.

    Raises:
      ValueError: the tables do not fit the scene, or the image has more than 2**28 pixels.
    """
    scene.check_size(MAT_PIXELS, "HoVer-Net's MAT", "tiff")
    labels = np.zeros(scene.shape, np.int32)
    types, centroids = [], [np.zeros((0, 2))]
    n = 0
    for first, table in scene.numbered(tables):
        for k, (row, col, mask) in enumerate(table.masks):
            labels[row : row + mask.shape[0], col : col + mask.shape[1]][mask] = first + k
        centroids.append(_columns(measure(table.masks), "centroid_col", "centroid_row"))
        if table.classes is not None:
            types.append(table.classes)
        n += len(table)
    content = {"inst_map": labels, "inst_uid": np.arange(1, n + 1, dtype=np.int32)[:, None]}
    if scene.class_names is not None:
        content["inst_type"] = np.concatenate([np.zeros(0, np.int32), *types])[:, None]
    content["inst_centroid"] = np.concatenate(centroids)
    with replacing(path) as temporary, temporary.open("wb") as file:
        savemat(file, content, do_compression=True)
    return n


def _columns(found: dict[str, np.ndarray], *names: str) -> np.ndarray:
    return np.stack([found[name] for name in names], axis=1)
