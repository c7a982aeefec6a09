"""Transforms of an image's sharpness and faults: blur, noise, compression, missing parts."""

import io
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from jaxnuc.data.color_spaces import to_uint8
from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform, log_uniform
from jaxnuc.data.transforms.geometry import LINEAR


@dataclass(frozen=True)
class Blur(Transform):
    """Gaussian blur with a random width; reflects at the border.

    Attributes:
      sigma: greatest standard deviation, pixels; uniform from 0.
    """

    sigma: float = 1.5
    p: float = 0.5
    limits: ClassVar = {"sigma": np.inf, "p": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        sigma = rng.uniform(0, self.sigma)
        if sigma == 0:
            return sample
        return replace(sample, image=to_uint8(_gaussian(sample.image, sigma)))


def _gaussian(image: np.ndarray, sigma: float) -> np.ndarray:
    values = image.astype(np.float32)
    for axis in (0, 1):
        values = gaussian_filter1d(values, sigma, axis, truncate=3.0)
    return values


@dataclass(frozen=True)
class Sharpen(Transform):
    """Unsharp masking of a random strength: adds what a Gaussian blur takes away.

    Attributes:
      amount: greatest factor of what is added; uniform from 0.
      sigma: standard deviation of the blur, pixels.
    """

    amount: float = 1.0
    sigma: float = 1.5
    p: float = 0.5
    limits: ClassVar = {"amount": np.inf, "sigma": np.inf, "p": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        amount, image = np.float32(rng.uniform(0, self.amount)), sample.image
        detail = image - _gaussian(image, self.sigma)
        return replace(sample, image=to_uint8(image + amount * detail))


@dataclass(frozen=True)
class MedianBlur(Transform):
    """Replaces each value by the median of the 3 x 3 around it in its channel, once or more often.

    The border is repeated.

    Attributes:
      passes: greatest number of repetitions, uniform from 1.
    """

    passes: int = 1
    p: float = 0.5
    counts = ("passes",)
    limits: ClassVar = {"p": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        passes = int(rng.integers(1, self.passes + 1))
        if rng.random() >= self.p:
            return sample
        image = sample.image
        for _ in range(passes):
            image = _median(image)
        return replace(sample, image=image)


def _median(image: np.ndarray) -> np.ndarray:
    """Of columns of three, sorted: a tenth of the time of general filters."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    low, middle, high = _sorted(padded[:-2], padded[1:-1], padded[2:])
    lowest, center, highest = (
        _sorted(a[:, :-2], a[:, 1:-1], a[:, 2:]) for a in (low, middle, high)
    )
    # The greatest of the least, the median of the medians, the least of the greatest.
    return _sorted(lowest[2], center[1], highest[0])[1]


def _sorted(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
    low, high = np.minimum(a, b), np.maximum(a, b)
    rest = np.minimum(high, c)
    return np.minimum(low, rest), np.maximum(low, rest), np.maximum(high, c)


@dataclass(frozen=True)
class LowResolution(Transform):
    """Shrinks the image by a random factor and enlarges it again, as of a lower magnification.

    Linear interpolation, with antialiasing where it shrinks.

    Attributes:
      most: greatest factor, 1 or more; drawn from 1 up to it, uniformly in log scale.
    """

    most: float = 4.0
    p: float = 0.3
    limits: ClassVar = {"p": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.most < np.inf:
            raise ValueError(f"most={self.most}: a finite factor of 1 or more is expected")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        factor = log_uniform(rng, 1, self.most)
        if rng.random() >= self.p:
            return sample
        image = Image.fromarray(sample.image)
        small = image.resize([max(1, round(side / factor)) for side in image.size], LINEAR)
        return replace(sample, image=np.array(small.resize(image.size, LINEAR)))


@dataclass(frozen=True)
class Noise(Transform):
    """Independent Gaussian noise of a random strength, the same in all channels of a pixel.

    One value per pixel, so that gray images stay gray.

    Attributes:
      sigma: greatest standard deviation, as a part of the range 0..255; uniform from 0.
    """

    sigma: float = 0.03
    p: float = 0.5
    limits: ClassVar = {"sigma": 1, "p": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.p:
            return sample
        sigma = 255 * rng.uniform(0, self.sigma)
        noise = rng.standard_normal((*sample.instances.shape, 1), np.float32)
        return replace(sample, image=to_uint8(sample.image + np.float32(sigma) * noise))


@dataclass(frozen=True)
class Jpeg(Transform):
    """Compresses the image as JPEG, as slide scanners do, colors at half the resolution.

    Attributes:
      low: least quality, 1 to 95.
      high: greatest quality; one is drawn uniformly.
    """

    low: int = 30
    high: int = 90
    p: float = 0.5
    limits: ClassVar = {"p": 1}

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high <= 95:
            raise ValueError(f"low={self.low}, high={self.high}: 1 <= low <= high <= 95 expected")
        super().__post_init__()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        quality = int(rng.integers(self.low, self.high + 1))
        if rng.random() >= self.p:
            return sample
        file = io.BytesIO()
        Image.fromarray(sample.image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        with Image.open(file) as image:
            return replace(sample, image=np.array(image))


@dataclass(frozen=True)
class CoarseDropout(Transform):
    """Hides rectangles, which may overlap or end at the border, under the image's mean color.

    What is hidden cannot be known, and a hole may hold whole nuclei; so neither loss nor scores
    count there. `ignore=False` keeps the nuclei in the holes as targets, as DeVries and Taylor,
    "Improved regularization of convolutional neural networks with cutout", 2017.

    Attributes:
      count: greatest number of rectangles, uniform from 1.
      size: greatest side, pixels; each side is uniform from half of it.
      ignore: mark the holes in the sample's `ignore`. It is then never None, also where no hole
        is made, so that all samples of a batch hold the same maps.
    """

    count: int = 6
    size: int = 24
    ignore: bool = True
    p: float = 0.5
    counts = ("count", "size")
    limits: ClassVar = {"p": 1}

    @property
    def ignores(self) -> bool:
        return self.ignore

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        h, w = sample.instances.shape
        hidden = np.zeros((h, w), bool)
        if rng.random() < self.p:
            for _ in range(rng.integers(1, self.count + 1)):
                height, width = rng.integers((self.size + 1) // 2, self.size + 1, 2)
                row, column = rng.integers(1 - height, h), rng.integers(1 - width, w)
                hidden[max(row, 0) : row + height, max(column, 0) : column + width] = True
        if hidden.any():
            image = sample.image.copy()
            image[hidden] = to_uint8(image.mean((0, 1)))
            sample = replace(sample, image=image)
        if not self.ignore:
            return sample
        return replace(sample, ignore=hidden if sample.ignore is None else hidden | sample.ignore)
