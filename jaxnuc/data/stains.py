"""How an image would look with other stains: separation and normalization of H&E.

Functions of plain arrays. Where an image has no two stains that can be told apart (glass, one
color, gray-scale fluorescence; `macenko` says when), estimates are None and normalization returns
the image as it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxnuc import registry
from jaxnuc.data.color_spaces import from_density, from_lab, mix, optical_density, to_lab
from jaxnuc.data.stain_estimation import ESTIMATORS, Stains, checked, macenko, vahadane

__all__ = [
    "METHODS",
    "TARGET",
    "TARGET_LAB",
    "Lab",
    "Stains",
    "concentrations",
    "lab",
    "macenko",
    "normalize",
    "resolve",
    "restain",
    "vahadane",
]

METHODS = (*ESTIMATORS, "reinhard")
LEAST_SPREAD = 1.0  # CIELAB units: hardly visible


class Lab(NamedTuple):
    """Mean and standard deviation of L, a and b (CIELAB), each (3,) float64."""

    mean: np.ndarray
    std: np.ndarray


# The matrix: the middle of the palette of H&E in jaxnuc.data.synthetic, around the vectors of
# Ruifrok and Johnston (2001). Strengths and CIELAB values: rounded medians of those of its
# pictures 0 to 399 (192 px) whose stains lie within 10 degrees of these. Taken from nobody's image,
# so that no license applies.
TARGET = Stains(
    np.array([[0.5696, 0.7457, 0.3457], [0.2093, 0.8895, 0.4062]]), np.array([1.05, 0.45])
)
TARGET_LAB = Lab(np.array([65.0, 21.0, -15.0]), np.array([16.0, 9.0, 8.0]))


def concentrations(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """How much of each stain there is, by least squares.

    Args:
      image: (H, W, 3) uint8.
      matrix: (2, 3) as in `Stains`, not parallel.

    Returns:
      (H, W, 2) float32, decades of optical density; noise makes some of them negative.
    """
    return mix(optical_density(checked(image)), np.linalg.pinv(matrix).T)


def restain(
    image: np.ndarray, old: np.ndarray, new: np.ndarray, *, keep_rest: bool = True
) -> np.ndarray:
    """Replaces the stains of an image by others of the same amounts.

    Args:
      image: (H, W, 3) uint8.
      old: (2, 3), the image's stains as in `Stains`.
      new: (2, 3), what takes their place; a longer row is more of the stain.
      keep_rest: keep what neither stain explains (pigment, a tinted lamp), or drop it.

    Returns:
      (H, W, 3) uint8.
    """
    # Linear in optical density from end to end, hence one matrix.
    separate = np.linalg.pinv(old)
    matrix = np.eye(3) + separate @ (new - old) if keep_rest else separate @ new
    return from_density(mix(optical_density(checked(image)), matrix.T))


def normalize(
    image: np.ndarray,
    method: str = "macenko",
    target: Stains | Lab | np.ndarray | None = None,
) -> np.ndarray:
    """Makes an image look as if it had been stained like the target.

    `macenko` and `vahadane` estimate the stains, give them the target's colors and scale their
    amounts so that the 99th percentiles are the target's. With both, amounts are found by least
    squares, and what the two stains do not explain is dropped. `reinhard` gives L, a and b the
    target's means and standard deviations over all pixels; glass is colored too, so it is meant
    for images full of tissue.

    Args:
      image: (H, W, 3) uint8.
      method: `macenko`, `vahadane` or `reinhard`.
      target: an image (H, W, 3) uint8, or what `macenko`, `vahadane` or `lab` say of one; None for
        `TARGET` or `TARGET_LAB`.

    Returns:
      (H, W, 3) uint8; `image` itself where it has no two stains (see `macenko`) or, for
      `reinhard`, where L, a or b has a standard deviation below 1.

    Raises:
      ValueError: an unknown method, not an image, or a target that does not fit the method or has
        itself no two stains.

    References:
      `macenko`, `vahadane`; Reinhard et al., "Color transfer between images", IEEE CG&A 21(5),
      2001, with CIELAB in place of their l-alpha-beta.

    Example:
      >>> glass = np.full((32, 32, 3), 240, np.uint8)
      >>> normalize(glass, "vahadane") is glass
      True
    """
    return normalization(image, method, target)(image)


def normalization(
    reference: np.ndarray,
    method: str = "macenko",
    target: Stains | Lab | np.ndarray | None = None,
) -> Callable[[np.ndarray], np.ndarray]:
    """The function that `normalize` applies to an image, for parts of a large one.

    Args:
      reference: (H, W, 3) uint8, from which the stains or the colors are estimated: the image, or
        parts from all over it.
      method: as in `normalize`.
      target: as in `normalize`.

    Returns:
      The function (h, w, 3) uint8 -> the same, which works pixel by pixel.

    Raises:
      ValueError: as `normalize`.
    """
    wanted = resolve(method, target)
    if isinstance(wanted, Lab):
        found = lab(reference)
        if (found.std < LEAST_SPREAD).any():
            return _unchanged
        scale = wanted.std / found.std
        matrix, offset = np.diag(scale), wanted.mean - scale * found.mean
        return lambda image: from_lab(mix(to_lab(image), matrix, offset))
    stains = ESTIMATORS[method](reference)
    if stains is None:
        return _unchanged
    new = (wanted.strengths / stains.strengths)[:, None] * wanted.matrix
    return lambda image: restain(image, stains.matrix, new, keep_rest=False)


def _unchanged(image: np.ndarray) -> np.ndarray:
    return image


def lab(image: np.ndarray) -> Lab:
    """Mean and standard deviation of the CIELAB values of an image (H, W, 3) uint8."""
    values = to_lab(checked(image)).reshape(-1, 3).astype(np.float64)
    return Lab(values.mean(0), values.std(0))


def resolve(method: str, target: Stains | Lab | np.ndarray | None = None) -> Stains | Lab:
    """The target of `normalize` in numbers, with the same arguments and errors."""
    if method not in METHODS:
        raise registry.unknown("stain normalization", method, METHODS)
    if target is None:
        return TARGET_LAB if method == "reinhard" else TARGET
    if isinstance(target, Stains | Lab):
        if isinstance(target, Lab) != (method == "reinhard"):
            raise ValueError(
                f"{method} cannot use a target of {type(target).__name__}; give the target image"
            )
        return target
    found = lab(target) if method == "reinhard" else ESTIMATORS[method](target)
    if found is None:
        raise ValueError("the target image has no two stains that can be told apart; take another")
    return found
