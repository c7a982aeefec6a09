"""Marker-controlled watershed of a relief that floods only where two markers meet."""

from collections.abc import Iterator

import numpy as np

from jaxnuc.postprocess._runs import ranked
from jaxnuc.postprocess.regions import regions

_TILE = 128  # pixels; the queue of so much fits the processor's cache, that of an image does not


def watershed_by_part(relief: np.ndarray, markers: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Grows markers over the parts of a mask, lowest relief first, along edges of pixels.

    The same as scikit-image's watershed of the whole image, at a fraction of its cost: no path
    leads from one part to another, so that a part with one marker is that marker's without
    flooding, and the others can be flooded a few at a time. Pixels of equal relief that two
    markers reach at once may go to the other of the two.

    Args:
      relief: (H, W) float, flooded from its lowest pixels.
      markers: (H, W) int32 label map; what lies outside the parts is ignored.
      parts: (H, W) int32 label map of the 4-connected components of the mask, ids 1..n.

    Returns:
      (H, W) int32, ids 1..n in the order of the markers' ids; 0 outside the parts and in parts
      without a marker.
    """
    from skimage.segmentation import watershed  # takes half a second to import

    pixels = np.flatnonzero(np.logical_and(markers, parts))
    _, seeds = ranked(markers.ravel()[pixels])
    owner = parts.ravel()[pixels]

    sole = np.zeros(int(parts.max(initial=0)) + 1, np.int32)
    sole[owner] = seeds
    contested = np.zeros(len(sole), bool)
    contested[owner[sole[owner] != seeds]] = True
    sole[contested] = 0
    instances = sole[parts]

    flat = instances.ravel()
    flat[pixels] = seeds
    for window, inside in _windows(parts, np.flatnonzero(contested)):
        flooded = watershed(relief[window], instances[window] * inside, mask=inside)
        np.copyto(instances[window], flooded, where=inside)
    return instances


def _windows(
    parts: np.ndarray, chosen: np.ndarray
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Boxes of the image, and masks of the chosen parts in each, so that each part is in one.

    A part goes with others of its size that begin in the same tile, the tile being as large as
    the part or larger: no pixel is in more than four boxes of a size.
    """
    if not chosen.size:
        return
    boxes = regions(parts).boxes[chosen - 1]
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    size = np.maximum(_TILE, 2 ** np.ceil(np.log2(sides)).astype(np.int64))
    tiles = np.column_stack([size, boxes[:, :2] // size[:, None]])
    _, group = np.unique(tiles, axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    group_of = np.zeros(int(parts.max()) + 1, np.int32)
    group_of[chosen] = group + 1
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        top, left = boxes[members, :2].min(axis=0)
        bottom, right = boxes[members, 2:].max(axis=0)
        window = slice(top, bottom), slice(left, right)
        yield window, group_of[parts[window]] == group[members[0]] + 1
