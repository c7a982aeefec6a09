"""2018 Data Science Bowl (BBBC038): one mask file or one line of run lengths per nucleus.

Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl",
Nature Methods 16, 2019. Published under CC0 at https://data.broadinstitute.org/bbbc/BBBC038/.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jaxnuc import registry
from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._runlength import Runs, decode_runs, read_runs
from jaxnuc.data.sources._split_table import listed_split, read_table
from jaxnuc.data.sources._splitting import random_split
from jaxnuc.io.archive import Files

EXPECTED = (
    "expected `stage1_train.zip` or the folder `stage1_train/` with "
    "<id>/images/<id>.png and <id>/masks/*.png, as published at "
    "https://data.broadinstitute.org/bbbc/BBBC038/"
)

LABELS = ("masks", "runs")
# Folder or zip of the images, and the table of their nuclei, published after each stage.
TESTS = {
    "stage1": ("stage1_test", "stage1_solution.csv"),
    "stage2": ("stage2_test_final", "stage2_solution_final.csv"),
}
TRAIN, TRAIN_TABLE = "stage1_train", "stage1_train_labels.csv"


class Source:
    """Images of DSB2018 with their nuclei, as distributed (folder or zip).

    Nuclei get the ids 1..N in the natural order of their mask files. Where masks overlap, which
    the community-corrected release has for some pixels, the smaller nucleus lies on top, so that
    none disappears under a larger one.

    Where `split.csv` lies beside the data (columns `image_id`, `split` and, for `modality`,
    `modality`) it decides the split, and images that it does not list are left out. Otherwise the
    images, sorted by id, are permuted by `seed` and cut by `fractions`.

    The competition's test images have no mask files; with `test="stage1"` or `"stage2"` the split
    `"test"` is these, with the nuclei of the solution's table. Images that were not scored (Usage
    `Ignored`, most of stage 2) are left out.

    Args:
      root: the folder with `stage1_train.zip` or `stage1_train/`, or one of these two itself.
      split: a split of `split.csv`, or `"train"`, `"val"`, `"test"`; `"all"` is every image.
      seed: of the random split; without effect where there is a `split.csv`.
      fractions: shares of train, val and test in the random split.
      modality: keep only images of this modality of `split.csv`.
      cache: keep decoded samples in memory, in each process that reads (about 200 MB for the
        whole set); decoding some 40 masks again costs tens of milliseconds. Each worker process
        of the pipeline fills its own, so a small set is read faster without workers.
      labels: `"masks"`, or `"runs"`: the training images' nuclei from `stage1_train_labels.csv`
        beside them, in the order of its lines; mask files are not needed then.
      test: what the split `"test"` is: `"held-out"` training images, or the published test images
        `"stage1"` (`stage1_test`, `stage1_solution.csv`) or `"stage2"` (`stage2_test_final`,
        `stage2_solution_final.csv`), which lie beside `stage1_train`. The training images held out
        for `"test"` are then in no split but `"all"`: with a random split take
        `fractions=(0.9, 0.1, 0)`.

    Attributes:
      name: `"dsb2018"`.
      ids: image ids of the split, sorted; `source[i]` is `ids[i]`.
      ignored: how many lines of the table of run lengths were left out as not scored.

    Raises:
      FileNotFoundError: the data are not there.
      ValueError: unknown split, modality, `labels` or `test`; `split.csv` or the table of run
        lengths contradicts the data; an image without masks; on reading, a damaged file, a mask
        of another size than its image, or runs that reach out of it.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
        modality: str | None = None,
        cache: bool = True,
        labels: str = "masks",
        test: str = "held-out",
    ):
        self.name = "dsb2018"
        if labels not in LABELS:
            raise registry.unknown("kind of labels", labels, LABELS)
        if test not in ("held-out", *TESTS):
            raise registry.unknown("test set", test, ("held-out", *TESTS))
        self.ignored = 0
        self._runs: dict[str, list[Runs]] = {}
        self._masks: dict[str, list[str]] = {}
        self._modality: dict[str, str] = {}
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if cache else None
        if split == "test" and test != "held-out":
            if modality is not None:
                raise ValueError(f"modality={modality!r}: those of test={test!r} are not known")
            self._files = Files(_find_test(Path(root), TESTS[test][0]))
            self._images, _ = _index(self._files)
            self._read_table_of_runs(TESTS[test][1])
            self.ids = sorted(self._runs)
            return
        self._files = Files(_find(Path(root)))
        self._images, self._masks = _index(self._files)
        if labels == "runs":
            self._read_table_of_runs(TRAIN_TABLE)
        else:
            _require_masks(self._files, self._images, self._masks)
        table = read_table(self._files.path, self._images)
        if table is None:
            chosen = random_split(sorted(self._images), split, seed, fractions)
            if modality is not None:
                raise ValueError(
                    f"modality={modality!r} needs a split.csv with the columns image_id, split, "
                    f"modality beside {self._files.path}"
                )
        else:
            chosen = listed_split(table, split, modality)
        self.ids = chosen
        self._modality = {i: row["modality"] for i, row in (table or {}).items()}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        if self._cache is None:
            image, instances = self._read(self.ids[index])
        else:
            if index not in self._cache:
                self._cache[index] = _pack(*self._read(self.ids[index]))
            image, instances = _unpack(*self._cache[index])
        name = self.ids[index]
        meta = {
            "name": name,
            "source": self.name,
            "mpp": None,
            "modality": self._modality.get(name),
        }
        return Sample(image, instances, None, meta)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": None if self._cache is None else {}}

    def _read_table_of_runs(self, name: str) -> None:
        """Takes the nuclei from the table of this name beside the images."""
        path = self._files.path.parent / name
        if not path.exists():
            path = self._files.path / name
            if not path.exists():
                raise FileNotFoundError(
                    f"{self._files.path.parent / name}: not there; it holds the nuclei of "
                    f"{self._files.path.name}, and is published with it"
                )
        self._runs, ignored = read_runs(path)
        self.ignored = ignored.total()
        listed = {*self._runs, *ignored}
        for some, others, fault in (
            (self._images, listed, f"is not in {path}"),
            (sorted(listed), self._images, f"of {path} is not in {self._files.path}"),
        ):
            alone = [i for i in some if i not in others]
            if alone:
                raise ValueError(
                    f"{self._files.path}: image {alone[0]!r} {fault} ({len(alone)} such images); "
                    "complete the data or remove them"
                )
        if not self._runs:
            raise ValueError(f"{path}: no image that was scored")

    def _read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        image = self._files.rgb(self._images[name])
        height, width, _ = image.shape
        if self._runs:
            nuclei = [decode_runs(runs, (height, width)) for runs in self._runs.get(name, [])]
        else:
            nuclei = [self._read_mask(file, name, (height, width)) for file in self._masks[name]]
        instances = np.zeros((height, width), np.int32)
        # Larger first, so that the smaller lies on top.
        for i in sorted(range(len(nuclei)), key=lambda i: -nuclei[i].size):
            instances.flat[nuclei[i]] = i + 1
        return image, instances

    def _read_mask(self, file: str, name: str, shape: tuple[int, int]) -> np.ndarray:
        """The pixels of a mask of the image `name`, as indices into it."""
        mask = self._files.array(file)
        if mask.ndim == 3:
            mask = mask[..., 0]
        if mask.shape != shape:
            raise ValueError(
                f"{self._files.where(file)}: a mask of {mask.shape} pixels for an image of {shape} "
                f"({self._images[name]})"
            )
        return np.flatnonzero(mask)


def _pack(image: np.ndarray, instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One channel for a grey image, and the smallest dtype that holds the ids."""
    if (image == image[..., :1]).all():
        image = image[..., :1].copy()
    return image, instances.astype(np.min_scalar_type(instances.max(initial=0)))


def _unpack(image: np.ndarray, instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.broadcast_to(image, (*image.shape[:2], 3)).copy(), instances.astype(np.int32)


def _find(root: Path) -> Path:
    for path in (root / f"{TRAIN}.zip", root / TRAIN):
        if path.exists():
            return path
    is_data = root.is_file() or any(root.glob("*/images/*.png"))
    if not is_data:
        raise FileNotFoundError(f"{root}: {EXPECTED}")
    return root


def _find_test(root: Path, folder: str) -> Path:
    for beside in (root, root.parent):  # the second where the root is one of the data's folders
        for path in (beside / f"{folder}.zip", beside / folder):
            if path.exists():
                return path
    raise FileNotFoundError(
        f"{root}: no {folder} or {folder}.zip here, published at "
        "https://data.broadinstitute.org/bbbc/BBBC038/"
    )


def _index(files: Files) -> tuple[dict[str, str], dict[str, list[str]]]:
    images: dict[str, str] = {}
    masks: dict[str, list[str]] = {}
    for file in files.names:
        path = PurePosixPath(file)
        if path.suffix.lower() != ".png" or len(path.parts) < 3:
            continue
        name, kind = path.parts[-3:-1]
        if kind == "masks":
            masks.setdefault(name, []).append(file)
        elif kind == "images":
            if name in images:
                raise ValueError(
                    f"{files.path}: two images for {name!r}: {images[name]} and {file}"
                )
            images[name] = file
    if not images:
        raise FileNotFoundError(f"{files.path}: no images in it; {EXPECTED}")
    return images, masks


def _require_masks(files: Files, images: dict[str, str], masks: dict[str, list[str]]) -> None:
    alone = [name for name in masks if name not in images]
    if alone:
        raise ValueError(
            f"{files.where(masks[alone[0]][0])}: a mask without an image in {alone[0]}/images "
            f"({len(alone)} such folders); complete the data or remove them"
        )
    for name, file in images.items():
        if name not in masks:
            raise ValueError(
                f"{files.where(file)}: an image without masks (no {name}/masks/*.png); the test "
                "stages have none: use stage1_train, or test='stage1' with split='test'"
            )
