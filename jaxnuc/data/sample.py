"""The one record that travels from the readers to the networks' targets."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


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
      ignore: (H, W) bool, where nothing is annotated and so nothing is to be learnt or judged;
        None: everything is annotated.
    """

    image: np.ndarray
    instances: np.ndarray
    classes: np.ndarray | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    ignore: np.ndarray | None = None


class Source(Protocol):
    """A data set: random access, deterministic, picklable for the input workers.

    A source with classes has the attribute `label_set` (`jaxnuc.labels.LabelSet`), whose groups
    the samples' classes are; one whose samples have different label sets has `label_sets`, and the
    number of the set in the meta of each sample as `label_set`. One with `endless = True` makes a
    new sample of every index; one with `ignores = True` has samples with regions to ignore.
    """

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...
