"""How an image would look with other stains: separation and normalization of H&E.

Functions of plain arrays. Where two stains cannot be separated in an image (glass, one
color, gray-scale fluorescence; `macenko` says when), estimates are None and normalization returns
the image as it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxnuc.data.color_spaces import from_density, from_lab, mix, optical_density, to_lab
from jaxnuc.registry import check_known

# Pixels that an estimate looks at, on a regular grid: percentiles of more hardly differ.
SAMPLED = 2**14
FACTORIZED = 2**12
LEAST_PIXELS = 50
LEAST_SHARE = 0.01
LEAST_ANGLE = 5.0  # degrees; below, amounts have ten times the noise of the densities
STEPS = 200  # of the factorization, which mostly converges before
LEAST_SPREAD = 1.0  # CIELAB units: hardly visible


class Stains(NamedTuple):
    """Two stains and how much of them there is.

    Attributes:
      matrix: (2, 3) float64, optical density of red, green and blue per unit of hematoxylin (row
        0) and eosin (row 1), each of length 1 and not negative.
      strengths: (2,) float64, 99th percentile of the amounts in the tissue, decades.
    """

    matrix: np.ndarray
    strengths: np.ndarray


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
    """How much of each stain, (2, 3) as in `Stains`, there is: (H, W, 2) float32, decades.

    By least squares; noise makes some of them negative.
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
    image: np.ndarray, method: str = "macenko", target: Stains | Lab | np.ndarray | None = None
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
    reference: np.ndarray, method: str = "macenko", target: Stains | Lab | np.ndarray | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """The function of (h, w, 3) uint8 that `normalize` applies to an image, pixel by pixel.

    Args:
      reference: (H, W, 3) uint8, from which the stains or the colors are estimated: the image, or
        parts from all over it.
      method: as in `normalize`.
      target: as in `normalize`.
    """
    wanted = resolve(method, target)
    if isinstance(wanted, Lab):
        found = lab(reference)
        if (found.std < LEAST_SPREAD).any():
            return lambda image: image
        scale = wanted.std / found.std
        matrix, offset = np.diag(scale), wanted.mean - scale * found.mean
        return lambda image: from_lab(mix(to_lab(image), matrix, offset))
    stains = ESTIMATORS[method](reference)
    if stains is None:
        return lambda image: image
    new = (wanted.strengths / stains.strengths)[:, None] * wanted.matrix
    return lambda image: restain(image, stains.matrix, new, keep_rest=False)


def lab(image: np.ndarray) -> Lab:
    """Mean and standard deviation of the CIELAB values of an image (H, W, 3) uint8."""
    values = to_lab(checked(image)).reshape(-1, 3).astype(np.float64)
    return Lab(values.mean(0), values.std(0))


def resolve(method: str, target: Stains | Lab | np.ndarray | None = None) -> Stains | Lab:
    """The target of `normalize` in numbers, with the same arguments and errors."""
    check_known("stain normalization", method, METHODS)
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
        raise ValueError("the target image has no two stains that can be separated; take another")
    return found


def macenko(image: np.ndarray, beta: float = 0.15, percentile: float = 1.0) -> Stains | None:
    """Estimates the stains as the outermost directions of the optical densities.

    Tissue is where the strongest channel's density exceeds `beta`. (Many implementations ask it of
    every channel and so lose weak eosin, which hardly absorbs red.) The densities' main plane
    through the origin is found; in it the stains are the percentiles of the angle.

    Args:
      image: (H, W, 3) uint8.
      beta: least density of tissue, decades.
      percentile: of the angle on either side, in per cent.

    Returns:
      The stains, hematoxylin (which absorbs the larger part in red) first; None where they cannot
      be separated: tissue in less than 1 % of the pixels (or fewer than 50), or an angle between
      them of less than 5 degrees.

    Raises:
      ValueError: not such an image.

    References:
      Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI
      2009.
    """
    tissue = _tissue(image, beta)
    if tissue is None:
        return None
    matrix = _extremes(tissue, percentile)
    return None if matrix is None else Stains(matrix, _strengths(tissue, matrix))


def vahadane(image: np.ndarray, beta: float = 0.15, sparsity: float = 0.1) -> Stains | None:
    """Estimates the stains by a sparse non-negative factorization of the optical densities.

    Minimizes `|OD - amounts @ matrix|^2 / 2 + sparsity * sum(amounts)` over non-negative amounts
    and unit rows, in turn (amounts in closed form, rows by block coordinate descent), from
    Macenko's estimate: no randomness.

    Args:
      image: (H, W, 3) uint8.
      beta: least density of tissue, decades.
      sparsity: weight of the amounts, for densities in natural logarithms as in the paper.

    Returns:
      As `macenko`.

    Raises:
      ValueError: not such an image.

    References:
      Vahadane et al., "Structure-preserving color normalization and sparse stain separation for
      histological images", IEEE TMI 35(8), 2016.
    """
    tissue = _tissue(image, beta)
    start = None if tissue is None else _extremes(tissue, 1.0)
    if tissue is None or start is None:
        return None
    step = int(np.ceil(tissue.shape[1] / FACTORIZED))
    matrix = _factorize(tissue[:, ::step], start, sparsity / np.log(10))
    return None if matrix is None else Stains(matrix, _strengths(tissue, matrix))


ESTIMATORS: dict[str, Callable[[np.ndarray], Stains | None]] = {
    "macenko": macenko,
    "vahadane": vahadane,
}
METHODS = (*ESTIMATORS, "reinhard")


def checked(image: np.ndarray) -> np.ndarray:
    """The image; ValueError where it is not (H, W, 3) uint8."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"an image of {image.dtype} and shape {image.shape}; (H, W, 3) uint8 is expected"
        )
    return image


def _tissue(image: np.ndarray, beta: float) -> np.ndarray | None:
    """(3, N) float64 densities of sampled tissue; None where there is too little."""
    height, width = checked(image).shape[:2]
    step = max(1, int(np.ceil(np.sqrt(height * width / SAMPLED))))
    red, green, blue = optical_density(image[::step, ::step].reshape(-1, 3).T)
    found = np.maximum(np.maximum(red, green), blue) > beta
    if np.count_nonzero(found) < max(LEAST_PIXELS, LEAST_SHARE * len(found)):
        return None
    return np.stack([red[found], green[found], blue[found]]).astype(np.float64)


def _extremes(tissue: np.ndarray, percentile: float) -> np.ndarray | None:
    """(2, 3) outermost directions in the main plane of (3, N) densities; None if they coincide."""
    moments = np.array([[(a * b).sum() for a in tissue] for b in tissue])
    second, first = np.linalg.eigh(moments)[1].T[1:]
    first = first * np.sign(first.sum())
    # No density is negative, nor is the first direction: angles lie within +-90 degrees, and their
    # tangents order as they do. Pure primary colors can be at 90 degrees.
    along, across = (_project(v, tissue) for v in (first, second))
    tangents = np.percentile(across / np.maximum(along, 1e-6), [percentile, 100 - percentile])
    return _ordered(first + tangents[:, None] * second)


def _project(vector: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    return vector[0] * tissue[0] + vector[1] * tissue[1] + vector[2] * tissue[2]


def _ordered(matrix: np.ndarray) -> np.ndarray | None:
    """Unit rows that are not negative, hematoxylin first; None where they nearly coincide."""
    matrix = np.maximum(matrix, 0)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not lengths.all():
        return None
    matrix /= lengths
    if (matrix[0] * matrix[1]).sum() > np.cos(np.radians(LEAST_ANGLE)):
        return None
    return matrix if matrix[0, 0] >= matrix[1, 0] else matrix[::-1].copy()


def _strengths(tissue: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    amounts = [_project(v, tissue) for v in np.linalg.pinv(matrix).T]
    return np.percentile(amounts, 99, axis=1)


def _factorize(tissue: np.ndarray, start: np.ndarray, penalty: float) -> np.ndarray | None:
    """(2, 3) stains of (3, N) densities, in decades as the penalty; None if they coincide."""
    matrix = start.copy()
    for _ in range(STEPS):
        old = matrix.copy()
        amounts = _sparse_amounts(tissue, matrix, penalty)
        square = [[(a * b).sum() for b in amounts] for a in amounts]
        product = [[(a * x).sum() for x in tissue] for a in amounts]
        for k in (0, 1):
            # Of a stain that is nowhere the densities say nothing.
            if square[k][k] == 0:
                return None
            other = 1 - k
            row = np.maximum(product[k] - square[k][other] * matrix[other], 0)
            if not row.any():
                return None
            matrix[k] = row / np.linalg.norm(row)
        if np.abs(matrix - old).max() < 1e-5:
            break
    return _ordered(matrix)


def _sparse_amounts(tissue: np.ndarray, matrix: np.ndarray, penalty: float) -> list[np.ndarray]:
    """Two (N,): where the best amount of one is negative it is 0, and the other is best alone."""
    overlap = (matrix[0] * matrix[1]).sum()
    one, two = (_project(v, tissue) - penalty for v in matrix)
    first = (one - overlap * two) / (1 - overlap**2)
    second = (two - overlap * one) / (1 - overlap**2)
    return [
        np.maximum(np.where(second < 0, one, first), 0),
        np.maximum(np.where(first < 0, two, second), 0),
    ]
