"""Lizard: half a million nuclei of 6 classes in colon tissue.

Graham et al., "Lizard: a large-scale dataset for colonic nuclear instance segmentation and
classification", ICCV Workshops 2021. Published at https://warwick.ac.uk/fac/cross_fac/tia/data/lizard
for non-commercial use (CC BY-NC-SA 4.0).
"""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from jaxnuc import labels
from jaxnuc.data.annotations import instance_map
from jaxnuc.data.layouts import Pair, find, pair
from jaxnuc.data.sources.base import Annotation, PublishedSplit
from jaxnuc.io.csv_table import read_csv
from jaxnuc.io.files import File
from jaxnuc.io.mat import read_mat
from jaxnuc.registry import check_known

COLUMNS = ("Filename", "Source", "Split")


@dataclass(eq=False)
class Source(PublishedSplit):
    """Images of Lizard with classified nuclei: a folder, a zip, or the three zips.

    The set is published in three folds, the column `Split` of `info.csv`. One of them is the test
    split, the two others are for training, and val is cut from these by image, for patients are not
    published. Plasma cells and eosinophils are one class of the standard label tree.

    The samples' `mpp` is 0.5, nominal: the images are at 20x, from several scanners. `origin` is
    the column `Source`, `fold` the column `Split`.

    Args:
      fold: the published fold, 1 to 3, that is the test split.
    """

    name = "lizard"
    archives = "*lizard*.zip"
    # Some distributors' folders lie in a folder of the same name each.
    layouts = (
        {
            "image": r"(?:lizard_images[12]/)?lizard_images[12]/([^/]+)\.png",
            "label": r"(?:lizard_labels/)?lizard_labels/labels/([^/]+)\.mat",
            "table": r"(?:lizard_labels/)?lizard_labels/(info)\.csv",
        },
    )
    expected = (
        "expected the folders Lizard_Images1/*.png, Lizard_Images2/*.png and Lizard_Labels/ with "
        "info.csv and Labels/*.mat, or the zips of all three, as published at "
        "https://warwick.ac.uk/fac/cross_fac/tia/data/lizard"
    )
    label_set = labels.label_set("lizard")

    fold: int = 3

    def find_pairs(self) -> dict[str, Pair]:
        found = find(self.root, self.archives, self.expected, self.layouts)
        pairs = pair(found)
        (table,) = found["table"].values()
        self._rows = _table(table, [p.key[0] for p in pairs.values()])
        folds = {row["Split"] for row in self._rows.values()}
        check_known("fold of Lizard", str(self.fold), folds)
        return pairs

    def side(self, name: str) -> str:
        row = self._rows[self.pairs[name].key[0]]
        return "test" if row["Split"] == str(self.fold) else "train"

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        arrays = read_mat(file.read(), file.where, ("inst_map", "id", "class"))
        instances = instance_map(arrays["inst_map"], file.where)
        ids, classes = (_vector(arrays[key], key, file) for key in ("id", "class"))
        if len(ids) != len(classes) or len(np.unique(ids)) != len(ids):
            raise ValueError(
                f"{file.where}: {len(ids)} ids, {len(np.unique(ids))} of them distinct, for "
                f"{len(classes)} classes"
            )
        if not (ids.all() and classes.all()):
            raise ValueError(f"{file.where}: an id or class of 0, which is background")
        present, places = np.unique(instances, return_inverse=True)
        table = dict(zip(ids.tolist(), classes.tolist(), strict=True)) | {0: 0}
        lost = [number for number in present.tolist() if number not in table]
        if lost:
            raise ValueError(
                f"{file.where}: {len(lost)} nuclei of inst_map, such as {lost[0]}, are not in `id` "
                "and so have no class"
            )
        of = np.array([table[number] for number in present.tolist()], np.int32)
        return Annotation(instances, of[places].reshape(instances.shape))

    def about(self, name: str) -> dict[str, Any]:
        row = self._rows[name.lower()]
        return {"mpp": 0.5, "tissue": "Colon", "origin": row["Source"], "fold": int(row["Split"])}


def _vector(array: np.ndarray, key: str, file: File) -> np.ndarray:
    if array.size == 0:
        return np.zeros(0, np.int32)
    if array.size != max(array.shape):
        raise ValueError(f"{file.where}: `{key}` of shape {array.shape}; expected (N, 1)")
    return instance_map(array.reshape(1, -1), f"{file.where}, `{key}`")[0]


def _table(file: File, stems: list[str]) -> dict[str, dict[str, str]]:
    """The rows of `info.csv` by file name without suffix, in lower case."""
    rows: dict[str, dict[str, str]] = {}
    for line, row in read_csv(file.read(), file.where, COLUMNS):
        name = row["Filename"].lower()
        stem = PurePosixPath(name).stem if name.endswith((".png", ".mat")) else name
        if stem in rows:
            raise ValueError(f"{line}: {stem!r} twice")
        if row["Split"] not in ("1", "2", "3"):
            raise ValueError(f"{line}: fold {row['Split']!r}; expected 1, 2 or 3")
        rows[stem] = row
    alone = [stem for stem in stems if stem not in rows]
    absent = [stem for stem in rows if stem not in stems]
    if alone or absent:
        raise ValueError(
            f"{file.where}: {len(alone)} images are not listed and {len(absent)} listed ones are "
            f"not there, such as {(alone + absent)[0]!r}; complete the data"
        )
    return rows
