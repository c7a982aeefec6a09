"""Annotations as data sets hold them: checked, and made the maps of a `Sample`."""

from collections.abc import Sequence

import numpy as np

from jaxnuc.io.files import File
from jaxnuc.io.mat import read_mat
from jaxnuc.io.polygons import Painted, Shape, rasterize
from jaxnuc.postprocess import label_components, regions, relabel


def instance_map(array: np.ndarray, where: str) -> np.ndarray:
    """A map of nucleus ids, (H, W) int32, of integers, bools or the floats that MATLAB stores.

    Raises:
      ValueError: another shape or dtype, fractions, or numbers outside 0 .. 2**31 - 1.
    """
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"{where}: labels of shape {array.shape}, expected (H, W): one id per pixel"
        )
    if array.dtype.kind == "f" and (array != np.floor(array)).any():  # True for NaN
        raise ValueError(f"{where}: fractions among the labels, expected whole numbers")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{where}: labels of {array.dtype}, expected whole numbers")
    low, high = array.min(), array.max()
    if low < 0 or high > np.iinfo(np.int32).max:
        raise ValueError(f"{where}: ids in {low} .. {high}, expected 0 .. 2**31 - 1")
    return array.astype(np.int32)


def lossless(file: File) -> np.ndarray:
    """The numbers in an image file; ValueError for a JPEG, which blurs them."""
    if file.suffix in (".jpg", ".jpeg"):
        raise ValueError(f"{file.where}: a JPEG, which blurs labels; fetch lossless ones")
    return file.array()


def label_image(file: File) -> np.ndarray:
    """The instances (H, W) int32 in a lossless image file."""
    return instance_map(lossless(file), file.where)


def mat_instances(file: File) -> np.ndarray:
    """The instances (H, W) int32 in a MAT file as HoVer-Net's authors distribute them."""
    return instance_map(read_mat(file.read(), file.where, ["inst_map"])["inst_map"], file.where)


def check_size(
    what: str, array: np.ndarray, shape: tuple[int, ...], where: str, image: str = ""
) -> None:
    """Refuses, with a ValueError, an annotation of another size than its image.

    `what` it is, such as `"labels"`, `where` its file is, and the name of the image's file, if it
    does not follow from that, are for the error.
    """
    if array.shape != shape:
        raise ValueError(
            f"{where}: {what} of {array.shape} pixels for an image of {shape}"
            f"{image and f' ({image})'}; they do not belong together: fetch both again"
        )


def paint(
    polygons: Sequence[Shape],
    shape: tuple[int, int],
    convention: str,
    where: str,
    min_vertices: int = 3,
) -> Painted:
    """`jaxnuc.io.polygons.rasterize`; a ValueError where all regions lie outside of the image."""
    painted = rasterize(polygons, shape, convention, min_vertices)
    counts = painted.counts
    if counts["regions"] > counts["skipped_regions"] and not painted.instances.any():
        raise ValueError(
            f"{where}: none of its {counts['regions']} regions lies in the image of {shape} "
            "pixels; it belongs to another image"
        )
    return painted


def check_classes(instances: np.ndarray, classes: np.ndarray, where: str) -> None:
    """Refuses class maps that do not give every nucleus, and nothing else, one class.

    Raises:
      ValueError: sizes differ, the maps have other backgrounds, or a nucleus has two classes.
    """
    if classes.shape != instances.shape:
        raise ValueError(
            f"{where}: a class map of {classes.shape} pixels for nuclei of {instances.shape}"
        )
    contradicting = np.count_nonzero((instances > 0) != (classes > 0))
    if contradicting:
        raise ValueError(
            f"{where}: {contradicting} pixels have a nucleus and no class, or a class and no "
            "nucleus"
        )
    ranks = relabel(instances)  # dense, so that one huge id costs no huge table
    table = np.zeros(int(ranks.max()) + 1, np.int32)
    table[ranks] = classes
    differing = table[ranks] != classes
    if differing.any():
        nucleus = int(instances[differing][0])
        several = np.unique(classes[instances == nucleus]).tolist()
        raise ValueError(f"{where}: nucleus {nucleus} has pixels of several classes, {several}")


def foreground(array: np.ndarray, where: str) -> np.ndarray:
    """The pixels (H, W) of a mask, (H, W[, 1 to 4]), that are not black; alpha does not count."""
    if array.ndim == 3 and 1 <= array.shape[-1] <= 4:
        colors = array.shape[-1] - (array.shape[-1] in (2, 4))
        array = np.asarray(array[..., :colors].any(axis=-1))
    if array.ndim != 2:
        raise ValueError(f"{where}: a mask of shape {array.shape}; expected (H, W[, 1 to 4])")
    return array != 0


def equal_components(labels: np.ndarray, connectivity: int = 2) -> np.ndarray:
    """Gives each connected part of equal labels (H, W) an id, 1..n by label, then in raster order.

    The same nuclei come out of a mask, of ids, and of a few labels used again and again. With
    `connectivity` 1 neighbors share an edge, with 2 an edge or a corner.

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


def check_connectivity(connectivity: int) -> None:
    """Refuses, with a ValueError, what is neither 1 nor 2."""
    if connectivity not in (1, 2):
        raise ValueError(f"connectivity {connectivity} is neither 1 (edges) nor 2 (corners too)")
