"""Label arrays as data sets hold them: checked, and made the maps of a `Sample`."""

import io

import numpy as np

from jaxnuc.data.sources._label_images import as_ids
from jaxnuc.io.archive import Files
from jaxnuc.postprocess import label_components, regions, relabel


def instance_map(array: np.ndarray, where: str) -> np.ndarray:
    """A map of nucleus ids, which MATLAB stores as floats.

    Args:
      array: (H, W) integers, bools or floats without fraction, 0 is background.
      where: the address of the file, for errors.

    Returns:
      (H, W) int32, the same numbers.

    Raises:
      ValueError: another shape or dtype, fractions, or numbers outside 0 .. 2**31 - 1.
    """
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{where}: a label map of shape {array.shape}; expected (H, W)")
    return as_ids(array, where)


def check_classes(instances: np.ndarray, classes: np.ndarray, where: str) -> None:
    """Refuses a class map that does not give every nucleus, and nothing else, one class.

    Args:
      instances: (H, W) int32, 0 is background.
      classes: (H, W) int32, 0 is background.
      where: the address of the file, for errors.

    Raises:
      ValueError: sizes differ, the maps have other backgrounds, or a nucleus has two classes.
    """
    if classes.shape != instances.shape:
        raise ValueError(
            f"{where}: a class map of {classes.shape} pixels for nuclei of {instances.shape}"
        )
    differing = np.count_nonzero((instances > 0) != (classes > 0))
    if differing:
        raise ValueError(
            f"{where}: {differing} pixels have a nucleus and no class, or a class and no nucleus"
        )
    ranks = relabel(instances)  # dense, so that one huge id costs no huge table
    table = np.zeros(int(ranks.max()) + 1, np.int32)
    table[ranks] = classes
    torn = table[ranks] != classes
    if torn.any():
        of = int(instances[torn][0])
        both = np.unique(classes[instances == of]).tolist()
        raise ValueError(f"{where}: nucleus {of} has pixels of several classes, {both}")


def foreground(array: np.ndarray, where: str) -> np.ndarray:
    """The pixels of a mask image, (H, W) or (H, W, C), that are not black; alpha does not count.

    Returns:
      (H, W) bool.

    Raises:
      ValueError: another shape.
    """
    if array.ndim == 3 and 1 <= array.shape[-1] <= 4:
        colours = array.shape[-1] - (array.shape[-1] in (2, 4))
        array = np.asarray(array[..., :colours].any(axis=-1))
    if array.ndim != 2:
        raise ValueError(f"{where}: a mask of shape {array.shape}; expected (H, W[, 1 to 4])")
    return array != 0


def equal_components(labels: np.ndarray, connectivity: int = 2) -> np.ndarray:
    """Gives each connected part of equal labels an id.

    The same nuclei come out of a mask, of ids, and of a few labels used again and again.

    Args:
      labels: (H, W) integer, 0 is background.
      connectivity: 1, neighbours share an edge; 2, an edge or a corner.

    Returns:
      (H, W) int32, ids 1..n by label, then in raster order.

    Example:
      >>> equal_components(np.array([[7, 7, 4, 0, 4]]))
      array([[3, 3, 1, 0, 2]], dtype=int32)
    """
    parts, n = np.zeros(labels.shape, np.int32), 0
    found = regions(labels)
    for label, (top, left, bottom, right) in zip(found.ids, found.boxes, strict=True):
        box = slice(top, bottom), slice(left, right)
        own = label_components(labels[box] == label, connectivity=connectivity)
        np.copyto(parts[box], own + n, where=own > 0)
        n += int(own.max())
    return parts


def read_npz(files: Files, name: str, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Reads arrays of an `.npz` file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, or lacks an array; the message lists those there are.
    """
    where, data = files.where(name), io.BytesIO(files.read(name))
    try:
        with np.load(data, allow_pickle=False) as arrays:
            there = list(arrays)
            found = {key: arrays[key] for key in keys if key in there}
    except Exception as error:  # a damaged zip, header or stream: errors of many types
        raise ValueError(
            f"{where}: cannot be read as npz ({error!s:.200}); fetch it again"
        ) from error
    missing = [key for key in keys if key not in found]
    if missing:
        raise ValueError(
            f"{where}: no array {', '.join(map(repr, missing))} in it; there are: "
            f"{', '.join(there) or 'none'}"
        )
    return found
