"""A part of the training images of a data set, for benchmarks of trainings with few images."""

from collections.abc import Sequence

from jaxnuc.data import sample
from jaxnuc.data.sample import Sample
from jaxnuc.data.splits import open_split
from jaxnuc.data.windows import Windows


class TrainingPart(sample.Source):
    """Some training images of a data set, or windows of them; its other splits are as they are.

    Args:
      root: of the data set.
      split: `"train"`, `"val"` or `"test"`.
      source: name of the data set.
      side: of the windows in pixels; 0: whole images.
      numbers: of the images or windows, from 0; None: all.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        source: str = "consep",
        side: int = 0,
        numbers: Sequence[int] | None = None,
    ):
        own = open_split({"name": source}, root, split, stream=False)
        if side and split == "train":
            # As many images as the windows are at most from, so that none is read at each step.
            own = Windows(own, side, cache=8)
        self.name, self.split, self.label_set = own.name, split, own.label_set
        self._source = own
        every = range(len(own))
        self._numbers = every if numbers is None or split != "train" else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Sample:
        return self._source[self._numbers[index]]
