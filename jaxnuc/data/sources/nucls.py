"""NuCLS in tiles: 15 images of breast cancer with nuclei in and outside of the tumor.

Amgad et al., "NuCLS: A scalable crowdsourcing approach and dataset for nucleus classification and
segmentation in breast cancer", GigaScience 11, 2022. Published under CC0 1.0 at
https://sites.google.com/view/nucls; the tiles are a small selection of it by others.
"""

import re
from dataclasses import dataclass
from typing import Any

from jaxnuc import labels
from jaxnuc.data.annotations import check_classes, instance_map
from jaxnuc.data.layouts import Pair, find, pair
from jaxnuc.data.sources.base import Annotation, PublishedSplit
from jaxnuc.io.files import File
from jaxnuc.io.npy import decode_npz

FILES = {"image": r"(train|test)/images/([^/]+)\.png", "label": r"(train|test)/labels/([^/]+)\.npz"}
TABLE = {"table": r"label_map\.yaml"}


@dataclass(eq=False)
class Source(PublishedSplit):
    """Tiles of 256x256 pixels with instances and the classes `Non-Tumor` and `Tumor`.

    10 tiles are for training and 5 for the test. Which nuclei are `Tumor` in these tiles does not
    follow their looks: neither their areas nor their shapes and colors tell it better than chance.
    """

    name = "nucls"
    archives = "*nucls*.zip"
    layouts = (FILES | TABLE, FILES)
    expected = (
        "expected `nucls_mini.zip` or the folder `NuCLS-mini/` with {train,test}/images/*.png and "
        "{train,test}/labels/*.npz (inst_map, type_map); the whole set is published at "
        "https://sites.google.com/view/nucls in another form"
    )
    label_set = labels.label_set("nucls")

    mpp: float | None = None

    def find_pairs(self) -> dict[str, Pair]:
        found = find(self.root, self.archives, self.expected, self.layouts)
        for file in found.get("table", {}).values():
            _check_table(file)
        return pair(found)

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        arrays = decode_npz(file.read(), file.where, ("inst_map", "type_map"))
        instances, classes = (instance_map(array, file.where) for array in arrays.values())
        check_classes(instances, classes, file.where)
        return Annotation(instances, classes)

    def about(self, name: str) -> dict[str, Any]:
        return {"mpp": self.mpp, "tissue": "Breast"}


def _check_table(file: File) -> None:
    """Refuses a `label_map.yaml` of other classes."""
    text = file.read().decode(errors="replace")
    lines = re.findall(r"""^\s*(\d+)\s*:\s*["']?(.*?)["']?\s*$""", text, re.MULTILINE)
    classes = {int(number): name for number, name in lines}
    known = {label.native: label.name for label in Source.label_set.labels}
    if classes != known:
        raise ValueError(f"{file.where}: classes {classes}; those of this set are {known}")
