"""The symmetries of the square, and what they do to the components of maps.

Symmetry k of 0..7 mirrors left and right if k >= 4, then makes k % 4 quarter turns
counter-clockwise (`np.rot90`). Symmetry 0 changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxnuc.representations.base import OutputMap

ALL = tuple(range(8))


def transform(array: Any, k: int) -> Any:
    """Applies symmetry k to the first two axes of an array; a view of one of NumPy."""
    return _turned(array[:, ::-1] if k >= 4 else array, k % 4)


def transform_back(array: Any, k: int) -> Any:
    """The inverse of `transform`; a view of an array of NumPy."""
    array = _turned(array, -k % 4)
    return array[:, ::-1] if k >= 4 else array


def _turned(array: Any, quarters: int) -> Any:
    """`np.rot90`, of JAX's arrays as well."""
    for _ in range(quarters):
        array = array.swapaxes(0, 1)[::-1]
    return array


def restore(
    maps: Mapping[str, Any], output_maps: Mapping[str, OutputMap], k: int
) -> dict[str, Any]:
    """The maps of an image under symmetry k as those of the image.

    Args:
      maps: `{map: (H, W, C)}`, of NumPy or of JAX; those that are no output maps are left out.
      output_maps: of the representation.
      k: the symmetry, one that `check_symmetries` lets pass.
    """
    moved = {name: transform_back(maps[name], k) for name in output_maps}
    for name, each in output_maps.items():
        if each.undo is not None:
            moved[name] = each.undo(moved[name], k)
    return moved


def check_symmetries(symmetries: Sequence[int], output_maps: Mapping[str, OutputMap]) -> None:
    """Refuses symmetries that are not some of 0..7, each once, or that maps cannot be turned by.

    Raises:
      ValueError: names the symmetries or the map, and the way out.
    """
    distinct = set(symmetries)
    if not distinct or len(distinct) < len(symmetries) or not distinct <= set(ALL):
        raise ValueError(f"symmetries {tuple(symmetries)} must be some of 0..7, each at most once")
    for name, each in output_maps.items():
        if each.kind == "directions" and each.undo is None and distinct != {0}:
            raise ValueError(
                f"map {name!r} has directions that turn with the image, but not how they turn "
                "(OutputMap.undo): it cannot be averaged over symmetries; take symmetries=(0,)"
            )


def undo_rays(distances: Any, k: int) -> Any:
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


def undo_vectors(vectors: Any, k: int) -> Any:
    """Vectors (H, W, 2) in a transformed image as vectors in the image.

    Components are horizontal (along columns) and vertical; pixels are already transformed back.
    """
    flip = np.array([-1, 1], vectors.dtype)
    for _ in range(k % 4):
        vectors = vectors[..., ::-1] * flip  # (h, v) becomes (-v, h)
    return vectors * flip if k >= 4 else vectors
