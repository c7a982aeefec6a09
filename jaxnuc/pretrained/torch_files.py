"""Files that `torch.save` writes, read without PyTorch: tensors and plain containers.

A file is a pickle, and a pickle may name any function of any package to be called as it is read.
Only those that put tensors and containers together are known here; every other name ends the
reading. Both forms are read: the zip archive of PyTorch 1.6 and later, and the form before it. They
are documented in `torch/serialization.py` and `docs/source/notes/serialization.rst` of
github.com/pytorch/pytorch (BSD-3).
"""

import collections
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C  # of the form before PyTorch 1.6
TYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
# type, key, length -> the numbers; None in a first reading, which only asks what there is
Storages = Callable[[str, str, int], np.ndarray | None]


def read_torch(path: Path) -> Any:
    """What a file of PyTorch holds, with a read-only array in place of each tensor.

    Tensors that share memory there share it here: a file takes no more memory than its own size.

    Raises:
      ValueError: it is damaged or of an older form, or holds something else than tensors, numbers,
        texts and plain containers. What it names is not called.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _read_archive(archive)
        with path.open("rb") as file:
            return _read_legacy(file)
    except _Refused as error:
        raise ValueError(f"{path} {error}") from None
    except Exception as error:  # an unpickler raises whatever a damaged file leads it to
        raise ValueError(
            f"{path} is damaged or no file of PyTorch: {type(error).__name__}: {error}"
        ) from error


class _Refused(Exception):
    """What is in the file is not read; the message follows its name."""


class _Storage:
    """The numbers of one or more tensors. Only the reader makes one, never the file itself."""

    __slots__ = ("numbers",)

    def __init__(self, numbers: np.ndarray | None) -> None:
        self.numbers = numbers


def _tensor(
    stored: Any, offset: int, shape: Sequence[int], strides: Sequence[int], *_: Any
) -> np.ndarray | None:
    """A view of a storage, after `torch._utils._rebuild_tensor_v2`."""
    if not isinstance(stored, _Storage):
        raise TypeError(f"a tensor of {type(stored).__name__}")
    storage = stored.numbers
    if storage is None:
        return None
    if len(shape) != len(strides) or min(offset, *shape, *strides, 0) < 0:
        raise ValueError(f"a tensor of shape {shape} with strides {strides} from {offset} on")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    size = math.prod(shape)
    if size and (last >= len(storage) or size > len(storage)):
        raise ValueError(f"a tensor of shape {shape} is larger than its {len(storage)} numbers")
    if not size:
        return np.empty(shape, storage.dtype)
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


def _parameter(tensor: Any, *_: Any) -> Any:
    """What `torch._utils._rebuild_parameter` wraps."""
    return tensor


KNOWN = {
    "collections.OrderedDict": collections.OrderedDict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": tuple,
    **{f"torch.{name}": name for name in TYPES},  # stands for the type
}


class _Unpickler(pickle.Unpickler):
    """Reads a pickle that names nothing but what is known."""

    def __init__(self, file: IO[bytes], storages: Storages | None = None) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        found = KNOWN.get(f"{module}.{name}")
        if found is None:
            raise _Refused(
                f"holds a {module}.{name}, which is not read: a file of weights has tensors and "
                "plain containers; where PyTorch is installed, save the network's state_dict()"
            )
        return found

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, length, *view = pid
        known = kind == "storage" and dtype in TYPES and isinstance(key, str)
        if self.storages is None or not known or any(each is not None for each in view):
            raise ValueError(f"an unknown reference {pid!r:.200}")
        return _Storage(self.storages(dtype, key, int(length)))


def _read_archive(archive: zipfile.ZipFile) -> Any:
    """The form since PyTorch 1.6: a pickle `data.pkl`, and a member `data/KEY` for each storage."""
    names = archive.namelist()
    pickles = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise _Refused(f"has {len(pickles) or 'no'} members data.pkl; PyTorch writes one")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in names:
        raise _Refused("is a TorchScript program, which is not read; save its state_dict()")
    order = f"{folder}byteorder"
    big = order in names and _member(archive, order, 16) == b"big"
    found: dict[str, np.ndarray] = {}

    def storage(dtype: str, key: str, length: int) -> np.ndarray:
        if key not in found:
            size = length * TYPES[dtype].itemsize
            data = _member(archive, f"{folder}data/{key}", size)
            if len(data) != size:
                raise ValueError(f"storage {key} has {len(data)} bytes and should have {size}")
            stored = np.frombuffer(data, TYPES[dtype])
            found[key] = stored.byteswap() if big else stored
        return found[key]

    with archive.open(pickles[0]) as file:
        return _Unpickler(file, storage).load()


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A member of at most so many bytes; PyTorch does not compress."""
    info = archive.getinfo(name)
    if info.file_size > most:
        raise ValueError(f"{name} has {info.file_size} bytes and should have {most}")
    return archive.read(info)


def _read_legacy(file: IO[bytes]) -> Any:
    """The form before: four pickles, the last of which is the content, and then the storages."""
    if file.read(2)[:1] != b"\x80":  # how a pickle begins
        raise _Refused("is no file of PyTorch")
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    if _Unpickler(file).load() != MAGIC:
        raise _Refused("is a pickle, but not one that PyTorch writes")
    _Unpickler(file).load()  # version of the form
    machine = _Unpickler(file).load()
    if not machine["little_endian"]:
        raise _Refused("was written on a big-endian machine before PyTorch 1.6; save it again")
    content = file.tell()
    asked: dict[str, tuple[str, int]] = {}

    def noted(dtype: str, key: str, length: int) -> None:
        asked[key] = dtype, length

    _Unpickler(file, noted).load()
    found = {}
    for key in _Unpickler(file).load():
        dtype, length = asked[key]
        (stored,) = struct.unpack("<q", file.read(8))
        size, left = length * TYPES[dtype].itemsize, end - file.tell()
        if stored != length or size > left:
            raise ValueError(
                f"storage {key} of {stored} numbers should have {length}, in {left} bytes"
            )
        found[key] = np.frombuffer(file.read(size), TYPES[dtype])
    file.seek(content)
    return _Unpickler(file, lambda dtype, key, length: found[key]).load()
