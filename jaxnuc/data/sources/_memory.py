"""Label maps kept in memory, for sets whose annotations take long to read."""

from collections.abc import Callable
from typing import Any

import numpy as np


class Memory:
    """Label maps and what is known of them by index, in each process that reads; pickled empty.

    Args:
      on: whether anything is kept.
    """

    def __init__(self, on: bool):
        self._on = on
        self._kept: dict[int, tuple[np.ndarray, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_on": self._on, "_kept": {}}

    def get(self, index: int, make: Callable[[], tuple[np.ndarray, Any]]) -> tuple[np.ndarray, Any]:
        """What `make` returned for this index, now or before.

        Args:
          index: of the sample.
          make: reads an (H, W) int32 label map and something else that nobody changes.

        Returns:
          A new (H, W) int32 array that may be changed, and the other.
        """
        if index not in self._kept:
            instances, other = make()
            if not self._on:
                return instances, other
            smallest = np.min_scalar_type(instances.max(initial=0))
            self._kept[index] = instances.astype(smallest), other
        instances, other = self._kept[index]
        return instances.astype(np.int32), other
