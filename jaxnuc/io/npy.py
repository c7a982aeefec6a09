"""`.npy` and `.npz` files, checked before they are read; nothing is unpickled."""

import io
import math
import zipfile
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from jaxnuc.io.limits import MOST_BYTES, check_bytes

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def npy_header(stream: BinaryIO, where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Reads the header of a `.npy` file: shape, whether the first axis is the fastest, dtype.

    Raises:
      ValueError: no such header, or one of Python objects, which are never unpickled.
    """
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"format version {version}")
        shape, fortran, dtype = _HEADERS[version](stream)
        if min(shape, default=0) < 0 or not dtype.itemsize:
            raise ValueError(f"shape {shape} of {dtype}")
    except Exception as error:  # Python's parser reads it: also MemoryError, where it is nested
        raise ValueError(
            f"{where}: not a readable .npy file ({error!s:.200}); fetch it again"
        ) from error
    if dtype.hasobject:
        raise ValueError(
            f"{where}: holds pickled Python objects, and to read them would run code from the "
            "file; save it as numbers, and label images as PNG or TIFF (Cellpose: --save_tif)"
        )
    return shape, fortran, dtype


def decode_npy(data: bytes, where: str) -> np.ndarray:
    """The array in the bytes of a `.npy` file.

    Raises:
      ValueError: as `npy_header`, or the file is truncated.
    """
    stream = io.BytesIO(data)
    shape, fortran, dtype = npy_header(stream, where)
    count, start = math.prod(shape), stream.tell()
    if start + count * dtype.itemsize > len(data):
        raise ValueError(
            f"{where}: cannot be decoded ({len(data)} bytes are too few for {shape} {dtype}); it "
            "is truncated: fetch it again"
        )
    array = np.frombuffer(data, dtype, count, start)
    return array.reshape(shape, order="F" if fortran else "C").copy()


def npz_names(data: bytes, where: str) -> list[str]:
    """The names of the arrays in an `.npz` file; raises what `decode_npz` does."""
    return list(_members(data, where, ()))


def decode_npz(data: bytes, where: str, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of these names in the bytes of an `.npz` file.

    Raises:
      ValueError: the file is damaged, holds Python objects, or lacks an array; the message lists
        those there are.
    """
    keys = list(keys)
    members = _members(data, where, keys)
    missing = [key for key in keys if key not in members]
    if missing:
        raise ValueError(
            f"{where}: no array {', '.join(map(repr, missing))} in it; there are: "
            f"{', '.join(members) or 'none'}"
        )
    return {key: decode_npy(members[key], f"{where}/{key}.npy") for key in keys}


def _members(data: bytes, where: str, keys: Iterable[str]) -> dict[str, bytes]:
    """The arrays of an `.npz` file, of which those of `keys` are read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            names = [n.removesuffix(".npy") for n in file.namelist() if n.endswith(".npy")]
            wanted = [f"{name}.npy" for name in names if name in keys]
            size = sum(file.getinfo(name).file_size for name in wanted)
            read = wanted if size <= MOST_BYTES else ()
            members = {n: file.read(f"{n}.npy") if f"{n}.npy" in read else b"" for n in names}
    except Exception as error:  # a damaged zip or stream: errors of many types
        raise ValueError(
            f"{where}: cannot be read as npz ({error!s:.200}); fetch it again"
        ) from error
    check_bytes((size,), np.dtype(np.uint8), where)
    return members
