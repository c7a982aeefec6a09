"""A source whose samples pass through a function."""

from collections.abc import Callable
from typing import Any

from jaxnuc.data.sample import Sample, Source


class Mapped:
    """`function(source[i])` for every i; everything else is that of `source`.

    Args:
      source: the samples.
      function: sample -> sample; picklable.
      **attributes: that the function changes, such as `label_set`.
    """

    def __init__(self, source: Source, function: Callable[[Sample], Sample], **attributes: Any):
        self.name = source.name
        for key in ("ids", "split", "label_set", "label_sets", "endless", "ignores"):
            if hasattr(source, key):
                setattr(self, key, getattr(source, key))
        for key, value in attributes.items():
            setattr(self, key, value)
        self._source, self._function = source, function

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Sample:
        return self._function(self._source[index])
