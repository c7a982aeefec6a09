"""Images beside label images in named folders, at any depth."""

from collections.abc import Hashable, Mapping
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np

from jaxnuc.io.archive import Files
from jaxnuc.io.image_files import IMAGE_SUFFIXES

Key = TypeVar("Key", bound=Hashable)


def in_folder(
    files: Files, folder: str, within: str = "", outside: str = ""
) -> dict[tuple[str, str], str]:
    """The image files whose folder has a name, by the folder above it and their stem.

    Args:
      files: of the data set.
      folder: name of the folder, or names joined by `/`, in which the files lie.
      within: name of a folder that must be above it, if given.
      outside: name of a folder that must not be above it, if given.

    Returns:
      File names by (name of the folder above `folder`, stem), in natural order.

    Raises:
      ValueError: two files for one key; the message names both.
    """
    depth = len(PurePosixPath(folder).parts)
    found: dict[tuple[str, str], str] = {}
    for name in files.names:
        path = PurePosixPath(name)
        above = path.parts[: -depth - 1]
        if (
            path.suffix.lower() in IMAGE_SUFFIXES
            and path.parts[-depth - 1 : -1] == PurePosixPath(folder).parts
            and (not within or within in above)
            and (not outside or outside not in above)
        ):
            key = above[-1] if above else files.path.stem, path.stem
            if key in found:
                raise ValueError(
                    f"{files.path}: {found[key]} and {name} have the same stem; keep one of them"
                )
            found[key] = name
    return found


def same_stems(
    files: Files, images: Mapping[Key, str], labels: Mapping[Key, str], labels_in: str
) -> None:
    """Refuses images without a label image and label images without an image.

    Args:
      files: of the data set.
      images: file names by what must match.
      labels: file names by the same.
      labels_in: the folder of the label images, for the error.

    Raises:
      ValueError: names the first file that stands alone and says how many there are.
    """
    for have, other, missing in (
        (images, labels, f"no file of this stem in {labels_in!r}"),
        (labels, images, "no image of this stem"),
    ):
        alone = [file for key, file in have.items() if key not in other]
        if alone:
            raise ValueError(
                f"{files.where(alone[0])}: {missing} ({len(alone)} such files); add it or remove "
                "the file"
            )


def read_labels(files: Files, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reads a label image: one integer id per pixel.

    Args:
      files: of the data set.
      name: of the label image.
      shape: height and width of its image.

    Returns:
      (H, W) int32, 0 is background.

    Raises:
      ValueError: a damaged file, a JPEG, another size, channels, or values that are no ids.
    """
    labels, where = read_lossless(files, name), files.where(name)
    if labels.ndim != 2:
        raise ValueError(f"{where}: labels of shape {labels.shape}, expected one id per pixel")
    check_size("labels", labels, shape, where)
    return as_ids(labels, where)


def read_lossless(files: Files, name: str) -> np.ndarray:
    """The numbers in an image file, see `Files.array`; ValueError for a JPEG, which blurs them."""
    if PurePosixPath(name).suffix.lower() in (".jpg", ".jpeg"):
        raise ValueError(f"{files.where(name)}: a JPEG, which blurs labels; fetch lossless ones")
    return files.array(name)


def check_size(
    what: str, array: np.ndarray, shape: tuple[int, ...], where: str, image: str = ""
) -> None:
    """Refuses an annotation of another size than its image.

    Args:
      what: it is, for the error, such as `"labels"`.
      array: (H, W).
      shape: height and width of the image.
      where: the address of the annotation's file.
      image: the name of the image's file, where it does not follow from the annotation's.

    Raises:
      ValueError: the sizes differ.
    """
    if array.shape != shape:
        raise ValueError(
            f"{where}: {what} of {array.shape} pixels for an image of {shape}"
            f"{image and f' ({image})'}; they do not belong together: fetch both again"
        )


def as_ids(labels: np.ndarray, where: str) -> np.ndarray:
    """Checks that numbers are ids, whole and not negative, and makes them int32."""
    if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():  # True for NaN
        raise ValueError(f"{where}: fractions among the labels, expected whole numbers")
    if labels.dtype.kind not in "biuf":
        raise ValueError(f"{where}: labels of {labels.dtype}, expected whole numbers")
    low, high = labels.min(initial=0), labels.max(initial=0)
    if low < 0 or high > np.iinfo(np.int32).max:
        raise ValueError(f"{where}: ids in {low} .. {high}, expected 0 .. 2**31 - 1")
    return labels.astype(np.int32)
