"""One way to read a folder and a zip, and to decode the pictures in them."""

import io
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tifffile
from PIL import Image

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")

# What tifffile decodes by itself; it reads every dtype, Pillow reads the other compressions.
_TIFFFILE_CODECS = {
    tifffile.COMPRESSION.NONE,
    tifffile.COMPRESSION.ADOBE_DEFLATE,
    tifffile.COMPRESSION.DEFLATE,
    tifffile.COMPRESSION.PACKBITS,
    tifffile.COMPRESSION.LZMA,
}


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts numbers inside of names by their value.

    >>> sorted(["a10.png", "a9.png", "a1.png"], key=natural_key)
    ['a1.png', 'a9.png', 'a10.png']
    """
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]


def is_junk(name: str) -> bool:
    """Whether a path is what operating systems leave behind: `__MACOSX`, `._x`, `.DS_Store`.

    >>> is_junk("__MACOSX/a/._1.png"), is_junk("a/.DS_Store"), is_junk("a/1.png")
    (True, True, False)
    """
    parts = PurePosixPath(name).parts
    return any(p == "__MACOSX" or p.startswith("._") or p == ".DS_Store" for p in parts)


class Files:
    """The files of a folder or of a zip, by relative path; picklable.

    A zip is opened at the first read in each process, and the handle stays behind in pickling.

    Attributes:
      path: the folder or the zip.
      names: relative paths with `/`, in natural order, without folders and junk.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._zip: tuple[int, zipfile.ZipFile] | None = None
        if self.path.is_dir():
            names = [
                Path(folder, file).relative_to(self.path).as_posix()
                for folder, _, files in os.walk(self.path)
                for file in files
            ]
        elif self.path.is_file():
            names = [n for n in self._archive().namelist() if not n.endswith("/")]
        else:
            raise FileNotFoundError(f"{self.path}: no such folder or zip file")
        self.names = sorted((n for n in names if not is_junk(n)), key=natural_key)

    def _archive(self) -> zipfile.ZipFile:
        pid = os.getpid()
        if self._zip is None or self._zip[0] != pid:
            try:
                self._zip = pid, zipfile.ZipFile(self.path)
            except zipfile.BadZipFile as error:
                raise ValueError(
                    f"{self.path}: not a readable zip file ({error}); download it again"
                ) from error
        return self._zip[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None}

    def where(self, name: str) -> str:
        """The full address of a file, for messages: `data.zip/a/1.png`."""
        return f"{self.path}/{name}"

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: the zip holds it damaged.
        """
        if self.path.is_dir():
            return (self.path / name).read_bytes()
        try:
            return self._archive().read(name)
        except KeyError:
            raise FileNotFoundError(f"{self.where(name)}: no such file in the zip") from None
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(
                f"{self.where(name)}: damaged in the zip ({error}); download it again"
            ) from error

    def array(self, name: str) -> np.ndarray:
        """Decodes a file (PNG, TIFF, JPEG, BMP, NPY) as it is: see `decode`."""
        return decode(self.read(name), self.where(name))

    def rgb(self, name: str) -> np.ndarray:
        """Decodes an image file to (H, W, 3) uint8: see `to_rgb`."""
        return to_rgb(self.array(name), self.where(name))


def decode(data: bytes, where: str) -> np.ndarray:
    """Decodes the bytes of an image or `.npy` file without converting the values.

    Args:
      data: the content of the file.
      where: its address; the suffix tells the format, and errors name it.

    Returns:
      (H, W) or (H, W, C), of the dtype in the file; a palette image gives its indices.

    Raises:
      ValueError: the file is truncated, corrupt or of another format.
    """
    suffix = PurePosixPath(where).suffix.lower()
    try:
        if suffix == ".npy":
            return np.load(io.BytesIO(data), allow_pickle=False)
        if suffix in (".tif", ".tiff"):
            with tifffile.TiffFile(io.BytesIO(data)) as tiff:
                if tiff.pages.first.compression in _TIFFFILE_CODECS:
                    return tiff.asarray()
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
    except (
        OSError,
        EOFError,
        SyntaxError,
        ValueError,
        IndexError,
        struct.error,
        zlib.error,
    ) as error:
        raise ValueError(
            f"{where}: cannot be decoded ({error}); it is truncated, corrupt or not a "
            f"{suffix or 'known'} file: fetch it again"
        ) from error


def to_rgb(array: np.ndarray, where: str) -> np.ndarray:
    """Grey, grey + alpha, RGB or RGBA to RGB; alpha is dropped, not blended.

    Args:
      array: (H, W) or (H, W, C), C in 1..4, uint8 or bool.
      where: the address of the file, for errors.

    Returns:
      (H, W, 3) uint8.

    Raises:
      ValueError: another dtype or number of channels.
    """
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8:
        raise ValueError(
            f"{where}: an image of {array.dtype}, but uint8 is expected; rescale it to 0-255"
        )
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not 1 <= array.shape[-1] <= 4:
        raise ValueError(f"{where}: an image of shape {array.shape}; expected (H, W[, 1 to 4])")
    if array.shape[-1] in (2, 4):
        array = array[..., :-1]
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
