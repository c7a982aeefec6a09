"""Large `.npy` files, read at random without loading them."""

import math
import struct
import zipfile
from typing import Any

import numpy as np

from jaxnuc.io.files import File
from jaxnuc.io.npy import npy_header

_LOCAL_HEADER = 30  # bytes of a zip's local file header before the name and the extra field


class MappedArray:
    """An array in a `.npy` file of a folder, or of a zip that stores it uncompressed.

    The file is mapped at the first read in each process; the map stays behind in pickling.

    Attributes:
      where: the address of the file, for messages.
      shape, dtype: of the array.

    Raises:
      ValueError: the file is compressed in its zip, is no `.npy` file of plain numbers or
        characters, or is shorter than its header says.
    """

    def __init__(self, file: File):
        files, name = file
        self.where = file.where
        if files.path.is_dir():
            self._path = files.path / name
            start, size = 0, self._path.stat().st_size
        else:
            self._path = files.path
            start, size = _stored_member(file)
        with self._path.open("rb") as stream:
            stream.seek(start)
            self.shape, self._fortran, self.dtype = npy_header(stream, self.where)
            self._offset = stream.tell()
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"{self.where}: an empty array, of shape {self.shape}")
        needed = self._offset - start + math.prod(self.shape) * self.dtype.itemsize
        if size < needed:
            raise ValueError(
                f"{self.where}: {size} bytes, but {needed} for {self.shape} {self.dtype}; it is "
                "truncated: fetch it again"
            )
        self._map: np.memmap | None = None

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: int) -> np.ndarray:
        """A read-only view of one entry of the first axis; nothing is read before it is used."""
        if self._map is None:
            order: Any = "F" if self._fortran else "C"
            self._map = np.memmap(self._path, self.dtype, "r", self._offset, self.shape, order)
        return np.asarray(self._map[index])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_map": None}


def _stored_member(file: File) -> tuple[int, int]:
    """The first byte and the size of a file that a zip stores as it is."""
    path, where, info = file.files.path, file.where, file.files.member(file.name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(
            f"{where}: compressed, so that one image cannot be read without unpacking all before "
            f"it; unzip {path.name} and give the folder"
        )
    with path.open("rb") as stream:
        stream.seek(max(info.header_offset, 0))
        header = stream.read(_LOCAL_HEADER)
    found = info.header_offset >= 0 and header[:4] == b"PK\3\4"
    if not found or len(header) < _LOCAL_HEADER:
        raise ValueError(f"{where}: not where the zip says; it is damaged: fetch it again")
    name_and_extra = sum(struct.unpack("<HH", header[-4:]))
    return info.header_offset + _LOCAL_HEADER + name_and_extra, info.file_size
