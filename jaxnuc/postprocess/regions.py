"""Area, box, centroid, class and holes of every instance of a label map.

Label maps are (H, W) integer or bool, 0 is background; any ids, gaps allowed. Of another shape,
with floats or a negative id they raise a ValueError.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.postprocess._runs import bounds, ranked, runs
from jaxnuc.postprocess.checks import label_map, same_size
from jaxnuc.postprocess.components import label_components


def disc_diameter(area: Any) -> Any:
    """The diameter of the disc of an area, a number or an array, in pixels."""
    return 2 * np.sqrt(area / np.pi)


@dataclass(frozen=True)
class Regions:
    """The instances of a label map, in ascending order of their ids.

    Attributes:
      ids: (N,) ids without the background, in the map's dtype.
      areas: (N,) int64, pixels.
      boxes: (N, 4) int64, half-open: row_min, col_min, row_max, col_max.
      centroids: (N, 2) float64, mean (row, col) of the pixels.
    """

    ids: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    centroids: np.ndarray


def regions(instances: np.ndarray) -> Regions:
    """Measures every instance, connected or not, in one pass over the map.

    Example:
      >>> found = regions(np.array([[7, 7, 0], [0, 7, 2]]))
      >>> found.ids, found.areas
      (array([2, 7]), array([1, 3]))
      >>> found.boxes.tolist(), found.centroids[0].tolist()
      ([[1, 2, 2, 3], [0, 0, 2, 2]], [1.0, 2.0])
    """
    instances = label_map(instances, "instances")
    height, width = instances.shape
    found = runs(instances)
    n = len(found.ids)

    inside = np.flatnonzero(found.ranks)
    owner, length = found.ranks[inside] - 1, found.lengths[inside]
    row, start = np.divmod(found.starts[inside], max(width, 1))
    boxes = np.empty((n, 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = (height, width), 0
    for column, bound, values in [
        (0, np.minimum, row),
        (1, np.minimum, start),
        (2, np.maximum, row + 1),
        (3, np.maximum, start + length),
    ]:
        bound.at(boxes[:, column], owner, values)

    areas = found.areas()
    middle = start + (length - 1) / 2
    sums = [np.bincount(owner, length * at, minlength=n) for at in (row, middle)]
    centroids = np.stack(sums, axis=1) / areas[:, None]
    return Regions(found.ids, areas, boxes, centroids)


def class_votes(
    instances: np.ndarray, class_map: np.ndarray, n_classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The class of each instance by majority of its pixels.

    Background (class 0) is chosen only where an instance has no pixel of another class; among
    classes with equally many pixels the lowest is chosen.

    Args:
      instances: (H, W) integer or bool label map, 0 is background; any ids, gaps allowed.
      class_map: (H, W) integer, 0 is background.
      n_classes: number of classes with the background; where given, the map is checked.

    Returns:
      (N,) int64 classes and (N,) float64 shares in (0, 1] of the instance's pixels, background
      pixels counted, that are of this class; both in ascending order of the ids.

    Raises:
      ValueError: the maps are not (H, W) of one shape, hold floats or negative numbers, or the
        class map holds a class that is not below `n_classes`.

    Example:
      >>> class_votes(np.array([[3, 3, 3, 8]]), np.array([[0, 0, 2, 0]]))
      (array([2, 0]), array([0.33333333, 1.        ]))

    References:
      HoVer-Net's post-processing.
    """
    instances, class_map = label_map(instances, "instances"), label_map(class_map, "class_map")
    same_size(instances, class_map, "instances", "class_map")
    starts, lengths = bounds(instances, class_map)
    classes = class_map.ravel()[starts]
    if n_classes is not None and classes.max(initial=0) >= n_classes:
        raise ValueError(
            f"class_map holds class {classes.max()}, n_classes is {n_classes} with the background; "
            "classes are 0..n_classes - 1"
        )
    ids, owner = ranked(instances.ravel()[starts])
    known, column = ranked(classes)  # only classes that occur, so that any numbers may be used
    # Only pairs that occur: of many instances and many classes a table might fit no memory.
    pairs, place = ranked(owner * (len(known) + 1) + column)
    counts = np.bincount(place, lengths, minlength=1)[1:]
    owners, columns = np.divmod(pairs, len(known) + 1)
    order = np.lexsort((columns, -counts, columns == 0, owners))
    best = order[np.searchsorted(owners, np.arange(1, len(ids) + 1))]
    chosen = np.concatenate([[0], known]).astype(np.int64)[columns[best]]
    areas = np.bincount(owners, counts, minlength=len(ids) + 1)[1:]
    return chosen, counts[best] / areas


def relabel(instances: np.ndarray) -> np.ndarray:
    """Renumbers the instances from 1, in the order of their ids: a new int32 label map.

    Example:
      >>> relabel(np.array([[9, 9, 0, 4]]))
      array([[2, 2, 0, 1]], dtype=int32)
    """
    instances = label_map(instances, "instances")
    found = runs(instances)
    return found.paint(np.arange(1, len(found.ids) + 1, dtype=np.int32), instances.shape)


def fill_holes(instances: np.ndarray) -> np.ndarray:
    """Fills the holes of every instance.

    A hole is a 4-connected part of the background that touches neither the image border nor any
    instance but one. Background between an instance and another one inside it, or enclosed by
    several instances together, is no hole.

    The result is a new array with the same ids; bool comes back as uint8.

    Example:
      >>> fill_holes(np.array([[3, 3, 3, 4], [3, 0, 3, 0], [3, 3, 3, 4]]))
      array([[3, 3, 3, 4],
             [3, 3, 3, 0],
             [3, 3, 3, 4]])
    """
    filled = np.array(label_map(instances, "instances"), order="C")
    if min(filled.shape) < 3:
        return filled
    parts = label_components(filled == 0, connectivity=1)
    enclosed = np.ones(parts.max() + 1, bool)
    enclosed[0] = False
    for side in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        enclosed[side] = False
    if not enclosed.any():
        return filled

    flat, width = filled.ravel(), filled.shape[1]
    pixels = np.flatnonzero(np.take(enclosed, parts))
    part = parts.ravel()[pixels]
    lowest = np.full(len(enclosed), np.iinfo(flat.dtype).max, flat.dtype)
    highest = np.zeros(len(enclosed), flat.dtype)
    for offset in (-width, -1, 1, width):  # no enclosed pixel is at the border
        neighbor = flat[pixels + offset]
        edge = neighbor > 0
        np.minimum.at(lowest, part[edge], neighbor[edge])
        np.maximum.at(highest, part[edge], neighbor[edge])
    flat[pixels] = np.where(lowest == highest, highest, 0)[part]
    return filled
