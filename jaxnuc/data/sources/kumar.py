"""Kumar 2017: 30 H&E images of seven organs, and their split by organs.

Kumar et al., "A Dataset and a Technique for Generalized Nuclear Segmentation for Computational
Pathology", IEEE Transactions on Medical Imaging 36(7), 2017. The images are training images of
MoNuSeg 2018 (CC BY-NC-SA 4.0, https://monuseg.grand-challenge.org/Data/); redistributed in the
split, with label maps, by the authors of HoVer-Net (Graham et al., Medical Image Analysis 58,
2019).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.data.annotations import mat_instances
from jaxnuc.data.layouts import Pair
from jaxnuc.data.sources.base import Annotation
from jaxnuc.data.sources.tcga import OutlinedSource, find_outlined, patient
from jaxnuc.data.splitting import published_split
from jaxnuc.io.csv_table import read_csv
from jaxnuc.io.files import File
from jaxnuc.registry import check_known, unknown

PARTS = ("train", "test_same", "test_diff")
SPLITS = ("train", "val", "test", "test_same", "test_diff", "all")
# Four images of each for training, two for the test; two images of each other organ for the test.
SAME_ORGANS = ("breast", "kidney", "liver", "prostate")
OTHER_ORGANS = ("bladder", "colon", "stomach")


@dataclass(eq=False)
class Source(OutlinedSource):
    """Kumar's images with their nuclei: 16 for training, 8 of the same organs, 6 of others.

    The splits are `"train"` and `"val"`, which is cut from the 16 training images by patient,
    `"test_same"`, `"test_diff"`, `"test"`, which is both, and `"all"`. With `split_file` the
    original images with Aperio annotations are read: zips or folders whose names begin with `kumar`
    or `monuseg`. Label maps do not state the microns per pixel; theirs are 0.25, which is 40x. The
    samples' `meta` holds `tissue` where `split_file` has organs.

    Args:
      split_file: CSV file with the column `image_id`, stems, and at least one of `split`
        (`train`, `test_same`, `test_diff`) and `organ`. Images that are not listed are left out,
        so it chooses the 30 among MoNuSeg's 37. Without `split` the rule of the paper is applied:
        bladder, colon and stomach are test_diff, and of each other organ one third, by `seed`, is
        test_same. Which images that third is in the paper, only the column `split` can say.
    """

    name = "kumar"
    archives = "kumar*.zip"
    layouts = (
        {
            "image": r"(train|test_same|test_diff)/images/([^/]+)\.(?:tiff?|png)",
            "label": r"(train|test_same|test_diff)/labels/([^/]+)\.mat",
        },
    )
    expected = (
        "expected `kumar.zip` or the folder `kumar/` with train/, test_same/ and test_diff/, each "
        "with Images/*.tif and Labels/*.mat, as redistributed with HoVer-Net. For the original "
        "images with Aperio annotations (of MoNuSeg's training set) pass split_file, a CSV file "
        "with the columns image_id and split (train, test_same, test_diff) or image_id and organ: "
        "their names do not say which part they belong to"
    )

    split_file: str | Path | None = None

    def find_pairs(self) -> dict[str, Pair]:
        check_known("split", self.split, SPLITS)
        self._organs: dict[str, str] = {}
        if self.split_file is not None:
            # Only those in the table matter, and each of them is asked for.
            pairs, _ = find_outlined(self.root, ("kumar", "monuseg"), unmatched="skip")
            self._parts, self._organs = _read_table(Path(self.split_file), list(pairs), self.seed)
            return pairs
        pairs = super().find_pairs()
        self._parts = {name: each.key[0] for name, each in pairs.items()}
        for name, each in pairs.items():
            if "/" in name:
                raise ValueError(f"{each.image.where}: is in two of {', '.join(PARTS)}")
        return pairs

    def choose(self) -> list[str]:
        """The images of the split, the parts in the order of `PARTS`."""
        parts = self._parts
        if self.split in PARTS[1:]:
            parts = {name: part for name, part in parts.items() if part in ("train", self.split)}
        ordered = sorted(parts, key=lambda name: PARTS.index(parts[name]))
        sides = {n: "train" if parts[n] == "train" else "test" for n in ordered}
        split = "test" if self.split.startswith("test") else self.split
        return published_split(sides, split, self.seed, self.val_fraction, patient)

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        if file.suffix == ".mat":
            return Annotation(mat_instances(file), meta={"mpp": 0.25})
        return super().read_annotation(name, file, shape)

    def about(self, name: str) -> dict[str, Any]:
        organ = {"tissue": self._organs[name].capitalize()} if self._organs else {}
        return {**super().about(name), **organ}


def _read_table(path: Path, present: list[str], seed: int) -> tuple[dict[str, str], dict[str, str]]:
    """The part and, where listed, the organ of each image in the table."""
    parts: dict[str, str] = {}
    organs: dict[str, str] = {}
    for line, row in read_csv(path.read_bytes(), str(path), ["image_id"]):
        name, columns = row["image_id"], row.keys()
        if not columns & {"split", "organ"}:
            raise ValueError(
                f"{path}: columns {', '.join(columns)}; expected image_id and at least one of "
                "split and organ"
            )
        if name in parts:
            raise ValueError(f"{line}: image_id {name!r} a second time")
        if name not in present:
            raise ValueError(
                f"{line}: no image with annotations of the name {name!r}; complete the data, or "
                "remove the line"
            )
        parts[name] = row.get("split", "")
        if "split" in columns and parts[name] not in PARTS:
            raise ValueError(f"{line}: {unknown('split', parts[name], PARTS)}")
        if "organ" in columns:
            organs[name] = row["organ"].casefold()
            known = SAME_ORGANS + OTHER_ORGANS
            if organs[name] not in known:
                raise ValueError(f"{line}: {unknown('organ', organs[name], known)}")
    if not parts:
        raise ValueError(f"{path}: lists no images")
    if not any(parts.values()):
        parts = _by_organ(organs, seed)
    return {name: parts[name] for name in present if name in parts}, organs


def _by_organ(organs: dict[str, str], seed: int) -> dict[str, str]:
    parts = dict.fromkeys(organs, "test_diff")
    generator = np.random.default_rng(seed)
    for organ in SAME_ORGANS:
        names = sorted(name for name in organs if organs[name] == organ)
        order = generator.permutation(names).tolist()
        held_out = round(len(names) / 3)
        parts |= dict.fromkeys(order[:held_out], "test_same")
        parts |= dict.fromkeys(order[held_out:], "train")
    return parts
