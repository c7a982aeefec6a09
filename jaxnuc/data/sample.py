"""What every data set is, and the record that it gives for each image."""

import functools
import pickle
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxnuc.labels import LabelSet

ENDLESS = 2**31 - 1  # length of an endless source: the largest that 32 bits can address


@dataclass(frozen=True)
class Sample:
    """An image with its nuclei.

    Attributes:
      image: (H, W, 3) uint8, RGB.
      instances: (H, W) int32, 0 is background; ids need not be contiguous.
      classes: (H, W) int32 class per pixel, 0 is background, -1 a class that is to be ignored; None
        where the data set has none.
      meta: `name` (unique in its source), `source`, `mpp` (microns per pixel, None if unknown), and
        what else the source knows: `tissue`, `modality`, `patient`, ...
      ignore: (H, W) bool, True where nothing is annotated, so that neither loss nor scores count;
        None: everything is annotated.
      covered: (H, W, D) int32, at each pixel the ids of the nuclei that lie under the one of
        `instances`, 0 is none; None: no nuclei overlap. A nucleus has the pixels with its id in
        either: see `jaxnuc.postprocess.masks.masks_of`. Only targets and scores of nuclei that
        overlap read it.
    """

    image: np.ndarray
    instances: np.ndarray
    classes: np.ndarray | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    ignore: np.ndarray | None = None
    covered: np.ndarray | None = None


class Source(ABC):
    """A data set: read at random, deterministic, picklable for the input workers.

    Everything that the library reads of a data set is here, with a default that is right for most.
    A subclass defines `__getitem__`, and sets `name` and `ids` (or defines `__len__`).

    Attributes:
      name: of the data set.
      ids: names of its images, `source[i]` is `ids[i]`; empty where they are not known beforehand.
      split: that was opened, None where there is no choice.
      label_set: whose groups the samples' classes are; None: no classes, or several label sets.
      label_sets: those of samples of different label sets; the number of a sample's own among them
        is in its meta as `label_set`. Empty: there is no more than one.
      sets: the data sets of a mixture by name; empty: it is a data set itself.
      endless: every index gives a new sample, so that there are no epochs.
      ignores: samples may have regions to ignore.
      unmatched: addresses of the files that were left out for lack of a partner.
    """

    name: str = ""
    ids: Sequence[str] = ()
    split: str | None = None
    label_set: LabelSet | None = None
    label_sets: tuple[LabelSet, ...] = ()
    sets: Mapping[str, "Source"] = MappingProxyType({})
    endless: bool = False
    ignores: bool = False
    unmatched: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Reads an image with its nuclei.

        Args:
          index: from 0 to `len(self) - 1`.

        Raises:
          ValueError: the files of this image are damaged; the message names one.
        """


class MappedSource(Source):
    """`function(source[i])` for every i, picklable; everything else is that of `source`."""

    def __init__(self, source: Source, function: Callable[[Sample], Sample]):
        self.name, self.ids, self.split = source.name, source.ids, source.split
        self.label_set, self.label_sets = source.label_set, source.label_sets
        self.sets = {name: MappedSource(each, function) for name, each in source.sets.items()}
        self.endless, self.ignores = source.endless, source.ignores
        self._source, self._function = source, function

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Sample:
        return self._function(self._source[index])


class Shared:
    """Gives worker processes a source, pickled once to a new file in a folder.

    Some hold long lists of files, too much to be sent with every task.
    """

    def __init__(self, source: Source, folder: Path):
        handle, self._path = tempfile.mkstemp(dir=folder)
        with open(handle, "wb") as file:
            pickle.dump(source, file)

    def __call__(self) -> Source:
        return _unpickled(self._path)


@functools.lru_cache(maxsize=1)
def _unpickled(path: str) -> Source:
    source: Source = pickle.loads(Path(path).read_bytes())
    return source
