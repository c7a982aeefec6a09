"""CoNSeP: nuclei of 7 classes in colorectal adenocarcinoma.

Graham et al., "HoVer-Net: simultaneous segmentation and classification of nuclei in multi-tissue
histology images", Medical Image Analysis 58, 2019. Published at
https://warwick.ac.uk/fac/cross_fac/tia/data/hovernet/ for research, the paper to be cited; one
distributor states Apache-2.0.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc import labels
from jaxnuc.data.sources._arrays import check_classes, instance_map
from jaxnuc.data.sources._mat import mat_shapes, read_mat
from jaxnuc.data.sources._pairs import File, PairedSource, find, pair, published_split

EXPECTED = (
    "expected `consep.zip` or the folder `CoNSeP/` with Train/Images/*.png, Train/Labels/*.mat and "
    "the same in Test/, as published at https://warwick.ac.uk/fac/cross_fac/tia/data/hovernet/"
)
LAYOUT = {
    "image": r"(train|test)/images/([^/]+)\.png",
    "label": r"(train|test)/labels/([^/]+)\.(?:mat|npy)",
}


class Source(PairedSource):
    """Images of CoNSeP, 1000x1000 pixels at 40x, as distributed (folder or zip).

    Reads both forms of the labels: MAT files with `inst_map` and `type_map`, and the older array
    (H, W, 2) of ids and classes, in a NPY file or as the only variable of a MAT file.

    Args:
      root: the folder with `consep.zip` or `CoNSeP/`, or one of these two itself.
      split: `"train"` or `"val"`, which is cut from the published training images, `"test"`, the
        published one, or `"all"`.
      merge: read the 4 classes that are usually reported in place of 7: both epithelial classes
        become one, and fibroblasts, muscle and endothelium another.
      other: what the class `other` means in the label tree: `"necrotic"`, `"unspecific"` or
        `"ignore"`; see `jaxnuc.labels.consep`.
      seed: of the permutation that cuts val from train.
      val_fraction: share of the training images that is val.

    Attributes:
      name: `"consep"`.
      label_set: the label set.
      ids: stems such as `"train_1"`, in natural order; `source[i]` is `ids[i]`.

    Raises:
      FileNotFoundError: the data are not there.
      ValueError: unknown split or meaning of `other`, or files that do not match; on reading, a
        damaged file, sizes that differ, labels that are none, or a nucleus of several classes.
    """

    name = "consep"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        merge: bool = False,
        other: str = "necrotic",
        seed: int = 0,
        val_fraction: float = 0.2,
    ):
        self.label_set = labels.label_set("consep", merge=merge, other=other)
        pairs = pair(find(root, "*consep*.zip", EXPECTED, [LAYOUT]))
        super().__init__(published_split(pairs, split, seed, val_fraction))

    def _labels(self, file: File) -> tuple[np.ndarray, np.ndarray]:
        instances, classes = _read(file)
        instances = instance_map(instances, file.where)
        classes = instance_map(classes, file.where)
        check_classes(instances, classes, file.where)
        return instances, classes

    def _meta(self, name: str) -> dict[str, Any]:
        return {"mpp": 0.25, "tissue": "Colon"}


def _read(file: File) -> tuple[np.ndarray, np.ndarray]:
    if file.suffix == ".npy":
        both = file.files.array(file.name)
    else:
        shapes = mat_shapes(file.files, file.name)
        if len(shapes) != 1:
            arrays = read_mat(file.files, file.name, ("inst_map", "type_map"))
            return arrays["inst_map"], arrays["type_map"]
        both = next(iter(read_mat(file.files, file.name, shapes).values()))
    if both.ndim != 3 or both.shape[2] != 2:
        raise ValueError(
            f"{file.where}: one array of shape {both.shape}; expected (H, W, 2), ids and classes, "
            "or the variables inst_map and type_map"
        )
    return both[..., 0], both[..., 1]
