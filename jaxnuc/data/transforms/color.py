"""Transforms of color and brightness, which change the image alone."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from jaxnuc.data.color_spaces import mix, to_uint8
from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform

# Rec. 601: how much each channel gives to the gray value.
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class ColorJitter(Transform):
    """Random brightness, contrast, saturation and hue, as one affine map of the colors.

    Gray images stay gray. Hue is a rotation about the gray axis of RGB, after which each pixel's
    gray value (Rec. 601) is restored.

    Attributes:
      brightness: the image is multiplied by a factor in `1 +- brightness`.
      contrast: so is the distance from the mean gray value.
      saturation: and the distance from each pixel's gray value.
      hue: greatest angle, in turns (0.5 reaches the complement).
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.02
    p: float = 1.0
    limits: ClassVar = {"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0.5, "p": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        spread = np.array([self.brightness, self.contrast, self.saturation, 2 * np.pi * self.hue])
        brightness, contrast, saturation, angle = rng.uniform(-spread, spread)
        if rng.random() >= self.p:
            return sample
        gray = np.broadcast_to(LUMA, (3, 3))
        matrix = gray + (1 + saturation) * (_rotation(angle) - gray @ _rotation(angle))
        mean = sample.image.mean((0, 1)) @ LUMA
        matrix = (1 + brightness) * (1 + contrast) * matrix
        offset = np.repeat(-(1 + brightness) * contrast * mean, 3)
        return replace(sample, image=to_uint8(mix(sample.image, matrix, offset)))


def _rotation(angle: float) -> np.ndarray:
    """Rotation about (1, 1, 1): a circulant matrix."""
    third = 2 * np.pi / 3
    a, b, c = (1 + 2 * np.cos(angle + k * third) for k in (0, 1, -1))
    return np.array([[a, b, c], [c, a, b], [b, c, a]]) / 3


@dataclass(frozen=True)
class HsvShift(Transform):
    """Adds a random number to hue, saturation and value (HSV) of all pixels.

    Hue turns round; saturation and value are clipped. Gray pixels stay gray: hue says nothing of
    them, and noise in a saturation of 0 would be colored.

    Attributes:
      hue: greatest shift, in turns (OpenCV counts 180 to the turn).
      saturation: greatest shift, as a part of its range.
      value: greatest shift, as a part of its range.
    """

    hue: float = 0.05
    saturation: float = 0.1
    value: float = 0.1
    p: float = 0.5
    limits: ClassVar = {"hue": 0.5, "saturation": 1, "value": 1, "p": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        spread = np.array([self.hue, self.saturation, self.value])
        hue, saturation, value = rng.uniform(-spread, spread).tolist()
        if rng.random() >= self.p:
            return sample
        red, green, blue = np.moveaxis(sample.image, -1, 0).astype(np.float32, order="C")
        highest = np.maximum(np.maximum(red, green), blue)
        chroma = highest - np.minimum(np.minimum(red, green), blue)
        safe = np.maximum(chroma, 1)
        sixths = np.where(
            highest == red,
            (green - blue) / safe,
            np.where(highest == green, (blue - red) / safe + 2, (red - green) / safe + 4),
        )
        sixths += np.float32(6 * hue)
        purity = np.clip(chroma / np.maximum(highest, 1) + np.float32(saturation), 0, 1)
        purity *= chroma > 0
        bright = np.clip(highest + np.float32(255 * value), 0, 255)
        image = np.empty_like(sample.image)
        for channel, n in enumerate((5, 3, 1)):
            k = (sixths + n) % 6
            ramp = np.clip(np.minimum(k, 4 - k), 0, 1)
            image[..., channel] = np.rint(bright * (1 - purity * ramp))
        return replace(sample, image=image)


@dataclass(frozen=True)
class Intensity(Transform):
    """Multiplies all values by one factor and adds one number.

    Attributes:
      low: least factor.
      high: greatest factor.
      shift: greatest number added, as a part of the range 0..255, in either direction.
    """

    low: float = 0.6
    high: float = 2.0
    shift: float = 0.2
    p: float = 1.0
    limits: ClassVar = {"shift": 1, "p": 1}

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"low={self.low}, high={self.high}: 0 <= low <= high is expected")
        super().__post_init__()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        factor = rng.uniform(self.low, self.high)
        shift = 255 * rng.uniform(-self.shift, self.shift)
        if rng.random() >= self.p:
            return sample
        table = to_uint8(np.arange(256) * factor + shift)
        return replace(sample, image=table[sample.image])


@dataclass(frozen=True)
class Invert(Transform):
    """Swaps dark and bright with probability `p`: fluorescence against bright field."""

    p: float = 0.5
    limits: ClassVar = {"p": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, image=255 - sample.image) if rng.random() < self.p else sample


@dataclass(frozen=True)
class Gray(Transform):
    """Replaces all channels by the gray value (Rec. 601) with probability `p`."""

    p: float = 0.1
    limits: ClassVar = {"p": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        return replace(sample, image=to_uint8(mix(sample.image, np.tile(LUMA, (3, 1)))))
