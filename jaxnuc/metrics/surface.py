"""The surfaces of instances: where they are and how much each piece of them counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxnuc.postprocess.components import binary
from jaxnuc.registry import unknown


@dataclass(frozen=True)
class Surfaces:
    """The elements of the surfaces of all instances of a label map.

    Attributes:
      ids: (n,) the instance of each element, ascending.
      points: (n, 2) float64, position (row, col) in pixels times `mpp`.
      weights: (n,) float64, the length of surface each element stands for; None: all count alike.
    """

    ids: np.ndarray
    points: np.ndarray
    weights: np.ndarray | None


def surfaces(
    instances: np.ndarray, surface: str = "pixels", mpp: float | Sequence[float] = 1.0
) -> Surfaces:
    """Finds the surfaces of all instances, sorted by instance, in one pass over the image.

    What lies beyond the image counts as outside an instance, so an instance that the border cuts
    has a surface there. The elements of a surface are

    * `"pixels"`: the pixels of the instance with a 4-neighbor outside it; each counts as one.
    * `"contour"`: the corners between pixels whose 2x2 neighborhood is neither all inside nor
      all outside. Each counts with the length of the contour in the neighborhood, as marching
      squares draws it through the mid-points between pixels: for square pixels of size 1,
      sqrt(1/2) for one or three pixels inside, 1 for two neighbors, sqrt(2) for two opposite ones.

    Args:
      instances: (H, W) integer or bool label map, 0 is background.
      surface: `"pixels"` or `"contour"`.
      mpp: size of a pixel, one number or (row, col); micrometers per pixel give positions in
        micrometers, 1 gives pixels.

    Raises:
      ValueError: the map is no label map, `surface` is unknown, or `mpp` not positive and finite.

    Example:
      >>> block = np.array([[0, 0, 0, 0], [0, 5, 5, 0], [0, 5, 5, 0]])
      >>> surfaces(block).points.tolist()
      [[1.0, 1.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]]
      >>> float(surfaces(block, "contour").weights.sum().round(3))
      6.828

    References:
      Nikolov et al., Deep learning to achieve clinically applicable segmentation of head and neck
      anatomy for radiotherapy, 2018 (surfaces weighted by their extent).
    """
    if surface not in _ELEMENTS:
        raise unknown("surface", surface, _ELEMENTS)
    binary(instances, "instances")  # refuses what is no label map
    labels = np.asarray(instances)
    size = np.asarray(mpp, np.float64)
    if size.shape not in ((), (2,)) or not np.isfinite(size).all() or (size <= 0).any():
        raise ValueError(f"mpp {mpp} is neither a positive size of a pixel nor (row, col) of it")
    size = np.broadcast_to(size, 2)

    ids, points, weights = _ELEMENTS[surface](labels, size)
    if ids.size and ids.min() < 0:
        raise ValueError(f"label map with the negative id {ids.min()}; set ignored pixels to 0")
    order = np.argsort(ids, kind="stable")
    return Surfaces(ids[order], points[order] * size, None if weights is None else weights[order])


_Elements = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def _pixels(labels: np.ndarray, size: np.ndarray) -> _Elements:
    """Id and position of each pixel with a 4-neighbor of another id."""
    edge = np.zeros(labels.shape, bool)
    edge[:1] = edge[-1:] = True
    edge[:, :1] = edge[:, -1:] = True
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    edge &= labels != 0
    positions = np.nonzero(edge)
    return labels[positions], np.column_stack(positions), None


def _contour(labels: np.ndarray, size: np.ndarray) -> _Elements:
    """Id, position and length of each instance's contour around each corner between pixels."""
    labels = np.pad(labels, 1)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    row, col = np.nonzero(down[:, 1:] | down[:, :-1] | right[:-1])
    around = np.stack([labels[row + i, col + j] for i in (0, 1) for j in (0, 1)])

    across = np.hypot(*size) / 2
    lengths = np.full(16, across)  # one pixel inside, or one outside
    lengths[[0b1100, 0b0011]] = size[1]  # the upper or the lower two: straight along the row
    lengths[[0b1010, 0b0101]] = size[0]  # the left or the right two
    lengths[[0b1001, 0b0110]] = 2 * across  # opposite pixels are cut off one by one
    found = []
    for k, ids in enumerate(around):
        same = around == ids
        new = np.flatnonzero((ids != 0) & ~same[:k].any(0))  # each id once a corner
        code = np.array([8, 4, 2, 1]) @ same[:, new]
        found.append((ids[new], np.column_stack([row[new], col[new]]), lengths[code]))
    ids, points, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return ids, points, weights


_ELEMENTS = {"pixels": _pixels, "contour": _contour}
