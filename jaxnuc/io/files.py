"""Folders and zips, read in one way."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

from jaxnuc.io.image_files import decode, decode_image, is_junk, natural_key
from jaxnuc.io.rgb import to_rgb

LARGEST = 2**30  # bytes of a file in a zip that is read as a whole: any image, no bomb


class Files:
    """The files of a folder or of a zip, by relative path; picklable.

    A zip is opened at the first read in each process, and the handle stays behind in pickling.
    Nothing is unpacked to the disk. In a folder, links to files and folders elsewhere are followed,
    but for a link to a folder above itself; pipes and devices are left out.

    Attributes:
      path: the folder or the zip.
      names: relative paths with `/`, in natural order, without folders and junk.

    Raises:
      FileNotFoundError: no such folder or file.
      ValueError: no readable zip; one with a path that leads out of it, or with different files of
        the same name, of which programs take the first or the last.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._zip: tuple[int, zipfile.ZipFile] | None = None
        # Of a zip: what a file is called in it, where that is not its name here.
        self._stored: dict[str, str] = {}
        if self.path.is_dir():
            names = list(_listed(self.path, "", frozenset()))
        elif self.path.is_file():
            names = self._index()
        else:
            raise FileNotFoundError(f"{self.path}: no such folder or zip file")
        self.names = sorted((n for n in names if not is_junk(n)), key=natural_key)

    def _index(self) -> list[str]:
        """The names of the files in the zip."""
        found: dict[str, zipfile.ZipInfo] = {}
        for info in self._archive().infolist():
            # Some programs of Windows write its separator.
            name = PurePosixPath(info.filename.replace("\\", "/")).as_posix()
            if name.startswith("/") or ".." in name.split("/") or PureWindowsPath(name).drive:
                raise ValueError(
                    f"{self.where(info.filename)}: a path that leads out of the zip; it is damaged "
                    "or meant to do harm: fetch it from its publisher"
                )
            if info.filename.endswith(("/", "\\")):
                continue
            other = found.setdefault(name, info)
            if (other.CRC, other.file_size) != (info.CRC, info.file_size):
                raise ValueError(
                    f"{self.where(name)}: twice in the zip, with different contents; unzip "
                    f"{self.path.name}, keep the right one, and give the folder"
                )
            if name != info.filename:
                self._stored[name] = info.filename
        return list(found)

    def _archive(self) -> zipfile.ZipFile:
        pid = os.getpid()
        if self._zip is None or self._zip[0] != pid:
            try:
                self._zip = pid, zipfile.ZipFile(self.path)
            except OSError:
                raise
            except Exception as error:  # a damaged directory: errors of many types
                raise ValueError(
                    f"{self.path}: not a readable zip file ({error!s:.200}); download it again"
                ) from error
        return self._zip[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None}

    def where(self, name: str) -> str:
        """The full address of a file, for messages: `data.zip/a/1.png`."""
        return f"{self.path}/{name}"

    def member(self, name: str) -> zipfile.ZipInfo:
        """The entry of a file in the zip.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: it is encrypted.
        """
        try:
            info = self._archive().getinfo(self._stored.get(name, name))
        except KeyError:
            raise FileNotFoundError(f"{self.where(name)}: no such file in the zip") from None
        if info.flag_bits & 1:
            raise ValueError(
                f"{self.where(name)}: encrypted; unzip {self.path.name} with its password, and "
                "give the folder"
            )
        return info

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: the zip holds it damaged, encrypted, in a compression that is not known, or
            larger than 1 GiB.
        """
        if self.path.is_dir():
            return (self.path / name).read_bytes()
        info = self.member(name)
        if info.file_size > LARGEST:
            raise ValueError(
                f"{self.where(name)}: {info.file_size} bytes when unpacked, more than the "
                f"{LARGEST} that are read; unzip {self.path.name}, and give the folder"
            )
        try:
            return self._archive().read(info)
        except NotImplementedError as error:
            raise ValueError(
                f"{self.where(name)}: {error}; unzip {self.path.name}, and give the folder"
            ) from error
        except MemoryError:
            raise
        except Exception as error:  # a damaged stream: errors of many types
            raise ValueError(
                f"{self.where(name)}: damaged in the zip ({error!s:.200}); download it again"
            ) from error


class File(NamedTuple):
    """A file of a folder or of a zip, by its relative path in it."""

    files: Files
    name: str

    @property
    def where(self) -> str:
        """The full address, for messages."""
        return self.files.where(self.name)

    @property
    def suffix(self) -> str:
        """The end of the name in small letters, such as `".png"`."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def stem(self) -> str:
        """The name without folders and suffix."""
        return PurePosixPath(self.name).stem

    def read(self) -> bytes:
        """The content: see `Files.read`."""
        return self.files.read(self.name)

    def array(self) -> np.ndarray:
        """The numbers in an image or NPY file as they are: see `decode`."""
        return decode(self.read(), self.where)

    def rgb(self, on_white: bool = False) -> np.ndarray:
        """An image file as (H, W, 3) uint8: see `decode_image` and `to_rgb`.

        The alpha of public data sets has no meaning and is dropped, unless `on_white` is asked for.
        """
        array = decode_image(self.read(), self.where, transparent=on_white)
        if array.ndim == 3 and array.shape[-1] in (2, 4) and not on_white:
            array = array[..., :-1]
        return to_rgb(array, self.where)


def _listed(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """The files below a folder; `above` are the folders from the root to it."""
    status = folder.stat()
    here = status.st_dev, status.st_ino
    if here in above:  # a link to a folder above: it would be walked for ever
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            # A link may lead nowhere, or to itself, at which `entry.is_dir` fails.
            if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                yield from _listed(Path(entry.path), f"{prefix}{entry.name}/", above | {here})
            elif os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file():
                yield prefix + entry.name
