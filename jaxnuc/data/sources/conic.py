"""CoNIC 2022: 4,981 patches of colon tissue with nuclei of six classes, cut out of Lizard.

Graham et al., "CoNIC: colon nuclei identification and counting challenge 2022" (arXiv:2111.14485).
Published under CC BY-NC-SA 4.0 at https://conic-challenge.grand-challenge.org.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._archives import open_files
from jaxnuc.data.sources._label_images import as_ids
from jaxnuc.data.sources._mapped import MappedArray
from jaxnuc.data.sources._splitting import random_split
from jaxnuc.data.sources._tables import read_csv
from jaxnuc.io.archive import Files
from jaxnuc.labels import NUCLEI, LabelTree, label_set

CLASSES = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
ARRAYS = ("images.npy", "labels.npy")
TABLES = ("patch_info.csv", "counts.csv")
EXPECTED = (
    "expected images.npy, labels.npy, patch_info.csv and, for the counts, counts.csv, as published "
    "at https://conic-challenge.grand-challenge.org"
)
# The centre, the number of its image in Lizard, the number of the patch: consep_1-0000.
_PATCH = re.compile(r"(?P<image>(?P<centre>[^-./\\]+)_[0-9]+)-[0-9]+")


class Source:
    """Patches of CoNIC, 256x256 at a nominal 0.5 microns per pixel (20x), mapped, not loaded.

    No split is published for the training patches. Patches of one image of Lizard lie side by
    side, so they are split by image, permuted by `seed`: those of an image are in one split.

    Args:
      root: the folder of the four files, at any depth, or a zip that holds them uncompressed.
      split: `"train"`, `"val"`, `"test"` or `"all"`.
      separate: keep plasma cells and eosinophils apart, as the challenge counts them. The common
        label tree has one leaf for both, so the cut is then one of a tree of its own and not to be
        mixed with other data sets.
      seed: of the split.
      fractions: shares of the images in train, val and test.

    Attributes:
      name: `"conic"`.
      ids: names of the patches as in `patch_info.csv`, in the order of the arrays.
      label_set: `label_set("lizard")`, or its six separate classes.
      counts: (N, 6) int64, the nuclei of each of `CLASSES` that reach into the central 224x224
        pixels, as in `counts.csv`; None where that file is missing.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is there twice; an array is compressed, cut off or of another shape; a
        table does not fit; on reading, a class that there is not.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        separate: bool = False,
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
    ):
        self.name = "conic"
        self.label_set = (
            label_set("lizard", separate=True, tree=_separate_tree())
            if separate
            else label_set("lizard")
        )
        files = open_files(root, lambda name: PurePosixPath(name).name in ARRAYS, EXPECTED)
        found = _find(files)
        self._images = MappedArray(files, found["images.npy"])
        self._labels = MappedArray(files, found["labels.npy"])
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
        patches = _patches(files, found["patch_info.csv"], len(self._images))
        images = list(dict.fromkeys(image for image, _ in patches.values()))
        kept = set(random_split(images, split, seed, fractions))
        self._indices = [i for i, (image, _) in enumerate(patches.values()) if image in kept]
        self.ids = [name for name, (image, _) in patches.items() if image in kept]
        self._origins = [patches[name] for name in self.ids]
        self.counts: np.ndarray | None = None
        if "counts.csv" in found:
            self.counts = _counts(files, found["counts.csv"], len(self._images))[self._indices]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        patch = self._indices[index]
        where = f"{self._labels.where}, patch {patch}"
        labels = self._labels[patch]
        instances = as_ids(labels[..., 0], where)
        try:
            classes = self.label_set.from_native(as_ids(labels[..., 1], where))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        image, centre = self._origins[index]
        meta = {
            "name": self.ids[index],
            "source": self.name,
            "mpp": 0.5,
            "tissue": "colon",
            "modality": "H&E",
            "centre": centre,
            "image": image,
        }
        return Sample(np.array(self._images[patch]), instances, classes, meta)


def _find(files: Files) -> dict[str, str]:
    """The four files' addresses by their names."""
    found: dict[str, str] = {}
    for name in files.names:
        file = PurePosixPath(name).name
        if file in (*ARRAYS, *TABLES):
            if file in found:
                raise ValueError(
                    f"{files.path}: {found[file]} and {name}; give the folder of one of them"
                )
            found[file] = name
    for required in (*ARRAYS, TABLES[0]):
        if required not in found:
            raise FileNotFoundError(f"{files.path}: no {required}; {EXPECTED}")
    return found


def _separate_tree() -> LabelTree:
    """The common tree with `other immune` split into plasma cells and eosinophils."""
    return LabelTree(
        tuple(
            (*path, *below)
            for path in NUCLEI.paths
            for below in ([("plasma",), ("eosinophil",)] if path[-1] == "other immune" else [()])
        )
    )


def _rows(files: Files, name: str, columns: Sequence[str], n: int) -> list[list[str]]:
    """The named columns of a table of `n` lines."""
    table = read_csv(files.read(name), files.where(name), columns)
    rows = [[row[column].strip() for column in columns] for _, row in table]
    if len(rows) != n:
        raise ValueError(f"{files.where(name)}: {len(rows)} patches, but {n} in images.npy")
    return rows


def _patches(files: Files, name: str, n: int) -> dict[str, tuple[str, str]]:
    """Image and centre of each patch, in the order of the arrays."""
    patches: dict[str, tuple[str, str]] = {}
    for line, (patch,) in enumerate(_rows(files, name, ["patch_info"], n), 2):
        match = _PATCH.fullmatch(patch)
        if match is None or patch in patches:
            fault = "is there twice" if match else "is no name such as consep_1-0000"
            raise ValueError(f"{files.where(name)}, line {line}: {patch!r} {fault}")
        patches[patch] = match["image"], match["centre"]
    return patches


def _counts(files: Files, name: str, n: int) -> np.ndarray:
    rows = _rows(files, name, CLASSES, n)
    try:
        return np.array(rows, np.int64).reshape(n, len(CLASSES))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{files.where(name)}: counts that are no numbers ({error})") from error
