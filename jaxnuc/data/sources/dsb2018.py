"""2018 Data Science Bowl (BBBC038): one mask file or one line of run lengths per nucleus.

Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl",
Nature Methods 16, 2019. Published under CC0 at https://data.broadinstitute.org/bbbc/BBBC038/.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from jaxnuc.data.annotations import check_size
from jaxnuc.data.layouts import Pair
from jaxnuc.data.sources.base import Annotation, RandomSplit
from jaxnuc.io.csv_table import read_csv
from jaxnuc.io.files import File, Files
from jaxnuc.io.run_lengths import decode_kaggle
from jaxnuc.registry import check_known

LABELS = ("masks", "runs")
# Folder or zip of the images, and the table of their nuclei, published after each stage.
TESTS = {
    "stage1": ("stage1_test", "stage1_solution.csv"),
    "stage2": ("stage2_test_final", "stage2_solution_final.csv"),
}
TRAIN, TRAIN_TABLE = "stage1_train", "stage1_train_labels.csv"


@dataclass(eq=False)
class Source(RandomSplit):
    """Images of DSB2018 with their nuclei.

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
      modality: keep only images of this modality of `split.csv`, or of these.
      cache: keep images and label maps in memory, in each process that reads (about 200 MB for the
        whole set); decoding some 40 masks again costs tens of milliseconds. Each input worker fills
        its own, so a small set is read faster without workers.
      labels: `"masks"`, or `"runs"`: the training images' nuclei from `stage1_train_labels.csv`
        beside them, in the order of its lines; mask files are not needed then.
      test: what the split `"test"` is: `"held-out"` training images, or the published test images
        `"stage1"` (`stage1_test`, `stage1_solution.csv`) or `"stage2"` (`stage2_test_final`,
        `stage2_solution_final.csv`), which lie beside `stage1_train`. The training images held out
        for `"test"` are then in no split but `"all"`: with a random split take
        `fractions=(0.9, 0.1, 0)`.
    """

    name = "dsb2018"
    cache_images = True
    expected = (
        "expected `stage1_train.zip` or the folder `stage1_train/` with <id>/images/<id>.png and "
        "<id>/masks/*.png, as published at https://data.broadinstitute.org/bbbc/BBBC038/"
    )

    modality: str | Sequence[str] | None = None
    cache: bool = True
    labels: str = "masks"
    test: str = "held-out"

    def find_pairs(self) -> dict[str, Pair]:
        check_known("kind of labels", self.labels, LABELS)
        check_known("test set", self.test, ("held-out", *TESTS))
        published = self.split == "test" and self.test != "held-out"
        if published and self.modality is not None:
            raise ValueError(f"modality={self.modality!r}: those of test={self.test!r} are unknown")
        folder, table = TESTS[self.test] if published else (TRAIN, TRAIN_TABLE)
        files = Files(self._find(Path(self.root), folder))
        images, self._masks = self._index(files)
        self._runs: dict[str, list[Runs]] | None = None
        self._table: dict[str, dict[str, str]] | None = None
        if published or self.labels == "runs":
            self._runs = _table_of_runs(files, images, table)
        else:
            _require_masks(images, self._masks)
        if not published:
            self._table = _read_split_table(files.path, images)
            if self._table is None and self.modality is not None:
                raise ValueError(
                    f"modality={self.modality!r} needs a split.csv with the columns image_id, "
                    f"split, modality beside {files.path}"
                )
        # There is no single label file: each mask is compared with its image when it is read.
        names = self._runs if published and self._runs else images
        return {name: Pair((name,), images[name], images[name]) for name in sorted(names)}

    def choose(self) -> list[str]:
        """By `split.csv`, where there is one."""
        if self.split == "test" and self.test != "held-out":
            return list(self.pairs)
        if self._table is None:
            return super().choose()
        check_known("split", self.split, {row["split"] for row in self._table.values()} | {"all"})
        known = {row["modality"] for row in self._table.values()} - {""}
        wanted = [self.modality] if isinstance(self.modality, str) else self.modality
        for modality in wanted or ():
            check_known("modality", modality, known)
        chosen = [
            name
            for name, row in sorted(self._table.items())
            if self.split in (row["split"], "all") and (not wanted or row["modality"] in wanted)
        ]
        if not chosen:
            raise ValueError(
                f"split {self.split!r} of split.csv has no image of modality {self.modality!r}"
            )
        return chosen

    def read_annotation(self, name: str, file: File, shape: tuple[int, int]) -> Annotation:
        if self._runs is not None:
            nuclei = [decode_runs(runs, shape) for runs in self._runs.get(name, [])]
        else:
            nuclei = [_pixels(mask, file, shape) for mask in self._masks[name]]
        instances = np.zeros(shape, np.int32)
        # Larger first, so that the smaller lies on top.
        for i in sorted(range(len(nuclei)), key=lambda i: -nuclei[i].size):
            instances.flat[nuclei[i]] = i + 1
        return Annotation(instances)

    def about(self, name: str) -> dict[str, Any]:
        return {"modality": self._table[name]["modality"] if self._table else None}

    def _find(self, root: Path, folder: str) -> Path:
        # The second place is for a root that is one of the data's folders.
        for beside in (root,) if folder == TRAIN else (root, root.parent):
            for path in (beside / f"{folder}.zip", beside / folder):
                if path.exists():
                    return path
        if folder != TRAIN:
            fault = f"no {folder} or {folder}.zip here; they are published beside the training set"
        elif root.is_file() or any(root.glob("*/images/*.png")):
            return root
        else:
            fault = "no images of it here" if root.exists() else "no such folder or zip file"
        raise FileNotFoundError(f"{root}: {fault}; {self.expected}")

    def _index(self, files: Files) -> tuple[dict[str, File], dict[str, list[File]]]:
        """The image and the masks of each name."""
        images: dict[str, File] = {}
        masks: dict[str, list[File]] = {}
        for file in files.names:
            path = PurePosixPath(file)
            if path.suffix.lower() != ".png" or len(path.parts) < 3:
                continue
            name, kind = path.parts[-3:-1]
            if kind == "masks":
                masks.setdefault(name, []).append(File(files, file))
            elif kind == "images":
                if name in images:
                    raise ValueError(
                        f"{files.path}: two images for {name!r}: {images[name].name} and {file}"
                    )
                images[name] = File(files, file)
        if not images:
            raise FileNotFoundError(f"{files.path}: no images in it; {self.expected}")
        return images, masks


def _pixels(mask: File, image: File, shape: tuple[int, int]) -> np.ndarray:
    """The pixels of a mask, as indices into its image."""
    array = mask.array()
    if array.ndim == 3:
        array = array[..., 0]
    check_size("a mask", array, shape, mask.where, image.name)
    return np.flatnonzero(array)


def _require_masks(images: dict[str, File], masks: dict[str, list[File]]) -> None:
    alone = [name for name in masks if name not in images]
    if alone:
        raise ValueError(
            f"{masks[alone[0]][0].where}: a mask without an image in {alone[0]}/images "
            f"({len(alone)} such folders); complete the data or remove them"
        )
    for name, file in images.items():
        if name not in masks:
            raise ValueError(
                f"{file.where}: an image without masks (no {name}/masks/*.png); the test "
                "stages have none: use stage1_train, or test='stage1' with split='test'"
            )


def _beside(data: Path, name: str) -> Path | None:
    """A table beside a folder or zip, or in the folder."""
    return next((p for p in (data.parent / name, data / name) if p.exists()), None)


def _read_split_table(data: Path, images: Container[str]) -> dict[str, dict[str, str]] | None:
    """Split and modality of each image in `split.csv`; None where there is none."""
    path = _beside(data, "split.csv")
    if path is None:
        return None
    table: dict[str, dict[str, str]] = {}
    for line, row in read_csv(path.read_bytes(), str(path), ("image_id", "split")):
        name = row["image_id"]
        if name not in images:
            raise ValueError(
                f"{line}: image_id {name!r} is not in {data}; remove the line or complete the data"
            )
        if name in table:
            raise ValueError(f"{line}: image_id {name!r} twice")
        table[name] = {"split": row["split"], "modality": row.get("modality", "")}
    if not table:
        raise ValueError(f"{path}: lists no images; remove the file for a random split")
    return table


class Runs(NamedTuple):
    """One nucleus as run lengths.

    Attributes:
      where: the table and the line, for messages.
      text: pairs of start and length: pixels are counted from 1 down the columns, the first column
        first.
      shape: height and width of the image, None where the table does not say.
    """

    where: str
    text: str
    shape: tuple[int, int] | None


def _table_of_runs(files: Files, images: dict[str, File], name: str) -> dict[str, list[Runs]]:
    """The nuclei of the images that were scored, in the table of this name beside the images.

    The columns are ImageId, EncodedPixels and perhaps Height, Width, Usage. An image has a line for
    each nucleus; a line without pixels is an image without nuclei. Lines of which Usage is
    `Ignored` were not scored, and are skipped.
    """
    path = _beside(files.path, name)
    if path is None:
        raise FileNotFoundError(
            f"{files.path.parent / name}: not there; it holds the nuclei of {files.path.name}, and "
            "is published with it"
        )
    nuclei: dict[str, list[Runs]] = {}
    listed = set()
    for where, row in read_csv(path.read_bytes(), str(path), ("ImageId", "EncodedPixels")):
        listed.add(row["ImageId"])
        if row.get("Usage", "").strip().lower() == "ignored":
            continue
        shape = None
        if row.get("Height") and row.get("Width"):
            try:
                shape = int(row["Height"]), int(row["Width"])
            except ValueError:
                raise ValueError(
                    f"{where}: Height {row['Height']!r} and Width {row['Width']!r}, expected whole "
                    "numbers"
                ) from None
        found = nuclei.setdefault(row["ImageId"], [])
        if row["EncodedPixels"].strip():
            found.append(Runs(where, row["EncodedPixels"], shape))
    for some, others, fault in (
        (images, listed, f"is not in {path}"),
        (sorted(listed), images, f"of {path} is not in {files.path}"),
    ):
        alone = [i for i in some if i not in others]
        if alone:
            raise ValueError(
                f"{files.path}: image {alone[0]!r} {fault} ({len(alone)} such images); complete "
                "the data or remove them"
            )
    if not nuclei:
        raise ValueError(f"{path}: no image that was scored")
    return nuclei


def decode_runs(runs: Runs, shape: tuple[int, int]) -> np.ndarray:
    """The pixels of a nucleus, (N,) int64 row-major indices into its image of this shape.

    Raises:
      ValueError: the table has another size for the image; numbers that are no pairs of start and
        length, or reach out of the image.

    >>> decode_runs(Runs("table.csv, line 2", "2 2 5 1", None), (3, 2))
    array([2, 4, 3])
    """
    height, width = shape
    if runs.shape is not None and runs.shape != shape:
        raise ValueError(f"{runs.where}: an image of {runs.shape} pixels, but the file has {shape}")
    try:
        starts, stops = decode_kaggle(runs.text)
    except ValueError as error:
        raise ValueError(f"{runs.where}: EncodedPixels: {error}") from error
    if (stops > height * width).any():
        raise ValueError(
            f"{runs.where}: runs up to pixel {stops.max()} of an image of {shape}, which has "
            f"pixels 1 to {height * width}"
        )
    # The pixels of all runs in one go: each run's start less what comes before it, plus a count.
    lengths = stops - starts
    before = np.cumsum(lengths) - lengths
    pixels = np.repeat(starts - before, lengths) + np.arange(lengths.sum())
    column, row = np.divmod(pixels, height)
    return row * width + column
