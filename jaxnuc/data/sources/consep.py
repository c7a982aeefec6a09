"""CoNSeP: nuclei of 7 classes in colorectal adenocarcinoma.

Graham et al., "HoVer-Net: simultaneous segmentation and classification of nuclei in multi-tissue
histology images", Medical Image Analysis 58, 2019. Published at
https://warwick.ac.uk/fac/cross_fac/tia/data/hovernet/ for research, the paper to be cited; one
distributor states Apache-2.0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc import labels
from jaxnuc.data.annotations import check_classes, instance_map
from jaxnuc.data.layouts import Pair
from jaxnuc.data.sources.base import Annotation, PublishedSplit
from jaxnuc.io.files import File
from jaxnuc.io.mat import mat_variables, read_mat


@dataclass(eq=False)
class Source(PublishedSplit):
    """Images of CoNSeP, 1000x1000 pixels at 40x.

    Reads both forms of the labels: MAT files with `inst_map` and `type_map`, and the older array
    (H, W, 2) of ids and classes, in a NPY file or as the only variable of a MAT file.

    Args:
      merge: read the 4 classes that are usually reported in place of 7: both epithelial classes
        become one, and fibroblasts, muscle and endothelium another.
      other: what the class `other` means in the label tree: `"necrotic"`, `"unspecific"` or
        `"ignore"`; see `jaxnuc.labels.consep`.
    """

    name = "consep"
    archives = "*consep*.zip"
    layouts = (
        {
            "image": r"(train|test)/images/([^/]+)\.png",
            "label": r"(train|test)/labels/([^/]+)\.(?:mat|npy)",
        },
    )
    expected = (
        "expected `consep.zip` or the folder `CoNSeP/` with Train/Images/*.png, "
        "Train/Labels/*.mat and the same in Test/, as published at "
        "https://warwick.ac.uk/fac/cross_fac/tia/data/hovernet/"
    )

    merge: bool = False
    other: str = "necrotic"

    def find_pairs(self) -> dict[str, Pair]:
        self.label_set = labels.label_set("consep", merge=self.merge, other=self.other)
        return super().find_pairs()

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        instances, classes = (instance_map(array, file.where) for array in _read(file))
        check_classes(instances, classes, file.where)
        return Annotation(instances, classes)

    def about(self, name: str) -> dict[str, Any]:
        return {"mpp": 0.25, "tissue": "Colon"}


def _read(file: File) -> tuple[np.ndarray, np.ndarray]:
    if file.suffix == ".npy":
        both = file.array()
    else:
        data, where = file.read(), file.where
        names = list(mat_variables(data, where))
        if len(names) != 1:
            arrays = read_mat(data, where, ("inst_map", "type_map"))
            return arrays["inst_map"], arrays["type_map"]
        both = read_mat(data, where, names)[names[0]]
    if both.ndim != 3 or both.shape[2] != 2:
        raise ValueError(
            f"{file.where}: one array of shape {both.shape}; expected (H, W, 2), ids and classes, "
            "or the variables inst_map and type_map"
        )
    return both[..., 0], both[..., 1]
