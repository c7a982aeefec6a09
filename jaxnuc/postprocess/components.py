"""Connected components of a mask as a label map."""

import cc3d
import numpy as np

from jaxnuc.postprocess._runs import runs
from jaxnuc.postprocess.checks import label_map


def label_components(mask: np.ndarray, min_size: int = 0, connectivity: int = 2) -> np.ndarray:
    """Gives each connected component of a mask an id.

    Args:
      mask: (H, W) bool or integer; every non-zero pixel is foreground.
      min_size: components with fewer pixels are removed; one of exactly this size stays.
      connectivity: 1, neighbors share an edge; 2, neighbors share an edge or a corner.

    Returns:
      (H, W) int32, 0 is background, ids 1..n in raster order of each component's first pixel.

    Raises:
      ValueError: the mask is not (H, W) or holds floats, or connectivity is neither 1 nor 2.

    Example:
      >>> label_components(np.array([[1, 0, 1], [0, 0, 1]]))
      array([[1, 0, 2],
             [0, 0, 2]], dtype=int32)
      >>> label_components(np.array([[1, 0, 1], [0, 0, 1]]), min_size=2)
      array([[0, 0, 1],
             [0, 0, 1]], dtype=int32)
    """
    mask = binary(mask, "mask")
    if connectivity not in (1, 2):
        raise ValueError(f"connectivity {connectivity} is neither 1 (edges) nor 2 (corners too)")
    if connectivity == 1:
        labels = cc3d.connected_components(mask, connectivity=4, out_dtype=np.uint32)
    else:
        # cc3d's 8-connected labeling works in blocks of 2x2 pixels: its ids are not in raster
        # order, and where a side is odd it can label background (4.1.1). A volume of one slice, of
        # which the neighbors share an edge, is the same without either.
        labels = cc3d.connected_components(mask[None], connectivity=18, out_dtype=np.uint32)[0]
    labels = labels.view(np.int32)
    return remove_small(labels, min_size) if min_size > 1 else labels


def remove_small(instances: np.ndarray, min_size: int) -> np.ndarray:
    """Removes instances with fewer pixels than `min_size`; one of exactly this size stays.

    scikit-image 0.26 differs: its `remove_small_objects` also removes objects of exactly the size.

    Args:
      instances: (H, W) integer or bool label map, 0 is background; any ids, gaps allowed.
      min_size: in pixels.

    Returns:
      (H, W) int32 label map; the remaining ids are renumbered from 1, in the same order.

    Raises:
      ValueError: the map is not (H, W), holds floats or a negative id.

    Example:
      >>> remove_small(np.array([[9, 9, 0, 4, 0, 7, 7]]), min_size=2)
      array([[2, 2, 0, 0, 0, 1, 1]], dtype=int32)
    """
    instances = label_map(instances, "instances")
    found = runs(instances)
    kept = found.areas() >= min_size
    return found.paint(np.where(kept, np.cumsum(kept), 0).astype(np.int32), instances.shape)


def binary(array: np.ndarray, name: str) -> np.ndarray:
    """The foreground of an (H, W) bool or integer array as bool.

    Args:
      array: (H, W); every non-zero pixel is foreground.
      name: of the argument, for the error.

    Returns:
      (H, W) bool, a new array in C order.

    Raises:
      ValueError: the array is not (H, W), or holds floats.
    """
    array = np.asarray(array)
    if array.ndim != 2:
        raise ValueError(f"{name} must be (H, W), got shape {array.shape}")
    if array.dtype != bool and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"{name} must be bool or integer, got {array.dtype}; threshold probabilities first"
        )
    return np.array(array, bool, order="C")
