"""NuCLS in tiles: 15 images of breast cancer with nuclei in and outside of the tumor.

Amgad et al., "NuCLS: A scalable crowdsourcing approach and dataset for nucleus classification and
segmentation in breast cancer", GigaScience 11, 2022. Published under CC0 1.0 at
https://sites.google.com/view/nucls; the tiles are a small selection of it by others.
"""

import re
from pathlib import Path
from typing import Any

from jaxnuc import labels
from jaxnuc.data.annotations import check_classes, instance_map
from jaxnuc.data.layouts import find, pair
from jaxnuc.data.sources.base import Annotation, PairedSource
from jaxnuc.data.splitting import published_split
from jaxnuc.io.files import File
from jaxnuc.io.npy import decode_npz

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
    """Tiles of 256x256 pixels with instances and the classes `Non-Tumor` and `Tumor`.

    10 tiles are for training and 5 for the test.
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
        self.label_set, self._mpp = labels.label_set("nucls"), mpp
        found = find(root, "*nucls*.zip", EXPECTED, [FILES | TABLE, FILES])
        for file in found.get("table", {}).values():
            _check_table(file)
        pairs = pair(found)
        sides = {name: each.key[0] for name, each in pairs.items()}
        super().__init__(pairs, split, published_split(sides, split, seed, val_fraction))

    def read_annotation(self, name: str, shape: tuple[int, int]) -> Annotation:
        file = self.pairs[name].label
        arrays = decode_npz(file.read(), file.where, ("inst_map", "type_map"))
        instances, classes = (instance_map(array, file.where) for array in arrays.values())
        check_classes(instances, classes, file.where)
        return Annotation(instances, classes)

    def about(self, name: str) -> dict[str, Any]:
        return {"mpp": self._mpp, "tissue": "Breast"}


def _check_table(file: File) -> None:
    """Refuses a `label_map.yaml` of other classes."""
    text = file.read().decode(errors="replace")
    lines = re.findall(r"""^\s*(\d+)\s*:\s*["']?(.*?)["']?\s*$""", text, re.MULTILINE)
    classes = {int(number): name for number, name in lines}
    known = {label.native: label.name for label in labels.label_set("nucls").labels}
    if classes != known:
        raise ValueError(f"{file.where}: classes {classes}; those of this set are {known}")
