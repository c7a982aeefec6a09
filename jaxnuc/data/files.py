"""One way to read a folder and a zip."""

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.image_files import decode, is_junk, natural_key


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
