"""Crops in which nuclei have about one size, whatever the magnification of the image."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import log_uniform
from jaxnuc.data.transforms.geometry import Sized, crop, padded, resize, sides
from jaxnuc.postprocess.regions import disc_diameter


def typical_diameter(instances: np.ndarray) -> float:
    """The median diameter of the nuclei of a label map (H, W), in pixels; 0 where it has none.

    The diameter of a nucleus is that of the disc of its area.

    >>> round(typical_diameter(np.array([[1, 1, 0, 2], [1, 1, 0, 0]])), 3)
    1.693
    """
    areas = np.bincount(instances.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.median(disc_diameter(areas))) if len(areas) else 0.0


@dataclass(frozen=True)
class CropAtDiameter(Sized):
    """Crops a window that is enlarged or shrunk so that nuclei have about one diameter.

    The typical diameter is the median over the whole image, see `typical_diameter`; a window of
    what becomes `size` pixels is cut first, so that no large image is resized. An image without
    nuclei is scaled by the random factor alone. Smaller images are padded, see `Pad`.

    Attributes:
      size: side or (height, width) of what comes out, pixels.
      diameter: that the median nucleus gets, pixels.
      low: least random factor on it.
      high: greatest; one is drawn uniformly in log scale.
      p: probability that the window holds a random pixel of a nucleus; else it is anywhere.
    """

    diameter: float = 20.0
    low: float = 0.6
    high: float = 1.7
    p: float = 0.7
    limits: ClassVar = {"p": 1}
    factors: ClassVar = ("low", "high")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.diameter > 0:
            raise ValueError(f"diameter={self.diameter}: a number of pixels above 0 is expected")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sides(self.size)
        factor = log_uniform(rng, self.low, self.high)
        factor *= self.diameter / (typical_diameter(sample.instances) or self.diameter)
        window = max(1, round(height / factor)), max(1, round(width / factor))
        sample = padded(sample, window)
        place, foreground = rng.random(2), rng.random() < self.p
        pixels = np.flatnonzero(sample.instances) if foreground else np.empty(0, int)
        if pixels.size:
            inside = np.unravel_index(pixels[rng.integers(pixels.size)], sample.instances.shape)
            ranges = [
                (max(0, pixel - side + 1), min(pixel, full - side))
                for pixel, side, full in zip(inside, window, sample.instances.shape, strict=True)
            ]
        else:
            ranges = [
                (0, full - side) for side, full in zip(window, sample.instances.shape, strict=True)
            ]
        top, left = (
            low + int(share * (high - low + 1))
            for share, (low, high) in zip(place, ranges, strict=True)
        )
        return resize(crop(sample, top, left, *window), height, width)
