"""Intensity normalization of whole images, the same in training and in use.

It comes before any crop: percentiles of a small crop without nuclei would blow up its noise.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from jaxnuc.data import stains
from jaxnuc.data.frame import without_foreign_frame
from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform
from jaxnuc.registry import Registry

LOW, HIGH = 0.01, 0.998
# Of a stretched image with a bright background the median is above. Of the 487 fluorescence images
# of DSB2018 it is at most 48, however crowded they are, so that 207 is the least of inverted ones.
BRIGHT = 178


def _stretch(reference: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Makes the quantiles 0 and 255; an image of one value stays as it is."""
    counts = np.cumsum(np.bincount(reference.ravel(), minlength=256))
    low, high = np.searchsorted(counts, np.array([LOW, HIGH]) * counts[-1])
    if low == high:
        return lambda image: image
    table = (np.arange(256) - low) * (255 / (high - low))
    levels = np.clip(np.round(table), 0, 255).astype(np.uint8)
    return lambda image: levels[image]


def _dark_background(reference: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Stretches, and inverts an image whose background is bright before that."""
    stretch = _stretch(reference)
    if np.median(stretch(reference)) < BRIGHT:
        return stretch
    inverted = _stretch(255 - reference)
    return lambda image: inverted(255 - image)


# By name: from a reference image to the function that normalizes images like it.
REGISTRY = Registry(
    "data.normalize",
    table={
        "none": lambda reference: lambda image: image,
        "percentile": _stretch,
        "dark_background": _dark_background,
        **{method: partial(stains.normalization, method=method) for method in stains.METHODS},
    },
)


@dataclass(frozen=True)
class Normalize(Transform):
    """Normalizes images by name; a transform and a function of arrays.

    `"none"`; `"percentile"`, which stretches the 1 % and 99.8 % quantiles, those of StarDist's
    examples (Schmidt et al., 2018), to 0 and 255, the same in all channels, so that hues stay;
    `"dark_background"`, which does so too, and inverts an image of bright background first; or by
    their stains to the default target, `"macenko"`, `"vahadane"` and `"reinhard"`, see
    `jaxnuc.data.stains.normalize`.

    Raises:
      ValueError: unknown name.
    """

    name: str = "none"

    def __post_init__(self) -> None:
        REGISTRY.find(self.name)

    def image(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 to the same."""
        return self.fitted(image)(image)

    def fitted(self, reference: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """The function (h, w, 3) uint8 -> the same that `image` applies, pixel by pixel.

        Args:
          reference: (H, W, 3) uint8, all of an image, or squares from all over it; a frame that
            is foreign to it has no part, see `jaxnuc.data.frame`.
        """
        make: Callable[..., Callable[[np.ndarray], np.ndarray]] = REGISTRY.find(self.name)
        return make(without_foreign_frame(reference))

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, image=self.image(sample.image))
