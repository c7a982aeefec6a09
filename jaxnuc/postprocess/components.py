"""Connected components of a mask as a label map."""

import numpy as np
from scipy import ndimage


def label_components(mask: np.ndarray, min_size: int = 0, connectivity: int = 2) -> np.ndarray:
    """Gives each connected component of a mask an id.

    Args:
      mask: (H, W) bool or integer; every non-zero pixel is foreground.
      min_size: components with fewer pixels are removed; one of exactly this size stays.
      connectivity: 1, neighbours share an edge; 2, neighbours share an edge or a corner.

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
    labels = np.empty(mask.shape, np.int32)
    ndimage.label(mask, ndimage.generate_binary_structure(2, connectivity), output=labels)
    return remove_small(labels, min_size)


def remove_small(instances: np.ndarray, min_size: int) -> np.ndarray:
    """Removes instances with fewer pixels than `min_size`; one of exactly this size stays.

    Args:
      instances: (H, W) label map with ids 1..n.
      min_size: in pixels.

    Returns:
      (H, W) int32 label map; the ids that stay are numbered anew from 1, in the same order.
    """
    if min_size <= 1:
        return instances
    kept = np.bincount(instances.ravel()) >= min_size
    kept[:1] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[instances]


def binary(array: np.ndarray, name: str) -> np.ndarray:
    """The foreground of an (H, W) bool or integer array as bool.

    Args:
      array: (H, W); every non-zero pixel is foreground.
      name: of the argument, for the error.

    Returns:
      (H, W) bool.

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
    return array != 0
