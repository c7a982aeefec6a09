"""Transforms that change the image alone."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from skimage.color import hed_from_rgb, rgb_from_hed

from jaxnuc.data.sample import Sample

# Rec. 601: how much each channel gives to the grey value.
LUMA = np.array([0.299, 0.587, 0.114])

# Optical density of the 256 levels; one level is added so that black has a finite one.
_DENSITY = -np.log10((np.arange(256) + 1) / 256).astype(np.float32)


def _image(sample: Sample, values: np.ndarray) -> Sample:
    """Rounds values in 0..255 to the sample's image; what exceeds the range is clipped."""
    return replace(sample, image=np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _mix(values: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """`matrix @ colour + offset` in each pixel of `values` (H, W, 3), float32.

    Not by `@`: its threads contend with the input workers', and its last bit depends on them.
    """
    planes = np.moveaxis(values, -1, 0).astype(np.float32, order="C")
    mixed = np.empty(values.shape, np.float32)
    for k, (row, shift) in enumerate(zip(matrix.tolist(), offset.tolist(), strict=True)):
        mixed[..., k] = row[0] * planes[0] + row[1] * planes[1] + row[2] * planes[2] + shift
    return mixed


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p={p}: a probability is expected")


def _check_spread(name: str, value: float, limit: float = np.inf) -> None:
    if not 0 <= value <= limit:
        raise ValueError(f"{name}={value}: 0 <= {name} <= {limit} is expected")


@dataclass(frozen=True)
class ColourJitter:
    """Random brightness, contrast, saturation and hue, as one affine map of the colours.

    Grey images stay grey. Hue is a rotation about the grey axis of RGB, after which each pixel's
    grey value (Rec. 601) is restored.

    Attributes:
      brightness: the image is multiplied by a factor in `1 +- brightness`.
      contrast: so is the distance from the mean grey value.
      saturation: and the distance from each pixel's grey value.
      hue: greatest angle, in turns (0.5 reaches the complement).
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.02

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            _check_spread(name, getattr(self, name), 1)
        _check_spread("hue", self.hue, 0.5)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Rounds and clips once, at the end."""
        spread = np.array([self.brightness, self.contrast, self.saturation, 2 * np.pi * self.hue])
        brightness, contrast, saturation, angle = rng.uniform(-spread, spread)
        grey = np.broadcast_to(LUMA, (3, 3))
        matrix = grey + (1 + saturation) * (_rotation(angle) - grey @ _rotation(angle))
        mean = sample.image.mean((0, 1)) @ LUMA
        matrix = (1 + brightness) * (1 + contrast) * matrix
        offset = np.repeat(-(1 + brightness) * contrast * mean, 3)
        return _image(sample, _mix(sample.image, matrix, offset))


def _rotation(angle: float) -> np.ndarray:
    """Rotation about (1, 1, 1): a circulant matrix."""
    third = 2 * np.pi / 3
    a, b, c = (1 + 2 * np.cos(angle + k * third) for k in (0, 1, -1))
    return np.array([[a, b, c], [c, a, b], [b, c, a]]) / 3


@dataclass(frozen=True)
class StainJitter:
    """Random strength of haematoxylin, eosin and DAB: for H&E.

    The optical density of each stain becomes `s * (1 + a) + b` with a, b uniform in +-`sigma`;
    stains after Ruifrok and Johnston (2001).

    Tellez et al., "Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference
    to train distilled stain-invariant convolutional networks", IEEE TMI 37(9), 2018.

    Attributes:
      sigma: bound of the random factor and shift.
    """

    sigma: float = 0.05

    def __post_init__(self) -> None:
        _check_spread("sigma", self.sigma, 1)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Clips what becomes lighter than white."""
        factor, shift = rng.uniform(-self.sigma, self.sigma, (2, 3))
        # Linear in optical density, so the way to the stains and back is one matrix.
        matrix = (hed_from_rgb * (1 + factor)) @ rgb_from_hed
        density = _mix(_DENSITY[sample.image], matrix.T, shift @ rgb_from_hed)
        return _image(sample, 256 * 10.0**-density - 1)


@dataclass(frozen=True)
class Invert:
    """Swaps dark and bright with probability `p`: fluorescence against bright field."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _check_probability(self.p)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns 255 - image, or the sample."""
        return replace(sample, image=255 - sample.image) if rng.random() < self.p else sample


@dataclass(frozen=True)
class Gray:
    """Replaces all channels by the grey value (Rec. 601) with probability `p`."""

    p: float = 0.1

    def __post_init__(self) -> None:
        _check_probability(self.p)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Returns the grey image as RGB, or the sample."""
        if rng.random() >= self.p:
            return sample
        return _image(sample, _mix(sample.image, np.tile(LUMA, (3, 1)), np.zeros(3)))


@dataclass(frozen=True)
class Blur:
    """Gaussian blur with a random width.

    Attributes:
      sigma: greatest standard deviation, pixels; uniform from 0.
      p: probability.
    """

    sigma: float = 1.5
    p: float = 0.5

    def __post_init__(self) -> None:
        _check_spread("sigma", self.sigma)
        _check_probability(self.p)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Reflects at the border."""
        if rng.random() >= self.p:
            return sample
        sigma = rng.uniform(0, self.sigma)
        if sigma == 0:
            return sample
        values = sample.image.astype(np.float32)
        for axis in (0, 1):
            values = gaussian_filter1d(values, sigma, axis, truncate=3.0)
        return _image(sample, values)


@dataclass(frozen=True)
class Noise:
    """Independent Gaussian noise of a random strength, the same in all channels of a pixel.

    One value per pixel, so that grey images stay grey.

    Attributes:
      sigma: greatest standard deviation, as a part of the range 0..255; uniform from 0.
      p: probability.
    """

    sigma: float = 0.03
    p: float = 0.5

    def __post_init__(self) -> None:
        _check_spread("sigma", self.sigma, 1)
        _check_probability(self.p)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Clips to the range."""
        if rng.random() >= self.p:
            return sample
        sigma = 255 * rng.uniform(0, self.sigma)
        noise = rng.standard_normal((*sample.instances.shape, 1), np.float32)
        return _image(sample, sample.image + np.float32(sigma) * noise)
