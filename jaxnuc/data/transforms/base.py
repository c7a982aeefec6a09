"""What every transform is, and checks of the arguments of transforms."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from jaxnuc.data.sample import Sample


class Transform(ABC):
    """A random change of a sample, such as a crop, a rotation or another color.

    A subclass is a frozen dataclass of its arguments, which are literals (numbers, strings, tuples)
    so that a configuration can state them, and defines `__call__`. Every subclass in this package
    is known in configurations by its name in small letters: `RandomCrop` is `"random_crop(128)"`.

    Attributes:
      limits: the greatest values of arguments that must not be negative, `p` a probability.
      counts: the names of arguments that must be integers of 1 or more.
      factors: the names of the least and the greatest of a factor, which must be above 0.
      p: where a transform has it, the probability with which it acts.
      ignores: it makes regions to ignore, so that all samples of a batch need the map `ignore`.
    """

    limits: ClassVar[Mapping[str, float]] = {}
    counts: ClassVar[tuple[str, ...]] = ()
    factors: ClassVar[tuple[str, str] | None] = None

    def __post_init__(self) -> None:
        for name in self.counts:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: an integer of 1 or more is expected")
        for name, limit in self.limits.items():
            value = getattr(self, name)
            if not 0 <= value <= limit:
                form = "a probability" if name == "p" else f"0 <= {name} <= {limit}"
                raise ValueError(f"{name}={value}: {form} is expected")
        if self.factors is not None:
            least, most = self.factors
            low, high = getattr(self, least), getattr(self, most)
            if not 0 < low <= high:
                raise ValueError(f"{least}={low}, {most}={high}: 0 < {least} <= {most} is expected")

    @property
    def ignores(self) -> bool:
        return False

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the changed sample; geometry moves the image and all maps alike.

        Args:
          sample: the input, which stays as it is.
          rng: the source of all randomness.
        """


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two, of which halves and doubles are equally likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def check_classes(name: str, classes: Sequence[int]) -> None:
    """Refuses, with a ValueError, what is no sequence of class groups."""
    if isinstance(classes, int | str) or not all(isinstance(k, int) and k > 0 for k in classes):
        raise ValueError(f"{name}={classes!r}: a tuple of class groups, from 1, is expected")
