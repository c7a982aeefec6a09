"""MATLAB files: chosen variables, and errors that say what is there instead.

`scipy.io.loadmat` crashes the process on some damaged files; this reader checks every length.
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from jaxnuc.io.limits import MOST_BYTES, check_bytes

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_CELLS = 1
_CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
_COMPLEX = 0x800
_DEEPEST = 4  # cells in cells
_BEGINNING = 1024  # bytes in which the names and sizes of a variable are found


class Variable(NamedTuple):
    """The header of a variable."""

    shape: tuple[int, ...]
    numeric: bool  # real numbers, which a label image can be


def read_mat(data: bytes, where: str, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """Reads the variables `keys` of a MAT file, version 5 to 7.2: real numbers, and cells of them.

    Returns:
      The arrays by variable, of MATLAB's class as dtype; vectors are (N, 1) or (1, N), as MATLAB
      has them, and cells are object arrays.

    Raises:
      ValueError: the file is damaged or none of MATLAB's, of another version, or lacks a variable,
        or the variable holds something else.

    References:
      MathWorks, MAT-File Format.
    """
    wanted = list(keys)
    found = _load(data, where, set(wanted))
    missing = [key for key in wanted if key not in found]
    if missing:
        raise ValueError(
            f"{where}: no variable {', '.join(map(repr, missing))} in it; there are: "
            f"{', '.join(sorted(found)) or 'none'}"
        )
    return {key: array for key in wanted if (array := found[key][1]) is not None}


def mat_variables(data: bytes, where: str) -> dict[str, Variable]:
    """The variables of a MAT file by name; raises what `read_mat` does."""
    return {name: variable for name, (variable, _) in _load(data, where, set()).items()}


def _load(
    data: bytes, where: str, wanted: set[str]
) -> dict[str, tuple[Variable, np.ndarray | None]]:
    """What each variable is and, where wanted, its values."""
    found: dict[str, tuple[Variable, np.ndarray | None]] = {}
    try:
        order = _order(data)
        for kind, body in _elements(memoryview(data)[_HEADER:], order):
            if kind not in (_MATRIX, _COMPRESSED):
                raise ValueError(f"element type {kind} in place of a variable")
            packed = kind == _COMPRESSED
            beginning = _unpacked(body, order, _BEGINNING) if packed else body
            name, variable, array = _matrix(beginning, order, values=False)
            if name in found:
                raise ValueError(f"two variables {name!r}")
            if name in wanted:
                whole = _unpacked(body, order, MOST_BYTES) if packed else body
                array = _matrix(whole, order)[2]
            found[name] = variable, array
    except (ValueError, struct.error, zlib.error) as error:
        raise ValueError(
            f"{where}: cannot be read as a MAT file ({error}); fetch it again, or save it from "
            "MATLAB with '-v7'"
        ) from error
    return found


def _order(data: bytes) -> str:
    """The byte order that the header states."""
    if data[:10] == b"MATLAB 7.3" or data[512:520] == b"\x89HDF\r\n\x1a\n":
        raise ValueError("it has version 7.3, which is HDF5")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128], "")
    if not order or struct.unpack(f"{order}H", data[124:126])[0] != 0x100:
        raise ValueError("it has no header of version 5")
    return order


def _unpacked(body: memoryview, order: str, most: int) -> memoryview:
    """The variable in a compressed element, or no more than its beginning."""
    unpacker = zlib.decompressobj()
    data = memoryview(unpacker.decompress(body, most))
    kind, size = struct.unpack_from(f"{order}2I", data)
    if kind != _MATRIX:
        raise ValueError(f"element type {kind} in place of a variable")
    if most != _BEGINNING and not (unpacker.eof and len(data) >= 8 + size):
        raise ValueError(f"a variable is truncated or larger than {MOST_BYTES} bytes")
    return data[8 : 8 + size]


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """The data elements one after the other: type and body."""
    at = 0
    while at < len(data):
        first, size = struct.unpack_from(f"{order}2I", data, at)
        if first >> 16:  # a body of up to 4 bytes beside the type
            kind, size, start, end = first & 0xFFFF, first >> 16, at + 4, at + 8
        else:
            kind, start = first, at + 8
            end = start + size + (-size % 8 if kind != _COMPRESSED else 0)
        if start + size > len(data) or (first >> 16 and size > 4):
            raise ValueError("it is truncated")
        yield kind, data[start : start + size]
        at = end


def _matrix(
    body: memoryview, order: str, values: bool = True, depth: int = 0
) -> tuple[str, Variable, np.ndarray | None]:
    """Name and values of an array; the values only if asked for."""
    if not body:  # an empty cell
        return "", Variable((0, 0), True), np.zeros((0, 0))
    parts = _elements(body, order)
    try:
        flags = int(_vector(*next(parts), order)[0])
        shape = tuple(_vector(*next(parts), order).tolist())
        name = bytes(next(parts)[1]).decode("latin-1")
        if len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"{name!r} has the shape {shape}")
        check_bytes(shape, np.dtype(_CLASSES.get(flags & 0xFF, "u1")), repr(name))
        variable = Variable(shape, flags & 0xFF in _CLASSES and not flags & _COMPLEX)
        if not values:
            return name, variable, None
        if flags & 0xFF == _CELLS and depth < _DEEPEST:
            return name, variable, _cells(parts, shape, order, depth)
        if not variable.numeric:
            raise ValueError(f"{name!r} holds neither real numbers nor cells of them")
        numbers = _vector(*next(parts), order) if math.prod(shape) else np.zeros(0)
    except (StopIteration, IndexError):
        raise ValueError("a variable is incomplete") from None
    if numbers.size != math.prod(shape):
        raise ValueError(f"{name!r} has {numbers.size} values and the shape {shape}")
    array = numbers.astype(_CLASSES[flags & 0xFF], copy=False)
    return name, variable, array.reshape(shape, order="F")


def _cells(
    parts: Iterator[tuple[int, memoryview]], shape: tuple[int, ...], order: str, depth: int
) -> np.ndarray:
    contents = [_matrix(body, order, depth=depth + 1)[2] for _, body in parts]
    if len(contents) != math.prod(shape):
        raise ValueError(f"{len(contents)} cells and the shape {shape}")
    cells = np.empty(len(contents), object)
    for k, content in enumerate(contents):
        cells[k] = content
    return cells.reshape(shape, order="F")


def _vector(kind: int, body: memoryview, order: str) -> np.ndarray:
    if kind not in _NUMBERS:
        raise ValueError(f"element type {kind} in place of numbers")
    return np.frombuffer(body, np.dtype(order + _NUMBERS[kind]))
