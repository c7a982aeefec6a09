"""Transforms made of others."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from jaxnuc.data.sample import Sample

Transform = Callable[[Sample, np.random.Generator], Sample]


@dataclass(frozen=True)
class OneOf:
    """Applies exactly one of several transforms, each as likely as the others.

    Attributes:
      choices: the transforms, as in a config's list: `one_of(['blur(1, 1)', 'median_blur(1, 1)'])`.
    """

    choices: tuple[str | Transform, ...]
    _parsed: tuple[Transform, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from jaxnuc.data.transforms import parse  # which imports this file

        object.__setattr__(self, "_parsed", tuple(parse(self.choices)))
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices:
            raise ValueError("choices=[]: one transform at least is expected")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Draws one and applies it."""
        return self._parsed[rng.integers(len(self._parsed))](sample, rng)
