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
      choices: the transforms, as in a config's list: `one_of(['blur(1, 1)', 'median_blur(1, 1)'])`;
        a preset is one choice, applied as a whole.
    """

    choices: tuple[str | Transform, ...]
    _parsed: tuple[tuple[Transform, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from jaxnuc.data.transforms import parse  # which imports this file

        if not self.choices:
            raise ValueError("choices=[]: one transform at least is expected")
        if isinstance(self.choices, str):
            raise ValueError(f"a list of transforms is expected, not {self.choices!r}")
        object.__setattr__(self, "_parsed", tuple(tuple(parse([c])) for c in self.choices))
        object.__setattr__(self, "choices", tuple(self.choices))

    @property
    def ignores(self) -> bool:
        """Whether a choice makes regions to ignore."""
        return any(getattr(t, "ignores", False) for chain in self._parsed for t in chain)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Draws one and applies it."""
        for transform in self._parsed[rng.integers(len(self._parsed))]:
            sample = transform(sample, rng)
        return sample
