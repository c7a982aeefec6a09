"""Transforms of the stains of H&E, which change the image alone."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from skimage.color import hed_from_rgb, rgb_from_hed

from jaxnuc.data.color_spaces import from_density, mix, optical_density
from jaxnuc.data.sample import Sample
from jaxnuc.data.stains import ESTIMATORS, METHODS, Lab, Stains, normalize, resolve, restain
from jaxnuc.data.transforms.base import Transform
from jaxnuc.io.image_files import decode_colors
from jaxnuc.io.rgb import to_rgb
from jaxnuc.registry import check_known

Numbers = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class StainJitter(Transform):
    """Random strength of hematoxylin, eosin and DAB, by fixed stains: for H&E.

    The optical density of each stain becomes `s * (1 + a) + b` with a, b uniform in +-`sigma`;
    stains after Ruifrok and Johnston (2001).

    Tellez et al., "Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference
    to train distilled stain-invariant convolutional networks", IEEE TMI 37(9), 2018.

    Attributes:
      sigma: bound of the random factor and shift.
    """

    sigma: float = 0.05
    limits: ClassVar = {"sigma": 1}

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        factor, shift = rng.uniform(-self.sigma, self.sigma, (2, 3))
        # Linear in optical density, so the way to the stains and back is one matrix.
        matrix = (hed_from_rgb * (1 + factor)) @ rgb_from_hed
        density = mix(optical_density(sample.image), matrix.T, shift @ rgb_from_hed)
        return replace(sample, image=from_density(density))


@dataclass(frozen=True)
class StainMatrixJitter(Transform):
    """Random color and strength of the two stains that the image holds: for H&E.

    The stains are estimated; each entry of their matrix and the amounts of each are multiplied by
    a factor. What the stains do not explain stays, so that no change is the identity. An image
    without two stains (see `jaxnuc.data.stains.macenko`) stays as it is.

    Defaults as in Weigert and Schmidt, "Nuclei instance segmentation and classification in
    histopathology images with StarDist", ISBIC 2022.

    Attributes:
      matrix: the factors of the entries are in `1 +- matrix`.
      amount: those of the amounts in `1 +- amount`.
      method: `macenko` or `vahadane`.
    """

    matrix: float = 0.15
    amount: float = 0.4
    method: str = "macenko"
    p: float = 0.9
    limits: ClassVar = {"matrix": 1, "amount": 1, "p": 1}

    def __post_init__(self) -> None:
        check_known("stain estimation", self.method, ESTIMATORS)
        super().__post_init__()

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        entries = 1 + rng.uniform(-self.matrix, self.matrix, (2, 3))
        amounts = 1 + rng.uniform(-self.amount, self.amount, (2, 1))
        if rng.random() >= self.p:
            return sample
        stains = ESTIMATORS[self.method](sample.image)
        if stains is None:
            return sample
        new = stains.matrix * entries * amounts
        return replace(sample, image=restain(sample.image, stains.matrix, new))


@dataclass(frozen=True)
class StainNormalize(Transform):
    """Stains every image like one target; see `jaxnuc.data.stains.normalize`.

    An image without two stains stays as it is.

    Attributes:
      method: `macenko`, `vahadane` or `reinhard`.
      target: the file of an image; or numbers, for the first two
        `((H_r, H_g, H_b), (E_r, E_g, E_b), (strength_H, strength_E))` as in
        `jaxnuc.data.stains.Stains`, for `reinhard` `(mean, standard deviation)` of (L, a, b); None
        for the library's own target.
    """

    method: str = "macenko"
    target: str | Numbers | None = None
    _resolved: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once and not for each image; frozen classes are set like this.
        object.__setattr__(self, "_resolved", self._resolve())

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, image=normalize(sample.image, self.method, self._resolved))

    def _resolve(self) -> Stains | Lab:
        if self.target is None or self.method not in METHODS:
            return resolve(self.method)
        if not isinstance(self.target, str):
            return _numbers(self.method, self.target)
        image = to_rgb(decode_colors(Path(self.target).read_bytes(), self.target), self.target)
        try:
            return resolve(self.method, image)
        except ValueError as error:
            raise ValueError(f"{self.target}: {error}") from error


def _numbers(method: str, target: Numbers) -> Stains | Lab:
    try:
        rows = [np.array(row, float) for row in target]
    except TypeError:
        rows = []
    shapes = [row.shape for row in rows]
    if method == "reinhard":
        if shapes != [(3,), (3,)] or not (rows[1] > 0).all():
            raise ValueError(
                f"target={target!r}: mean and standard deviation of (L, a, b) are expected, with "
                "deviations above 0"
            )
        return Lab(*rows)
    if shapes != [(3,), (3,), (2,)] or min(row.min() for row in rows) < 0:
        raise ValueError(
            f"target={target!r}: two stains of three numbers and their two strengths are expected, "
            "none of them negative"
        )
    matrix = np.stack(rows[:2])
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f"target={target!r}: a stain that absorbs nothing")
    return Stains(matrix / lengths, rows[2])
