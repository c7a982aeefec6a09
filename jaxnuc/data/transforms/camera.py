"""Transforms of what a microscope and its camera do to an image: exposure, light, faulty pixels."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from jaxnuc.data.color_spaces import to_uint8
from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform, log_uniform


@dataclass(frozen=True)
class Gamma(Transform):
    """Raises the values, as parts of 255, to a random power.

    Attributes:
      low: least power, above 0.
      high: greatest; one is drawn uniformly in log scale.
    """

    low: float = 0.6
    high: float = 1.7
    p: float = 0.5
    limits: ClassVar = {"p": 1}
    factors: ClassVar = ("low", "high")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        power = log_uniform(rng, self.low, self.high)
        if rng.random() >= self.p:
            return sample
        table = to_uint8(255 * (np.arange(256) / 255) ** power)
        return replace(sample, image=table[sample.image])


@dataclass(frozen=True)
class FewLevels(Transform):
    """Rounds the values to few levels, as of an image that used a small part of its range.

    Attributes:
      least: number of levels, 2 or more; one is drawn up to `most`, uniformly in log scale.
      most: the greatest number.
    """

    least: int = 6
    most: int = 64
    p: float = 0.1
    counts = ("least", "most")
    limits: ClassVar = {"p": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.least <= self.most <= 256:
            raise ValueError(f"least={self.least}, most={self.most}: 2 <= least <= most <= 256")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        levels = round(log_uniform(rng, self.least, self.most))
        if rng.random() >= self.p:
            return sample
        steps = np.round(np.arange(256) / 255 * (levels - 1)) / (levels - 1)
        return replace(sample, image=to_uint8(255 * steps)[sample.image])


@dataclass(frozen=True)
class UnevenLight(Transform):
    """Multiplies the image by a smooth random field, and adds another one as background.

    Each field is a plane of random direction.

    Attributes:
      gain: greatest deviation of the factor from 1, at the border.
      background: greatest number added, as a part of the range 0..255.
    """

    gain: float = 0.3
    background: float = 0.2
    p: float = 0.3
    limits: ClassVar = {"gain": 1, "background": 1, "p": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        gain, background = rng.uniform(-self.gain, self.gain), rng.uniform(0, self.background)
        turns = rng.uniform(0, 2 * np.pi, 2)
        if rng.random() >= self.p:
            return sample
        height, width = sample.instances.shape
        rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
        planes = [(np.cos(t) * rows + np.sin(t) * columns) / np.sqrt(2) for t in turns]
        factor = 1 + np.float32(gain) * planes[0]
        added = np.float32(255 * background / 2) * (1 + planes[1])
        image = sample.image * factor[..., None] + added[..., None]
        return replace(sample, image=to_uint8(image))


@dataclass(frozen=True)
class HotPixels(Transform):
    """Sets random pixels to white, or to black in images that are mostly bright.

    Attributes:
      share: greatest part of the pixels; uniform from 0.
    """

    share: float = 0.002
    p: float = 0.1
    limits: ClassVar = {"share": 1, "p": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        share = rng.uniform(0, self.share)
        if rng.random() >= self.p:
            return sample
        height, width = sample.instances.shape
        count = rng.binomial(height * width, share)
        image = sample.image.copy()
        value = 0 if np.median(image) > 127 else 255
        image[rng.integers(height, size=count), rng.integers(width, size=count)] = value
        return replace(sample, image=image)
