"""Synthetic nuclei as a data set."""

from collections.abc import Sequence

from jaxnuc.data import sample
from jaxnuc.data.sample import ENDLESS, Sample
from jaxnuc.data.synthetic import SPLITS, check_styles, generate
from jaxnuc.registry import check_known

HELD_OUT = 32


class Source(sample.Source):
    """Pictures of `jaxnuc.data.synthetic.generate`, by index.

    Args:
      split: `train`, `val` or `test`; they share no picture.
      size: side of the pictures in pixels.
      seed: of the whole stream.
      styles: the styles to draw from; one named twice comes twice as often.
      length: number of pictures; None for no end in `train` and 32 elsewhere.

    Attributes:
      endless: the split has no end, hence no epochs.

    Raises:
      ValueError: unknown split or style, or a size or length below 1.

    >>> len(Source("val")), Source(size=64)[7].image.shape
    (32, (64, 64, 3))
    """

    name = "synthetic"
    split: str

    def __init__(
        self,
        split: str = "train",
        size: int = 256,
        seed: int = 0,
        styles: Sequence[str] = ("fluorescence", "he", "pap"),
        length: int | None = None,
    ) -> None:
        check_known("split", split, SPLITS)
        self.endless = length is None and split == "train"  # every index a new picture
        if length is None:
            length = ENDLESS if split == "train" else HELD_OUT
        for key, value in (("size", size), ("length", length)):
            if value < 1:
                raise ValueError(f"{key}={value} of the synthetic source must be 1 or more")
        self.split, self.size, self.seed, self.length = split, size, seed, length
        self.styles = check_styles(styles)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(
                f"index {index} of the synthetic {self.split} split of length {self.length}"
            )
        return generate(int(index), self.seed, self.size, self.styles, self.split)
