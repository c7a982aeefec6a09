"""The images of files, folders and patterns."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxnuc.io.image_files import IMAGE_SUFFIXES, is_junk, natural_key
from jaxnuc.io.microscopy import MICROSCOPY_SUFFIXES
from jaxnuc.io.opening import SLIDE_SUFFIXES
from jaxnuc.io.slides import is_dicom
from jaxnuc.io.zarr import is_zarr

_SUFFIXES = tuple(sorted({*IMAGE_SUFFIXES, *SLIDE_SUFFIXES, *MICROSCOPY_SUFFIXES, ".lsm", ".npy"}))


def image_name(path: str | os.PathLike[str]) -> str:
    """The name that the outputs of an image bear: that of the file, without its suffix.

    Bytes that are not UTF-8 become U+FFFD, or nothing could be written under the name.

    >>> image_name("slides/a.1.svs"), image_name("b.ome.tif"), image_name("c.OME.zarr")
    ('a.1', 'b', 'c')
    """
    stem = os.fsencode(Path(path).stem).decode(errors="replace")
    return stem[:-4] if stem.lower().endswith(".ome") and len(stem) > 4 else stem


def plain_name(text: str) -> str:
    """Any text as a part of a file's name: whatever is no letter, digit, `_`, `.` or `-` is `_`.

    >>> plain_name("both at once, 300 steps/a")
    'both_at_once_300_steps_a'
    """
    return re.sub(r"[^\w.-]+", "_", text)


def is_image_name(path: str | os.PathLike[str]) -> bool:
    """Whether a path, which need not be there, has the suffix of an image.

    >>> is_image_name("absent.ome.TIF"), is_image_name("my_package.my_set")
    (True, False)
    """
    return Path(path).suffix.lower() in (*_SUFFIXES, ".zarr", ".dcm")


def list_images(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[Path]:
    """Lists the images of files, folders and patterns.

    Args:
      inputs: one or several, each an image file, taken whatever its suffix; a folder, of which the
        images directly inside are taken, by suffix; a folder that is one image, of Zarr or of the
        DICOM files of a slide; or a pattern as of a shell (`*`, `?`, `[ab]`, `**`), of which the
        files of a known suffix and the folders that are images are taken.

    Returns:
      Their paths, in the order of the inputs and by name within each, numbers by value; each image
      once.

    Raises:
      FileNotFoundError: one of the inputs finds no image.
      ValueError: two images have one name, by which their outputs would be named.
    """
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    found: dict[Path, Path] = {}
    for each in inputs:
        for path in _found(each):
            # Two links to one file are two images, each with a name of its own.
            found.setdefault(Path(os.path.abspath(path)), path)
    named: dict[str, Path] = {}
    for path in found.values():
        other = named.setdefault(image_name(path), path)
        if other is not path:
            raise ValueError(
                f"{other} and {path} would both give outputs named {image_name(path)!r}; rename "
                "one, or do them one after the other into two folders"
            )
    return list(found.values())


def _found(source: str | os.PathLike[str]) -> list[Path]:
    path = Path(source)
    if path.is_file() or is_folder_image(path):
        return [path]
    paths: Iterator[Path]
    if path.is_dir():
        paths, missing = path.iterdir(), "no image in this folder"
    elif glob.has_magic(str(source)):
        paths, missing = map(Path, glob.iglob(str(path), recursive=True)), "no image is named so"
    else:
        raise FileNotFoundError(f"{path}: no such file or folder")
    images = [each for each in paths if _is_image(each)]
    if not images:
        raise FileNotFoundError(f"{path}: {missing}; known are {', '.join(_SUFFIXES)}, Zarr")
    return sorted(images, key=lambda image: (natural_key(str(image)), str(image)))


def _is_image(path: Path) -> bool:
    known = path.suffix.lower() in _SUFFIXES if path.is_file() else is_folder_image(path)
    return known and not is_junk(path.name)


def is_folder_image(path: Path) -> bool:
    """Whether a folder is one image, of Zarr or of the DICOM files of a slide."""
    return path.is_dir() and (is_zarr(path) or is_dicom(path))
