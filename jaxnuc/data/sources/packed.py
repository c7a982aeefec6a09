"""Data sets that `jaxnuc pack` has written: ArrayRecord shards and a manifest."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from jaxnuc.data import records, sample, shards
from jaxnuc.data.sample import Sample
from jaxnuc.data.shards import AGAIN, MANIFEST
from jaxnuc.labels import LabelSet

if TYPE_CHECKING:
    from array_record.python.array_record_module import ArrayRecordReader


class Source(sample.Source):
    """Samples of a packed data set, read at random.

    The sizes of all shards and their numbers of records are compared with the manifest at once,
    and the checksum of every record as it is read.

    Args:
      root: the folder with `manifest.json`; or one with a folder for each split, `root/<split>/
        manifest.json`.
      split: that was packed.
      verify: compare the SHA-256 of every shard with the manifest, with a progress bar; it reads
        all files once.

    Attributes:
      manifest: the whole manifest.
    """

    def __init__(self, root: str | Path, split: str = "train", verify: bool = False):
        self._folder = _find(Path(root), split)
        self.manifest = shards.read_manifest(self._folder)
        if self.manifest["split"] != split:
            raise ValueError(
                f"{self._folder / MANIFEST}: split {self.manifest['split']!r} was packed, not "
                f"{split!r}; pack that one too, into {Path(root) / split}"
            )
        self.name, self.split = self.manifest["name"], split
        self.ids: list[str] = self.manifest["names"]
        self.ignores: bool = self.manifest["ignores"]
        try:
            label_set = self.manifest["label_set"]
            self.label_set = None if label_set is None else LabelSet.from_json(label_set)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{self._folder / MANIFEST}: no readable classes ({error}); {AGAIN}"
            ) from error
        self._shards: list[dict[str, Any]] = self.manifest["shards"]
        self._starts = np.cumsum([0, *(shard["records"] for shard in self._shards)])
        if self._starts[-1] != len(self.ids):
            raise ValueError(
                f"{self._folder / MANIFEST}: {len(self.ids)} names for {self._starts[-1]} records; "
                f"it was edited or is damaged: {AGAIN}"
            )
        numbers = range(len(self._shards))
        hidden = None if verify else True
        for number in tqdm(numbers, desc="verify", unit="shard", disable=hidden):
            self._check(number, verify)
        self._readers: dict[tuple[int, int], ArrayRecordReader] = {}

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)} in {self._folder}")
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        position = int(index - self._starts[number])
        where = f"{self._path(number)}: record {position}"
        sample = records.decode(shards.read_record(self._reader(number), position, where), where)
        if sample.meta.get("name") != self.ids[index]:
            raise ValueError(
                f"{where}: holds {sample.meta.get('name')!r}, the manifest has "
                f"{self.ids[index]!r}; files of two packings are mixed: {AGAIN}"
            )
        return sample

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": {}}

    def _path(self, number: int) -> Path:
        return self._folder / self._shards[number]["file"]

    def _reader(self, number: int) -> "ArrayRecordReader":
        """The shard's reader, one for each process; its reads are thread-safe."""
        key = os.getpid(), number
        if key not in self._readers:
            self._readers.setdefault(key, self._open(number))
        return self._readers[key]

    def _open(self, number: int) -> "ArrayRecordReader":
        reader = shards.open_reader(self._path(number))
        expected = self._shards[number]["records"]
        if reader.num_records() != expected:
            raise ValueError(
                f"{self._path(number)}: {reader.num_records()} records, the manifest has "
                f"{expected}; {AGAIN}"
            )
        return reader

    def _check(self, number: int, verify: bool) -> None:
        path, entry = self._path(number), self._shards[number]
        if not path.is_file():
            raise FileNotFoundError(f"{path}: this shard of {MANIFEST} is missing; {AGAIN}")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise ValueError(f"{path}: {size} bytes, the manifest has {entry['bytes']}; {AGAIN}")
        if verify and (found := shards.sha256(path)) != entry["sha256"]:
            raise ValueError(
                f"{path}: SHA-256 {found[:8]}..., the manifest has "
                f"{entry['sha256'][:8]}...; {AGAIN}"
            )
        self._open(number).close()


def _find(root: Path, split: str) -> Path:
    for folder in (root, root / split):
        if (folder / MANIFEST).is_file():
            return folder
    parts = [*root.glob("*.arrayrecord"), *root.glob(f"{split}/*.arrayrecord")]
    hint = f"; {parts[0]} is of a packing that has not finished: run it again" if parts else ""
    raise FileNotFoundError(
        f"{root}: expected {MANIFEST} or {split}/{MANIFEST}, as `jaxnuc pack` writes at its "
        f"end{hint}"
    )
