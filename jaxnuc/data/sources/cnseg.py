"""CNSeg: nuclei in Papanicolaou-stained cervical smears; single patches, clusters, other domains.

Zhao et al., "CNSeg: A dataset for cervical nuclear segmentation", Computer Methods and Programs in
Biomedicine 241, 2023. Published at
https://www.kaggle.com/datasets/zhaojing0522/cervical-nucleus-segmentation; no licence is stated.
"""

from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jaxnuc import registry
from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._label_images import as_ids, check_size
from jaxnuc.data.sources._labelme import read_labelme
from jaxnuc.data.sources._memory import Memory
from jaxnuc.data.sources._polygons import Polygon, check_convention, rasterize
from jaxnuc.data.sources._splitting import random_split
from jaxnuc.io.archive import Files
from jaxnuc.io.image_files import IMAGE_SUFFIXES, natural_key
from jaxnuc.postprocess import label_components

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
EXPECTED = (
    "expected the archive or folder with PatchSeg/{train,test}-{images,labels}, clusteredCell/"
    "{difficult,normal,sample}, each with ..._json and as test-..., TargetA/ and TargetB/ with "
    "train_images, test_images and test_json, as published at "
    "https://www.kaggle.com/datasets/zhaojing0522/cervical-nucleus-segmentation"
)


class Source:
    """One part of CNSeg with its nuclei, as distributed (folder or zip).

    PatchSeg has label images, the others outlines in LabelMe files; either is read wherever it is.
    Of the two target domains only the test images are annotated: their training images are the
    split `"unlabelled"`, without nuclei, with `ignore` True everywhere.

    Args:
      root: the folder with all parts, or the folder of one, or its zip, or a folder with zips.
      subset: `"patch"`, `"cluster"`, `"target_a"`, or `"target_b"`.
      split: `"train"` or `"val"`, which is cut from the published training images, `"test"`, or
        `"all"`, every image with annotations; of the targets also `"unlabelled"`, and no train.
      seed: of the permutation that cuts val from train.
      val_fraction: share of the training images in val.
      nuclei: the labels of outlines that are nuclei. What the authors mean by each of `nuc`, `nn`,
        `nucleus`, `b` and `m` is not documented; by default all are. Outlines of the others are
        left out and counted.
      min_points: outlines with fewer vertices are skipped and counted. AL-Net's authors ignore
        those of 5 and fewer: 6.
      convention: how outlines become pixels: `"pixel_centres"`, `"hovernet"`, `"haru"`, `"alnet"`.
      components: label images hold a mask of all nuclei, of which each 8-connected component is
        one; otherwise each nucleus has its own number.
      cache: keep label maps in memory, in each process that reads.

    Attributes:
      name: `"cnseg"`.
      label_set: None, the nuclei have no classes.
      ids: such as `"train/12"`, or in clusters `"test/difficult/12"`, in natural order.
      ignores: whether samples have regions to ignore: in the split `"unlabelled"`.

    The samples' `meta` also holds `subset`, `modality`, in clusters `difficulty`, and of outlines
    the counts `regions`, `skipped_regions` (too few vertices), `hidden_regions` (no pixel left) and
    `other_regions` (labels that are no nuclei).

    Raises:
      FileNotFoundError: the part is not there.
      ValueError: unknown subset, split, label or convention; files that do not match; on reading, a
        damaged file, sizes that differ, an unknown label, or a mask where numbers are expected.
    """

    def __init__(
        self,
        root: str | Path,
        subset: str = "patch",
        split: str = "train",
        seed: int = 0,
        val_fraction: float = 0.2,
        nuclei: Collection[str] = NUCLEI,
        min_points: int = 3,
        convention: str = "pixel_centres",
        components: bool = False,
        cache: bool = True,
    ):
        if subset not in SUBSETS:
            raise registry.unknown("subset", subset, SUBSETS)
        for label in nuclei:
            if label not in NUCLEI:
                raise registry.unknown("label", label, NUCLEI)
        if min_points < 3:
            raise ValueError(f"min_points={min_points}: an outline needs 3 vertices or more")
        check_convention(convention)
        self.name, self.label_set, self.ignores = "cnseg", None, split == "unlabelled"
        self._subset, self._nuclei, self._min_points = subset, tuple(nuclei), min_points
        self._convention, self._components = convention, components
        self._files, self._images, self._labels = _index(Path(root), subset)
        self.ids = self._choose(split, seed, val_fraction)
        self._memory = Memory(cache)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        image = self._files.rgb(self._images[name])
        meta = {"name": name, "source": self.name, "mpp": None, "subset": self._subset}
        meta |= {"modality": "cytology"}
        if self._subset == "cluster":
            meta["difficulty"] = name.split("/")[1]
        if self.ignores:
            nothing = np.zeros(image.shape[:2], np.int32)
            return Sample(image, nothing, None, meta, np.ones(image.shape[:2], bool))
        read = self._outlines if self._labels[name].lower().endswith(".json") else self._ids
        make = lambda: read(self._labels[name], image.shape[:2])
        instances, counts = self._memory.get(index, make)
        return Sample(image, instances, None, meta | counts)

    def _choose(self, split: str, seed: int, val_fraction: float) -> list[str]:
        target = self._subset.startswith("target")
        known = ("test", "all", "unlabelled") if target else ("train", "val", "test", "all")
        if split not in known:
            error = registry.unknown(f"split of {self._subset!r}", split, known)
            hint = "; its training images are without annotations: 'unlabelled'"
            raise ValueError(f"{error}{hint if target else ''}")
        if not 0 <= val_fraction < 1:
            raise ValueError(f"val_fraction={val_fraction}: a share in [0, 1) is expected")
        train = [name for name in self._images if name.startswith("train/")]
        test = [name for name in self._images if name.startswith("test/")]
        chosen = {"test": test, "all": test if target else train + test}.get(split, train)
        if not chosen:
            raise FileNotFoundError(
                f"{self._files.path}: no images of {self._subset!r} of split {split!r}; {EXPECTED}"
            )
        if split != "unlabelled":
            self._check(chosen)
        if split in ("train", "val"):
            chosen = random_split(chosen, split, seed, (1 - val_fraction, val_fraction, 0.0))
        return chosen

    def _check(self, chosen: Iterable[str]) -> None:
        alone = [self._images[name] for name in chosen if name not in self._labels]
        missing = f"label file ({', '.join(LABEL_SUFFIXES)})"
        if not alone:
            alone = [file for name, file in self._labels.items() if name not in self._images]
            missing = "image"
        if alone:
            raise ValueError(
                f"{self._files.where(alone[0])}: no {missing} of this stem ({len(alone)} such "
                "files); add it or remove the file"
            )

    def _outlines(self, file: str, shape: tuple[int, int]) -> tuple[np.ndarray, dict[str, Any]]:
        where = self._files.where(file)
        found = read_labelme(self._files.read(file), where)
        if found.size not in (None, shape):
            raise ValueError(f"{where}: outlines in an image of {found.size} pixels, not {shape}")
        for label, _ in found.shapes:
            if label not in NUCLEI:
                raise ValueError(f"{where}: {registry.unknown('label', label[:80], NUCLEI)}")
        polygons = [Polygon(outline) for label, outline in found.shapes if label in self._nuclei]
        instances, counts = rasterize(polygons, shape, self._convention, self._min_points)
        if counts["regions"] > counts["skipped_regions"] and not instances.any():
            raise ValueError(
                f"{where}: none of its {len(polygons)} nuclei lies in the image of {shape} pixels; "
                "it belongs to another image"
            )
        return instances, counts | {"other_regions": len(found.shapes) - len(polygons)}

    def _ids(self, file: str, shape: tuple[int, int]) -> tuple[np.ndarray, dict[str, Any]]:
        labels, where = self._files.array(file), self._files.where(file)
        if labels.ndim == 3 and (labels[..., :3] == labels[..., :1]).all():
            labels = labels[..., 0]  # grey, saved as colours
        check_size("labels", labels, shape, where)
        instances = as_ids(labels, where)
        if self._components:
            return label_components(instances), {}
        mask = instances > 0
        if mask.any() and (instances[mask] == instances.max()).all():
            parts = int(label_components(mask).max())
            if parts > 1:
                raise ValueError(
                    f"{where}: {parts} separate parts with the one value {instances.max()}: this "
                    "is a mask; pass components=True to make each part a nucleus"
                )
        return instances, {}


def _index(root: Path, subset: str) -> tuple[Files, dict[str, str], dict[str, str]]:
    """The images and label files of a subset by name, and the folder or zip that holds them."""
    zips = [p for p in sorted(root.glob("*")) if p.suffix.lower() == ".zip" and p.is_file()]
    for path in (root, *zips):
        files = Files(path)
        images, labels = _scan(files, SUBSETS[subset])
        if images:
            return files, images, labels
    raise FileNotFoundError(f"{root}: nothing of the subset {subset!r}; {EXPECTED}")


def _scan(files: Files, folders: tuple[str, ...]) -> tuple[dict[str, str], dict[str, str]]:
    images: dict[str, str] = {}
    labels: dict[str, str] = {}
    readings = {f"{start}{kind}": prefix for prefix, start in FOLDERS.values() for kind in LABELS}
    for file in files.names:
        path = PurePosixPath(file)
        above = [_plain(part) for part in (files.path.resolve().stem, *path.parts[:-1])]
        suffix, folder = path.suffix.lower(), above.pop()
        if not set(folders) & set(above):
            continue
        if folder in FOLDERS and suffix in IMAGE_SUFFIXES:
            found, name = images, FOLDERS[folder][0] + path.stem
        elif folder in readings and suffix in LABEL_SUFFIXES:
            found, name = labels, readings[folder] + path.stem
        else:
            continue
        if name in found:
            raise ValueError(f"{files.path}: {found[name]} and {file} have the same stem; keep one")
        found[name] = file
    by_name = lambda found: dict(sorted(found.items(), key=lambda item: natural_key(item[0])))
    return by_name(images), by_name(labels)


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "").replace(" ", "")
