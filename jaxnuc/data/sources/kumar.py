"""Kumar 2017: 30 H&E images of seven organs, and their split by organs.

Kumar et al., "A Dataset and a Technique for Generalized Nuclear Segmentation for Computational
Pathology", IEEE Transactions on Medical Imaging 36(7), 2017. The images are training images of
MoNuSeg 2018 (CC BY-NC-SA 4.0, https://monuseg.grand-challenge.org/Data/); redistributed in the
split, with label maps, by the authors of HoVer-Net (Graham et al., Medical Image Analysis 58,
2019).
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc import registry
from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._aperio import read_aperio
from jaxnuc.data.sources._aperio_pairs import archives, choose, find_pairs, paint, patient
from jaxnuc.data.sources._arrays import instance_map
from jaxnuc.data.sources._label_images import check_size
from jaxnuc.data.sources._mat import read_mat
from jaxnuc.data.sources._memory import Memory
from jaxnuc.data.sources._pairs import File, find, pair
from jaxnuc.data.sources._polygons import check_convention
from jaxnuc.data.sources._tables import read_csv

PARTS = ("train", "test_same", "test_diff")
SPLITS = ("train", "val", "test", "test_same", "test_diff", "all")
# Four images of each for training, two for the test; two images of each other organ for the test.
SAME_ORGANS = ("breast", "kidney", "liver", "prostate")
OTHER_ORGANS = ("bladder", "colon", "stomach")
EXPECTED = (
    "expected `kumar.zip` or the folder `kumar/` with train/, test_same/ and test_diff/, each with "
    "Images/*.tif and Labels/*.mat, as redistributed with HoVer-Net. For the original images with "
    "Aperio annotations (of MoNuSeg's training set) pass split_file, a CSV file with the columns "
    "image_id and split (train, test_same, test_diff) or image_id and organ: their names do not "
    "say which part they belong to"
)
LAYOUT = {
    "image": r"(train|test_same|test_diff)/images/([^/]+)\.(?:tiff?|png)",
    "label": r"(train|test_same|test_diff)/labels/([^/]+)\.mat",
}


class Source:
    """Kumar's images with their nuclei: 16 for training, 8 of the same organs, 6 of others.

    Args:
      root: the folder with `kumar.zip` or `kumar/`, or one of these two itself. With `split_file`
        the original images with Aperio annotations: the folder of downloads with zips or folders
        whose names begin with `kumar` or `monuseg`, or one of these itself.
      split: `"train"` or `"val"`, which is cut from the 16 training images, `"test_same"`,
        `"test_diff"`, `"test"`, which is both, or `"all"`.
      split_file: CSV file with the column `image_id`, stems, and at least one of `split`
        (`train`, `test_same`, `test_diff`) and `organ`. Images that are not listed are left out,
        so it chooses the 30 among MoNuSeg's 37. Without `split` the rule of the paper is applied:
        bladder, colon and stomach are test_diff, and of each other organ one third, by `seed`, is
        test_same. Which images that third is in the paper, only the column `split` can say.
      seed: of the cut between train and val, and of that third.
      val_fraction: share of the training images in val; 0 trains on all 16, as HoVer-Net does.
      convention: how outlines become pixels, see `monuseg`; without effect on label maps.
      cache: keep label maps in memory (2 MB each), in each process that reads.

    Attributes:
      name: `"kumar"`.
      label_set: None, the nuclei have no classes.
      ids: the images' names in natural order, training first; `source[i]` is `ids[i]`.

    The samples' `meta` holds `patient`, `modality`, `tissue` where `split_file` has organs, and
    `mpp`: as annotated, or, since label maps do not say it, 0.25, which is 40x.

    Raises:
      FileNotFoundError: the data or the `split_file` are not there.
      ValueError: unknown split, convention, part or organ; files that do not match; on reading, a
        damaged file, sizes that differ, or labels that are none.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        split_file: str | Path | None = None,
        seed: int = 0,
        val_fraction: float = 0.2,
        convention: str = "pixel_centres",
        cache: bool = True,
    ):
        if split not in SPLITS:
            raise registry.unknown("split", split, SPLITS)
        check_convention(convention)
        self.name, self.label_set, self._convention = "kumar", None, convention
        self._files: dict[str, tuple[File, File]] = {}
        self._organs: dict[str, str] = {}
        part: dict[str, str] = {}
        if split_file is None:
            for (side, _), files in pair(find(root, "kumar*.zip", EXPECTED, [LAYOUT])).items():
                name = Path(files[0].name).stem
                if name in part:
                    raise ValueError(f"{files[0].where}: {name!r} is in {part[name]}, too")
                self._files[name], part[name] = files, side
        else:
            # Only those in the table matter, and each of them is asked for.
            pairs, _ = find_pairs(archives(root, "kumar", "monuseg"), unmatched="skip")
            part, self._organs = _read_table(Path(split_file), list(pairs), seed)
            for name in part:
                archive, image, xml = pairs[name]
                self._files[name] = File(archive, image), File(archive, xml)
        of = {side: [name for name in part if part[name] == side] for side in PARTS}
        test = of.get(split, of["test_same"] + of["test_diff"])
        side = "test" if split.startswith("test") else split
        self.ids = choose(of["train"], test, side, seed, val_fraction)
        self._memory = Memory(cache)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[index]
        image_file, label_file = self._files[name]
        image = image_file.files.rgb(image_file.name)
        shape = image.shape[:2]
        instances, known = self._memory.get(index, lambda: self._labels(label_file, shape))
        meta = {"name": name, "source": self.name, "patient": patient(name), "modality": "H&E"}
        if self._organs:
            meta["tissue"] = self._organs[name].capitalize()
        return Sample(image, instances, None, meta | known)

    def _labels(self, file: File, shape: tuple[int, int]) -> tuple[np.ndarray, dict[str, Any]]:
        if file.suffix == ".mat":
            array = read_mat(file.files, file.name, ["inst_map"])["inst_map"]
            instances = instance_map(array, file.where)
            check_size("labels", instances, shape, file.where)
            return instances, {"mpp": 0.25}
        found = read_aperio(file.read(), file.where)
        instances, counts = paint(found.polygons, shape, self._convention, file.where)
        return instances, {"mpp": found.mpp, **counts}


def _read_table(path: Path, there: list[str], seed: int) -> tuple[dict[str, str], dict[str, str]]:
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
        if name not in there:
            raise ValueError(
                f"{line}: no image with annotations of the name {name!r}; complete the data, or "
                "remove the line"
            )
        parts[name] = row.get("split", "")
        if "split" in columns and parts[name] not in PARTS:
            raise ValueError(f"{line}: {registry.unknown('split', parts[name], PARTS)}")
        if "organ" in columns:
            organs[name] = row["organ"].casefold()
            known = SAME_ORGANS + OTHER_ORGANS
            if organs[name] not in known:
                raise ValueError(f"{line}: {registry.unknown('organ', organs[name], known)}")
    if not parts:
        raise ValueError(f"{path}: lists no images")
    if not any(parts.values()):
        parts = _by_organ(organs, seed)
    return {name: parts[name] for name in there if name in parts}, organs


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
