"""NuCLS in tiles: 15 images of breast cancer with nuclei in and outside of the tumour.

Amgad et al., "NuCLS: A scalable crowdsourcing approach and dataset for nucleus classification and
segmentation in breast cancer", GigaScience 11, 2022. Published under CC0 1.0 at
https://sites.google.com/view/nucls; the tiles are a small selection of it by others.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc import labels
from jaxnuc.data.sources._arrays import check_classes, instance_map, read_npz
from jaxnuc.data.sources._pairs import File, PairedSource, find, pair, published_split

EXPECTED = (
    "expected `nucls_mini.zip` or the folder `NuCLS-mini/` with {train,test}/images/*.png and "
    "{train,test}/labels/*.npz (inst_map, type_map); the whole set is published at "
    "https://sites.google.com/view/nucls in another form"
)
FILES = {
    "image": r"(train|test)/images/([^/]+)\.png",
    "label": r"(train|test)/labels/([^/]+)\.npz",
}
TABLE = {"table": r"label_map\.yaml"}


class Source(PairedSource):
    """Tiles of 256x256 pixels with instances and two classes, as distributed (folder or zip).

    Args:
      root: the folder with `nucls_mini.zip` or `NuCLS-mini/`, or one of these two itself.
      split: `"train"` or `"val"`, which is cut from the 10 training tiles, `"test"`, the 5 others,
        or `"all"`.
      seed: of the permutation that cuts val from train.
      val_fraction: share of the training tiles that is val.
      mpp: microns per pixel, which the tiles do not state. Where given, every sample carries it.

    Attributes:
      name: `"nucls"`.
      label_set: the label set: `Non-Tumor`, `Tumor`.
      ids: stems such as `"train_1"`, in natural order; `source[i]` is `ids[i]`.

    Raises:
      FileNotFoundError: the data are not there.
      ValueError: unknown split, files that do not match, or a `label_map.yaml` of other classes;
        on reading, a damaged file, sizes that differ, or a nucleus of several classes.
    """

    name = "nucls"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        seed: int = 0,
        val_fraction: float = 0.2,
        mpp: float | None = None,
    ):
        self.label_set = labels.label_set("nucls")
        found = find(root, "*nucls*.zip", EXPECTED, [FILES | TABLE, FILES])
        if "table" in found:
            self._check_table(next(iter(found["table"].values())))
        super().__init__(published_split(pair(found), split, seed, val_fraction))
        self._mpp = mpp

    def _check_table(self, file: File) -> None:
        text = file.read().decode(errors="replace")
        lines = re.findall(r"""^\s*(\d+)\s*:\s*["']?(.*?)["']?\s*$""", text, re.MULTILINE)
        classes = {int(number): name for number, name in lines}
        known = {label.native: label.name for label in labels.label_set("nucls").labels}
        if classes != known:
            raise ValueError(f"{file.where}: classes {classes}; those of this set are {known}")

    def _labels(self, file: File) -> tuple[np.ndarray, np.ndarray]:
        arrays = read_npz(file.files, file.name, ("inst_map", "type_map"))
        instances = instance_map(arrays["inst_map"], file.where)
        classes = instance_map(arrays["type_map"], file.where)
        check_classes(instances, classes, file.where)
        return instances, classes

    def _meta(self, name: str) -> dict[str, Any]:
        return {"mpp": self._mpp, "tissue": "Breast"}
