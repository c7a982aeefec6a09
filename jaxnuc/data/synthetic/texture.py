"""Smooth random fields, the material that every synthetic picture is made of."""

from functools import lru_cache

import numpy as np
from scipy import sparse


@lru_cache(maxsize=256)
def _splines(size: int, scale: float) -> tuple[sparse.csr_array, sparse.csr_array]:
    """(size, knots) float32: cubic B-splines with a knot every `scale` pixels; its transpose.

    Sparse, for four weights a row, and to keep out of BLAS: its threads fight each other where
    several input workers share a machine.
    """
    knots = int(np.ceil(size / scale)) + 3
    x = np.abs(np.arange(size)[:, None] / scale + 1 - np.arange(knots)[None])
    near, far = 2 / 3 - x**2 + x**3 / 2, (2 - np.minimum(x, 2)) ** 3 / 6
    weights = np.where(x < 1, near, far).astype(np.float32)
    return sparse.csr_array(weights), sparse.csr_array(weights.T)


def _spread(matrix: sparse.csr_array, field: np.ndarray) -> np.ndarray:
    """matrix @ field @ matrix.T"""
    return (matrix @ np.ascontiguousarray((matrix @ field).T)).T


def noise(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
    """A smooth Gaussian field (size, size) float32 of mean 0 and variance about 1.

    Cubic B-splines with random weights, a knot every `scale` pixels, which costs far less than
    filtering white noise; structures are about twice as wide.
    """
    splines, _ = _splines(size, scale)
    weights = rng.standard_normal((splines.shape[1],) * 2, dtype=np.float32)
    return _spread(splines, weights) / np.float32(splines.power(2).sum() / size)


def diffuse(field: np.ndarray, scale: float) -> np.ndarray:
    """A wide blur, as by light from out of focus: (size, size) -> (size, size).

    Sums over B-splines, drawn with B-splines: about `scale` pixels in standard deviation.
    """
    splines, transposed = _splines(field.shape[0], scale)
    weight = splines @ transposed.sum(1)
    return _spread(splines, _spread(transposed, field)) / np.outer(weight, weight)


def fibers(
    rng: np.random.Generator, size: int, width: float, waviness: float, sharpness: float = 1.0
) -> np.ndarray:
    """Wavy bundles in one main direction, as of collagen: (size, size) float32 in [0, 1].

    A profile along one axis, looked up at a coordinate that smooth fields bend.

    Args:
      rng: source of randomness.
      size: side of the field in pixels.
      width: thickness of a fiber in pixels.
      waviness: how far fibers leave their direction, in pixels.
      sharpness: the exponent on the ridges; more gives thinner fibers with wider gaps.
    """
    angle = rng.uniform(0, np.pi)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    across = np.sin(angle) * columns + np.cos(angle) * rows
    across += waviness * noise(rng, size, size / 4) + 0.3 * waviness * noise(rng, size, size / 10)
    across -= across.min()
    knots = int(across.max() / width) + 2
    strands = np.interp(across / width, np.arange(knots), rng.random(knots) ** sharpness)
    fade = np.clip(0.6 + 0.5 * noise(rng, size, size / 6), 0, 1)
    return (strands * fade).astype(np.float32)
