"""CoNIC 2022: 4,981 patches of colon tissue with nuclei of six classes, cut out of Lizard.

Graham et al., "CoNIC: colon nuclei identification and counting challenge 2022" (arXiv:2111.14485).
Published under CC BY-NC-SA 4.0 at https://conic-challenge.grand-challenge.org.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxnuc.data import sample
from jaxnuc.data.annotations import instance_map
from jaxnuc.data.layouts import find
from jaxnuc.data.sample import Sample
from jaxnuc.data.splitting import random_split
from jaxnuc.io.csv_table import read_csv
from jaxnuc.io.files import File
from jaxnuc.io.mapped_array import MappedArray
from jaxnuc.labels import NUCLEI, LabelSet, LabelTree, label_set

EXPECTED = (
    "expected images.npy, labels.npy and patch_info.csv, as published at "
    "https://conic-challenge.grand-challenge.org"
)
FILES = {
    "images.npy": r"images\.npy",
    "labels.npy": r"labels\.npy",
    "patch_info.csv": r"patch_info\.csv",
}
# The center, the number of its image in Lizard, the number of the patch: consep_1-0000.
_PATCH = re.compile(r"(?P<image>(?P<center>[^-./\\]+)_[0-9]+)-[0-9]+")


class Source(sample.Source):
    """Patches of CoNIC, 256x256 at a nominal 0.5 microns per pixel (20x), mapped, not loaded.

    No split is published for the training patches. Patches of one image of Lizard lie side by
    side, so those of an image are in one split. A zip must hold the files uncompressed.

    Args:
      separate: keep plasma cells and eosinophils apart, as the challenge counts them. The common
        label tree has one leaf for both, so the label set is then one of a tree of its own and not
        to be mixed with other data sets.
    """

    name = "conic"
    label_set: LabelSet

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        separate: bool = False,
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
    ):
        self.split = split
        self.label_set = separate_label_set() if separate else label_set("lizard")
        found = find(root, "*.zip", EXPECTED, [FILES])
        files = {kind: next(iter(each.values())) for kind, each in found.items()}
        self._images = MappedArray(files["images.npy"])
        self._labels = MappedArray(files["labels.npy"])
        shape = self._images.shape
        if len(shape) != 4 or shape[3] != 3 or self._images.dtype != np.uint8:
            raise ValueError(
                f"{self._images.where}: {self._images.dtype} of shape {shape}, expected uint8 "
                "(N, H, W, 3)"
            )
        if self._labels.shape != (*shape[:3], 2):
            raise ValueError(
                f"{self._labels.where}: shape {self._labels.shape} for images of {shape}, expected "
                f"{(*shape[:3], 2)}: instances and classes"
            )
        self._origins = _patches(files["patch_info.csv"], len(self._images))
        names = list(self._origins)
        image = lambda name: self._origins[name][0]
        self.ids = random_split(names, split, seed, fractions, image)
        places = {name: index for index, name in enumerate(names)}
        self._indices = [places[name] for name in self.ids]

    def __getitem__(self, index: int) -> Sample:
        patch, name = self._indices[index], self.ids[index]
        where = f"{self._labels.where}, patch {patch}"
        instances, natives = (instance_map(self._labels[patch][..., k], where) for k in (0, 1))
        try:
            classes = self.label_set.from_native(natives)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        image, center = self._origins[name]
        meta = {"name": name, "source": self.name, "mpp": 0.5, "tissue": "colon"}
        meta |= {"modality": "H&E", "center": center, "image": image}
        return Sample(np.array(self._images[patch]), instances, classes, meta)


def separate_label_set() -> LabelSet:
    """The six classes of the challenge: in the tree `other immune` is split into two."""
    tree = LabelTree(
        tuple(
            (*path, *below)
            for path in NUCLEI.paths
            for below in ([("plasma",), ("eosinophil",)] if path[-1] == "other immune" else [()])
        )
    )
    return label_set("lizard", separate=True, tree=tree)


def _patches(file: File, n: int) -> dict[str, tuple[str, str]]:
    """Image and center of each patch, in the order of the arrays."""
    patches: dict[str, tuple[str, str]] = {}
    for line, row in read_csv(file.read(), file.where, ["patch_info"]):
        patch = row["patch_info"].strip()
        match = _PATCH.fullmatch(patch)
        if match is None or patch in patches:
            fault = "is there twice" if match else "is no name such as consep_1-0000"
            raise ValueError(f"{line}: {patch!r} {fault}")
        patches[patch] = match["image"], match["center"]
    if len(patches) != n:
        raise ValueError(f"{file.where}: {len(patches)} patches, but {n} in images.npy")
    return patches
