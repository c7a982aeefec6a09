"""2018 Data Science Bowl, stage 1 training set (BBBC038): one mask file per nucleus.

Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl",
Nature Methods 16, 2019. Published under CC0 at https://data.broadinstitute.org/bbbc/BBBC038/.
"""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jaxnuc import registry
from jaxnuc.data.files import Files
from jaxnuc.data.sample import Sample
from jaxnuc.data.sources._splitting import random_split

EXPECTED = (
    "expected `stage1_train.zip` or the folder `stage1_train/` with "
    "<id>/images/<id>.png and <id>/masks/*.png, as published at "
    "https://data.broadinstitute.org/bbbc/BBBC038/"
)


class Source:
    """Images of DSB2018 with their nuclei, as distributed (folder or zip).

    Nuclei get the ids 1..N in the natural order of their mask files. Where masks overlap, which
    the community-corrected release has for some pixels, the smaller nucleus lies on top, so that
    none disappears under a larger one.

    Where `split.csv` lies beside the data (columns `image_id`, `split` and, for `modality`,
    `modality`) it decides the split, and images that it does not list are left out. Otherwise the
    images, sorted by id, are permuted by `seed` and cut by `fractions`.

    Args:
      root: the folder with `stage1_train.zip` or `stage1_train/`, or one of these two itself.
      split: a split of `split.csv`, or `"train"`, `"val"`, `"test"`; `"all"` is every image.
      seed: of the random split; without effect where there is a `split.csv`.
      fractions: shares of train, val and test in the random split.
      modality: keep only images of this modality of `split.csv`.
      cache: keep decoded samples in memory, in each process that reads (about 200 MB for the
        whole set); decoding some 40 masks again costs tens of milliseconds. Each worker process
        of the pipeline fills its own, so a small set is read faster without workers.

    Attributes:
      name: `"dsb2018"`.
      ids: image ids of the split, sorted; `source[i]` is `ids[i]`.

    Raises:
      FileNotFoundError: the data are not there.
      ValueError: unknown split or modality; `split.csv` contradicts the data; an image without
        masks; on reading, a damaged file or a mask of another size than its image.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        seed: int = 0,
        fractions: Sequence[float] = (0.8, 0.1, 0.1),
        modality: str | None = None,
        cache: bool = True,
    ):
        self.name = "dsb2018"
        self._files = Files(_find(Path(root)))
        self._images, self._masks = _index(self._files)
        table = _read_table(self._files.path, self._images)
        if table is None:
            chosen = random_split(sorted(self._images), split, seed, fractions)
            if modality is not None:
                raise ValueError(
                    f"modality={modality!r} needs a split.csv with the columns image_id, split, "
                    f"modality beside {self._files.path}"
                )
        else:
            chosen = _listed_split(table, split, modality)
        self.ids = chosen
        self._modality = {i: row["modality"] for i, row in (table or {}).items()}
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if cache else None

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
        meta = {"name": name, "source": self.name, "modality": self._modality.get(name)}
        return Sample(image, instances, None, meta)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": None if self._cache is None else {}}

    def _read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        image = self._files.rgb(self._images[name])
        masks = []
        for file in self._masks[name]:
            mask = self._files.array(file)
            if mask.ndim == 3:
                mask = mask[..., 0]
            if mask.shape != image.shape[:2]:
                raise ValueError(
                    f"{self._files.where(file)}: a mask of {mask.shape} pixels for an image of "
                    f"{image.shape[:2]}"
                )
            masks.append(np.flatnonzero(mask))
        instances = np.zeros(image.shape[:2], np.int32)
        # Larger first, so that the smaller lies on top.
        for i in sorted(range(len(masks)), key=lambda i: -masks[i].size):
            instances.flat[masks[i]] = i + 1
        return image, instances


def _pack(image: np.ndarray, instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One channel for a grey image, and the smallest dtype that holds the ids."""
    if (image == image[..., :1]).all():
        image = image[..., :1].copy()
    return image, instances.astype(np.min_scalar_type(instances.max(initial=0)))


def _unpack(image: np.ndarray, instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.broadcast_to(image, (*image.shape[:2], 3)).copy(), instances.astype(np.int32)


def _find(root: Path) -> Path:
    for path in (root / "stage1_train.zip", root / "stage1_train"):
        if path.exists():
            return path
    is_data = root.is_file() or any(root.glob("*/images/*.png"))
    if not is_data:
        raise FileNotFoundError(f"{root}: {EXPECTED}")
    return root


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
    for name, file in images.items():
        if name not in masks:
            raise ValueError(
                f"{files.where(file)}: an image without masks (no {name}/masks/*.png); the test "
                "stages have none: use stage1_train, or remove the image"
            )
    return images, masks


def _read_table(data: Path, images: dict[str, str]) -> dict[str, dict[str, str]] | None:
    path = data.parent / "split.csv"
    if not path.exists():
        path = data / "split.csv"
        if not path.exists():
            return None
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        missing = {"image_id", "split"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: no column {', '.join(sorted(missing))} in the first line")
        table: dict[str, dict[str, str]] = {}
        for row in reader:
            name = row["image_id"]
            if name not in images:
                raise ValueError(
                    f"{path}: image_id {name!r} (line {reader.line_num}) is not in {data}; "
                    "remove the line or complete the data"
                )
            if name in table:
                raise ValueError(f"{path}: image_id {name!r} twice (line {reader.line_num})")
            table[name] = {"split": row["split"], "modality": row.get("modality") or ""}
    if not table:
        raise ValueError(f"{path}: lists no images; remove the file for a random split")
    return table


def _listed_split(table: dict[str, dict[str, str]], split: str, modality: str | None) -> list[str]:
    splits = {row["split"] for row in table.values()}
    if split not in splits | {"all"}:
        raise registry.unknown("split", split, splits | {"all"})
    modalities = {row["modality"] for row in table.values()} - {""}
    if modality is not None and modality not in modalities:
        raise registry.unknown("modality", modality, modalities)
    chosen = [
        name
        for name, row in sorted(table.items())
        if split in (row["split"], "all") and modality in (row["modality"], None)
    ]
    if not chosen:
        raise ValueError(f"split {split!r} of split.csv has no image of modality {modality!r}")
    return chosen
