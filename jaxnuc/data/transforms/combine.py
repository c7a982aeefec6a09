"""Transforms made of others."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from jaxnuc.data import transforms
from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform
from jaxnuc.data.transforms.presets import PRESETS
from jaxnuc.registry import check_known


@dataclass(frozen=True)
class _Several(Transform):
    """Transforms that are parsed once and not for each image."""

    _parsed: tuple[Transform, ...] = field(init=False, repr=False, compare=False)

    def _parse(self, choices: Sequence[str | Transform]) -> None:
        object.__setattr__(self, "_parsed", tuple(transforms.parse(choices)))  # it is frozen

    @property
    def ignores(self) -> bool:
        return any(transform.ignores for transform in self._parsed)


@dataclass(frozen=True)
class OneOf(_Several):
    """Applies exactly one of several transforms, each as likely as the others.

    Attributes:
      choices: the transforms, as in a config's list: `one_of(['blur(1, 1)', 'median_blur(1, 1)'])`.
    """

    choices: tuple[str | Transform, ...]

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError("choices=[]: one transform at least is expected")
        self._parse(self.choices)
        object.__setattr__(self, "choices", tuple(self.choices))

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return self._parsed[rng.integers(len(self._parsed))](sample, rng)


@dataclass(frozen=True)
class Preset(_Several):
    """Applies the transforms of a named list in order.

    Attributes:
      name: one of `presets.PRESETS`.
    """

    name: str

    def __post_init__(self) -> None:
        check_known("preset", self.name, PRESETS)
        self._parse(PRESETS[self.name])

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return transforms.apply(self._parsed, sample, rng)
