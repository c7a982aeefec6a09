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
      classes: (H, W) int32 class per pixel, 0 is background; None where the data set has none.
      meta: `name` (unique in its source) and whatever the source knows (`modality`, `mpp`, ...).
    """

    image: np.ndarray
    instances: np.ndarray
    classes: np.ndarray | None = None
    meta: dict[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """A data set: random access, deterministic, picklable for the input workers."""

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...
