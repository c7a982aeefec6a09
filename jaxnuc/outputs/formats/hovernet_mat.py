"""The MAT file that HoVer-Net's programs write, for programs that read it."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.io import savemat

from jaxnuc.outputs.formats import base
from jaxnuc.outputs.formats.hovernet_json import centroids
from jaxnuc.outputs.measure import measure
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable

_HEADER = b"MATLAB 5.0 MAT-file, written by jaxnuc"


class Format(base.Format):
    """HoVer-Net's MAT file, for images that fit in memory.

    `inst_map` (H, W) int32, later nuclei on top; then, for all nuclei in the order of their
    numbers, `inst_uid` (N, 1), `inst_type` (N, 1) where there are classes, and `inst_centroid`
    (N, 2), (x, y) of the whole mask.
    """

    suffix = ".hovernet.mat"
    most_pixels = 2**28  # the whole image is held in memory, 4 bytes a pixel

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        labels = np.zeros(scene.shape, np.int32)
        types, places = [np.zeros(0, np.int32)], [np.zeros((0, 2))]
        n = 0
        for first, table in scene.numbered(tables):
            for k, (row, col, mask) in enumerate(table.masks):
                labels[row : row + mask.shape[0], col : col + mask.shape[1]][mask] = first + k
            places.append(centroids(measure(table.masks)))
            if table.classes is not None:
                types.append(table.classes)
            n += len(table)
        content = {"inst_map": labels, "inst_uid": np.arange(1, n + 1, dtype=np.int32)[:, None]}
        if scene.class_names is not None:
            content["inst_type"] = np.concatenate(types)[:, None]
        content["inst_centroid"] = np.concatenate(places)
        with path.open("wb") as file:
            savemat(file, content, do_compression=True)
            file.seek(0)  # SciPy's header has the time in it: the same nuclei make the same file
            file.write(_HEADER.ljust(116))
        return n
