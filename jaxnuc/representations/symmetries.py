"""The symmetries of the square, and what they do to the components of maps.

Symmetry k of 0..7 mirrors left and right if k >= 4, then makes k % 4 quarter turns
counter-clockwise (`np.rot90`). Symmetry 0 changes nothing.
"""

import numpy as np

ALL = tuple(range(8))


def transform(array: np.ndarray, k: int) -> np.ndarray:
    """Applies symmetry k to the first two axes of an array; a view."""
    return np.rot90(array[:, ::-1] if k >= 4 else array, k % 4)


def transform_back(array: np.ndarray, k: int) -> np.ndarray:
    """The inverse of `transform`; a view."""
    array = np.rot90(array, -(k % 4))
    return array[:, ::-1] if k >= 4 else array


def undo_rays(distances: np.ndarray, k: int) -> np.ndarray:
    """Distances (H, W, R) along rays of a transformed image as those along the rays of the image.

    Pixels are already transformed back; ray j of R points to the angle 2 pi j / R: row + sin,
    column + cos.

    Raises:
      ValueError: the symmetry does not lead from rays to rays.
    """
    n_rays = distances.shape[-1]
    # A turn takes the angle a to a - pi / 2, the mirror before it takes a to pi - a.
    sign, quarters = (-1, 2 - k % 4) if k >= 4 else (1, -(k % 4))
    shift, rest = divmod(n_rays * quarters, 4)
    if rest:
        fitting = [i for i in ALL if not n_rays * ((2 if i >= 4 else 0) - i % 4) % 4]
        raise ValueError(
            f"symmetry {k} does not lead from rays to rays if they are {n_rays}; take a number of "
            f"rays that divides by 4, or only the symmetries {fitting}"
        )
    return distances[..., (shift + sign * np.arange(n_rays)) % n_rays]


def undo_vectors(vectors: np.ndarray, k: int) -> np.ndarray:
    """Vectors (H, W, 2) in a transformed image as vectors in the image.

    Components are horizontal (along columns) and vertical; pixels are already transformed back.
    """
    horizontal, vertical = vectors[..., 0], vectors[..., 1]
    for _ in range(k % 4):
        horizontal, vertical = -vertical, horizontal
    return np.stack([-horizontal if k >= 4 else horizontal, vertical], axis=-1)
