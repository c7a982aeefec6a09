"""Random affine map: scale, aspect, shear, rotation, translation."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.base import Transform, check_probability, check_spread

NEAREST, LINEAR = Image.Resampling.NEAREST, Image.Resampling.BILINEAR


@dataclass(frozen=True)
class Affine(Transform):
    """A random affine map about the middle; the size stays.

    What comes from beyond the image is black background, as in the systems whose presets use it;
    a larger crop before and a smaller one after it leave none of that.

    Attributes:
      scale: (least, greatest) factor, uniform.
      aspect: width / height is changed by a factor in `1 +- aspect`, the area kept.
      shear: greatest angle, degrees.
      rotation: greatest angle, degrees.
      translation: greatest shift, as a part of the side.
      nearest: take the nearest pixel of the image too, rather than interpolate linearly.
      p: probability.
    """

    scale: tuple[float, float] = (0.8, 1.25)
    aspect: float = 0.0
    shear: float = 0.0
    rotation: float = 180.0
    translation: float = 0.0
    nearest: bool = False
    p: float = 1.0

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(f"scale={self.scale}: (low, high) with 0 < low <= high is expected")
        check_spread("aspect", self.aspect, 0.9)
        check_spread("shear", self.shear, 80)
        check_spread("rotation", self.rotation, 180)
        check_spread("translation", self.translation, 1)
        check_probability(self.p)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The maps take the nearest pixel."""
        h, w = sample.instances.shape
        factor = rng.uniform(*self.scale)
        aspect = np.sqrt(1 + rng.uniform(-self.aspect, self.aspect))
        shear, angle = np.radians(rng.uniform(-1, 1, 2) * (self.shear, self.rotation))
        shift = rng.uniform(-self.translation, self.translation, 2) * (w, h)
        if rng.random() >= self.p:
            return sample
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        slant = np.array([[1, np.tan(shear)], [0, 1]])
        # (x, y) of the result -> (x, y) of the input, as Pillow wants it.
        back = np.linalg.inv(turn @ slant @ np.diag([factor * aspect, factor / aspect]))
        middle = np.array([w, h]) / 2
        offset = middle - back @ (middle + shift)
        numbers = (*back[0].tolist(), float(offset[0]), *back[1].tolist(), float(offset[1]))

        def move(array: np.ndarray, how: Image.Resampling = NEAREST) -> np.ndarray:
            picture = Image.fromarray(array)
            moved = picture.transform((w, h), Image.Transform.AFFINE, numbers, how)
            return np.array(moved)

        return replace(
            sample,
            image=move(sample.image, NEAREST if self.nearest else LINEAR),
            instances=move(sample.instances),
            classes=None if sample.classes is None else move(sample.classes),
            ignore=None if sample.ignore is None else move(sample.ignore.astype(np.uint8)) > 0,
        )
