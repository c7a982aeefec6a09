"""What every transform is, and checks of the arguments of transforms."""

from abc import ABC, abstractmethod

import numpy as np

from jaxnuc.data.sample import Sample


class Transform(ABC):
    """A random change of a sample, such as a crop, a rotation or another color.

    A subclass is a frozen dataclass of its arguments, which are literals (numbers, strings, tuples)
    so that a configuration can state them, and defines `__call__`. Every subclass in this package
    is known in configurations by its name in small letters: `RandomCrop` is `"random_crop(128)"`.

    Attributes:
      ignores: it makes regions to ignore, so that all samples of a batch need the map `ignore`.
    """

    @property
    def ignores(self) -> bool:
        return False

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the changed sample; geometry moves image, instances, classes and ignore alike.

        Args:
          sample: the input, which stays as it is.
          rng: the source of all randomness.
        """


def check_probability(p: float) -> None:
    """Refuses, with a ValueError, what is not in [0, 1]."""
    if not 0 <= p <= 1:
        raise ValueError(f"p={p}: a probability is expected")


def check_spread(name: str, value: float, limit: float = np.inf) -> None:
    """Refuses, with a ValueError, what is not in [0, `limit`]."""
    if not 0 <= value <= limit:
        raise ValueError(f"{name}={value}: 0 <= {name} <= {limit} is expected")


def check_count(name: str, value: int) -> None:
    """Refuses, with a ValueError, what is no integer of 1 or more."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: an integer of 1 or more is expected")
