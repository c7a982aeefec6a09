"""Transforms made of others."""

from dataclasses import dataclass, field

import numpy as np

from jaxnuc.data import transforms
from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform
from jaxnuc.data.transforms.presets import PRESETS
from jaxnuc.registry import unknown


@dataclass(frozen=True)
class OneOf(Transform):
    """Applies exactly one of several transforms, each as likely as the others.

    Attributes:
      choices: the transforms, as in a config's list: `one_of(['blur(1, 1)', 'median_blur(1, 1)'])`.
    """

    choices: tuple[str | Transform, ...]
    _parsed: tuple[Transform, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError("choices=[]: one transform at least is expected")
        # Once and not for each image; frozen classes are set like this.
        object.__setattr__(self, "_parsed", tuple(transforms.parse(self.choices)))
        object.__setattr__(self, "choices", tuple(self.choices))

    @property
    def ignores(self) -> bool:
        """Whether a choice makes regions to ignore."""
        return any(transform.ignores for transform in self._parsed)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Draws one and applies it."""
        return self._parsed[rng.integers(len(self._parsed))](sample, rng)


@dataclass(frozen=True)
class Preset(Transform):
    """Applies the transforms of a named list in order.

    Attributes:
      name: one of `presets.PRESETS`.
    """

    name: str
    _parsed: tuple[Transform, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.name not in PRESETS:
            raise unknown("preset", self.name, PRESETS)
        object.__setattr__(self, "_parsed", tuple(transforms.parse(PRESETS[self.name])))

    @property
    def ignores(self) -> bool:
        """Whether a transform of the list makes regions to ignore."""
        return any(transform.ignores for transform in self._parsed)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Applies them all."""
        return transforms.apply(self._parsed, sample, rng)
