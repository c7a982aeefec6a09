"""CNSeg: nuclei in Papanicolaou-stained cervical smears; single patches, clusters, other domains.

Zhao et al., "CNSeg: A dataset for cervical nuclear segmentation", Computer Methods and Programs in
Biomedicine 241, 2023. Published at
https://www.kaggle.com/datasets/zhaojing0522/cervical-nucleus-segmentation; no license is stated.
"""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jaxnuc.data.annotations import check_size, instance_map, paint
from jaxnuc.data.layouts import Key, Pair, add_file, check_partners
from jaxnuc.data.sources.base import Annotation, PublishedSplit
from jaxnuc.io.annotations.labelme import read_labelme
from jaxnuc.io.files import File, Files
from jaxnuc.io.image_files import IMAGE_SUFFIXES, natural_key
from jaxnuc.io.polygons import check_convention
from jaxnuc.postprocess import label_components
from jaxnuc.registry import check_known, unknown

# The names of each part's folder, and of the folders of images in it; `_`, `-` and case are one.
SUBSETS = {
    "patch": ("patchseg",),
    "cluster": ("clusteredcell", "clusterseg"),
    "target_a": ("targeta",),
    "target_b": ("targetb",),
}
FOLDERS = {
    "trainimages": ("train/", "train"),
    "testimages": ("test/", "test"),
    **{kind: (f"train/{kind}/", kind) for kind in ("difficult", "normal", "sample")},
    **{f"test{k}": (f"test/{k}/", f"test{k}") for k in ("difficult", "normal", "sample")},
}
LABELS = ("labels", "json")
LABEL_SUFFIXES = (".json", ".png", ".tif", ".tiff", ".bmp", ".npy")  # not JPEG, which blurs ids
NUCLEI = ("nuc", "nn", "nucleus", "b", "m")


@dataclass(frozen=True)
class Outlines:
    """How the outlines of LabelMe files become nuclei.

    Attributes:
      nuclei: the labels of outlines that are nuclei. What the authors mean by each of `nuc`, `nn`,
        `nucleus`, `b` and `m` is not documented; by default all are. Outlines of the others are
        left out and counted.
      min_points: outlines with fewer vertices are skipped and counted. AL-Net's authors ignore
        those of 5 and fewer: 6.
      convention: how outlines become pixels, see `jaxnuc.io.polygons.rasterize`.

    Raises:
      ValueError: an unknown label or convention, or fewer points than an outline needs.
    """

    nuclei: Collection[str] = NUCLEI
    min_points: int = 3
    convention: str = "pixel_centers"

    def __post_init__(self) -> None:
        for label in self.nuclei:
            check_known("label", label, NUCLEI)
        if self.min_points < 3:
            raise ValueError(f"min_points={self.min_points}: an outline needs 3 vertices or more")
        check_convention(self.convention)


@dataclass(eq=False)
class Source(PublishedSplit):
    """One part of CNSeg with its nuclei; its ids are such as `"train/12"`, `"test/difficult/12"`.

    PatchSeg has label images, the others outlines in LabelMe files; either is read wherever it is.
    Outlined nuclei may overlap: `covered` of the samples holds what the label map hides of them.
    Of the two target domains only the test images are annotated: their training images are the
    split `"unlabeled"`, without nuclei, with `ignore` True everywhere.

    The samples' `meta` also holds `subset`, `modality`, in clusters `difficulty`, and of outlines
    the counts `regions`, `skipped_regions` (too few vertices), `hidden_regions` (no pixel left) and
    `other_regions` (labels that are no nuclei).

    Args:
      subset: `"patch"`, `"cluster"`, `"target_a"`, or `"target_b"`.
      outlines: arguments of `Outlines`, such as `{"min_points": 6}`.
      components: label images hold a mask of all nuclei, of which each 8-connected component is
        one; otherwise each nucleus has its own number.
    """

    name = "cnseg"
    expected = (
        "expected the archive or folder with PatchSeg/{train,test}-{images,labels}, "
        "clusteredCell/{difficult,normal,sample}, each with ..._json and as test-..., TargetA/ "
        "and TargetB/ with train_images, test_images and test_json, as published at "
        "https://www.kaggle.com/datasets/zhaojing0522/cervical-nucleus-segmentation"
    )

    subset: str = "patch"
    outlines: Mapping[str, Any] | None = None
    components: bool = False
    cache: bool = True

    def find_pairs(self) -> dict[str, Pair]:
        check_known("subset", self.subset, SUBSETS)
        known = {field.name for field in dataclasses.fields(Outlines)}
        for key in self.outlines or ():
            check_known("argument of outlines:", key, known)
        self._rule = Outlines(**(self.outlines or {}))
        self.ignores = self.split == "unlabeled"
        target = self.subset.startswith("target")
        splits = ("test", "all", "unlabeled") if target else ("train", "val", "test", "all")
        if self.split not in splits:
            error = unknown(f"split of {self.subset!r}", self.split, splits)
            hint = "; its training images are without annotations: 'unlabeled'"
            raise ValueError(f"{error}{hint if target else ''}")
        everything, labels = self._index(Path(self.root))
        side = {"val": "train", "unlabeled": "train", "all": "test" if target else ""}
        start = side.get(self.split, self.split)
        images = {key: file for key, file in everything.items() if key[0].startswith(start)}
        if not images:
            raise FileNotFoundError(
                f"{self.root}: no images of {self.subset!r} of split {self.split!r}; "
                f"{self.expected}"
            )
        if not self.ignores:
            check_partners(f"label file ({', '.join(LABEL_SUFFIXES)})", images, labels)
            check_partners("image", labels, everything)
        # Without a label file, as in the split "unlabeled", none is read.
        return {key[0]: Pair(key, file, labels.get(key, file)) for key, file in images.items()}

    def choose(self) -> list[str]:
        if self.split in ("train", "val"):
            return super().choose()
        return sorted(self.pairs, key=lambda name: name.startswith("test/"))

    def side(self, name: str) -> str:
        return "train"

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        if self.ignores:
            return Annotation(np.zeros(shape, np.int32), ignore=np.ones(shape, bool))
        return self._outlines(file, shape) if file.suffix == ".json" else self._ids(file, shape)

    def about(self, name: str) -> dict[str, Any]:
        difficulty = {"difficulty": name.split("/")[1]} if self.subset == "cluster" else {}
        return {"subset": self.subset, "modality": "cytology", **difficulty}

    def _index(self, root: Path) -> tuple[dict[Key, File], dict[Key, File]]:
        """The images and label files of the subset, of the first folder or zip that holds it."""
        zips = [p for p in sorted(root.glob("*")) if p.suffix.lower() == ".zip" and p.is_file()]
        for path in (root, *zips):
            images, labels = _scan(Files(path), SUBSETS[self.subset])
            if images:
                return images, labels
        raise FileNotFoundError(f"{root}: nothing of the subset {self.subset!r}; {self.expected}")

    def _outlines(self, file: File, shape: tuple[int, int]) -> Annotation:
        found = read_labelme(file.read(), file.where)
        if found.size not in (None, shape):
            raise ValueError(
                f"{file.where}: outlines in an image of {found.size} pixels, not {shape}"
            )
        for each in found.objects:
            if each.name not in NUCLEI:
                raise ValueError(f"{file.where}: {unknown('label', str(each.name)[:80], NUCLEI)}")
        shapes = [each.shape for each in found.objects if each.name in self._rule.nuclei]
        painted = paint(shapes, shape, self._rule.convention, file.where, self._rule.min_points)
        others = {"other_regions": len(found.objects) - len(shapes)}
        return Annotation(painted.instances, meta=painted.counts | others, covered=painted.covered)

    def _ids(self, file: File, shape: tuple[int, int]) -> Annotation:
        labels = file.array()
        if labels.ndim == 3 and (labels[..., :3] == labels[..., :1]).all():
            labels = labels[..., 0]  # gray, saved as colors
        check_size("labels", labels, shape, file.where)
        instances = instance_map(labels, file.where)
        if self.components:
            return Annotation(label_components(instances))
        mask = instances > 0
        if mask.any() and (instances[mask] == instances.max()).all():
            parts = int(label_components(mask).max())
            if parts > 1:
                raise ValueError(
                    f"{file.where}: {parts} separate parts with the one value {instances.max()}: "
                    "this is a mask; pass components=True to make each part a nucleus"
                )
        return Annotation(instances)


def _scan(files: Files, folders: tuple[str, ...]) -> tuple[dict[Key, File], dict[Key, File]]:
    """The images and the label files below such a folder, by name, in natural order."""
    images: dict[Key, File] = {}
    labels: dict[Key, File] = {}
    readings = {f"{start}{kind}": prefix for prefix, start in FOLDERS.values() for kind in LABELS}
    for file in files.names:
        path = PurePosixPath(file)
        above = [_plain(part) for part in (files.path.resolve().stem, *path.parts[:-1])]
        suffix, folder = path.suffix.lower(), above.pop()
        if not set(folders) & set(above):
            continue
        if folder in FOLDERS and suffix in IMAGE_SUFFIXES:
            add_file(images, (FOLDERS[folder][0] + path.stem,), File(files, file))
        elif folder in readings and suffix in LABEL_SUFFIXES:
            add_file(labels, (readings[folder] + path.stem,), File(files, file))
    by_name = lambda found: dict(sorted(found.items(), key=lambda item: natural_key(item[0][0])))
    return by_name(images), by_name(labels)


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")
