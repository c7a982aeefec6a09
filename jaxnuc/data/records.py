"""One sample as bytes and back, exactly.

A record is a version byte, the CRC32 of all that follows, five lengths, and as many parts:

    header       JSON: meta, number of nuclei, dtypes
    image        lossless WebP, of H&E two thirds of the size of PNG, and faster to decode
    instances    zlib of the smallest dtype that holds the ids, then of those that are covered
    classes      the same, of the class of each id; of a map where an id has no single class
    ignore       zlib of packed bits

Numbers are little-endian; a part that a sample does not have is empty.
"""

import io
import json
import math
import struct
import sys
import zlib
from typing import Any

import numpy as np
from PIL import Image

from jaxnuc.data.sample import Sample
from jaxnuc.data.sample_checks import malformed

VERSION = 1
LARGEST = 16383  # pixels a side, of WebP

_START = struct.Struct("<BI")
_LENGTHS = struct.Struct("<5I")
_LEVEL = 9  # of zlib: label maps become smallest, and fastest to unpack


def encode(sample: Sample) -> bytes:
    """A sample as a record; the same sample always gives the same bytes.

    Args:
      sample: arrays as `Sample` has them; `meta` of strings, finite numbers, booleans, None, and
        lists and string-keyed dicts of these.

    Raises:
      ValueError: an array of another shape or dtype, a side of 0 or above 16383 pixels, or a meta
        that JSON would not give back as it is; the message names the sample.
    """
    where = f"sample {sample.meta.get('name')!r}"
    height, width = sample.image.shape[:2]
    if not 0 < min(height, width) <= max(height, width) <= LARGEST:
        raise ValueError(
            f"{where}: {height} x {width} pixels; a record holds 1 to {LARGEST} a side: read "
            "larger images in windows"
        )
    for kind, text in malformed(sample, groups=sys.maxsize):
        raise ValueError(f"{where}: {kind}: {text}")
    instances, classes, ignore = sample.instances, sample.classes, sample.ignore
    layers = instances[None]
    header: dict[str, Any] = {"meta": checked_json(sample.meta, f"{where}: meta")}
    if sample.covered is not None:
        layers = np.concatenate([layers, np.moveaxis(sample.covered, -1, 0)])
        header["covered"] = len(layers) - 1
    header["nuclei"] = int(np.count_nonzero(np.unique(layers)))
    image = io.BytesIO()
    pixels = Image.fromarray(np.ascontiguousarray(sample.image))
    pixels.save(image, "WEBP", lossless=True, quality=50, method=4)
    header["instances"], packed = _pack(layers)
    parts = [image.getvalue(), packed, b"", b""]
    if classes is not None:
        table = _class_table(instances, classes)
        dtype, parts[2] = _pack(classes if table is None else table)
        header["classes"] = ["map" if table is None else "table", dtype]
    if ignore is not None:
        parts[3] = zlib.compress(np.packbits(ignore).tobytes(), _LEVEL)
    parts.insert(0, json.dumps(header).encode())
    payload = b"".join((_LENGTHS.pack(*map(len, parts)), *parts))
    return _START.pack(VERSION, zlib.crc32(payload)) + payload


def decode(record: bytes, where: str = "record") -> Sample:
    """The sample of a record, in arrays that may be changed.

    Args:
      record: what `encode` returned.
      where: its address, for errors.

    Raises:
      ValueError: another version, or damaged: its checksum is wrong.
    """
    header, image_part, instances_part, classes_part, ignore_part = _parts(record, where)
    with Image.open(io.BytesIO(image_part), formats=("WEBP",)) as file:
        image = np.array(file)
    shape = image.shape[:2]
    layers = _unpack(header["instances"], instances_part)
    instances, *below = layers.reshape(1 + header.get("covered", 0), *shape)
    covered = np.stack(below, axis=-1) if below else None
    classes = ignore = None
    if "classes" in header:
        kind, dtype = header["classes"]
        classes = _unpack(dtype, classes_part)
        classes = classes[instances] if kind == "table" else classes.reshape(shape)
    if ignore_part:
        bits = np.frombuffer(zlib.decompress(ignore_part), np.uint8)
        ignore = np.unpackbits(bits, count=instances.size).view(bool).reshape(shape)
    return Sample(image, instances, classes, header["meta"], ignore, covered)


def summary(record: bytes, where: str = "record") -> dict[str, Any]:
    """`meta`, `nuclei` (how many) and `ignores` (whether it has regions to ignore) of a record.

    Raises:
      ValueError: as `decode`.
    """
    header, *_, ignore = _parts(record, where)
    return {"meta": header["meta"], "nuclei": header["nuclei"], "ignores": bool(ignore)}


def checked_json(value: Any, where: str) -> Any:
    """The value itself, if JSON gives it back as it is.

    Raises:
      ValueError: it does not: tuples, arrays, NumPy integers, numbers as keys, NaN, infinity.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{where}: JSON cannot hold the key {key!r}; use a string")
            checked_json(inner, f"{where}[{key!r}]")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            checked_json(inner, f"{where}[{number}]")
    elif not (
        value is None
        or isinstance(value, str | int)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        raise ValueError(
            f"{where}: JSON cannot hold {value!r} ({type(value).__name__}); use a string, a "
            "finite number, a bool, None, a list or a dict"
        )
    return value


def _class_table(instances: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
    """The class of each id, 0 included; None where an id has several, or is very large."""
    if instances.min() < 0 or instances.max() >= instances.size:
        return None
    table = np.zeros(int(instances.max()) + 1, np.int32)
    table[instances] = classes
    return table if np.array_equal(table[instances], classes) else None


def _pack(array: np.ndarray) -> tuple[str, bytes]:
    ends = np.min_scalar_type(array.min()), np.min_scalar_type(array.max())
    dtype = np.result_type(*ends).newbyteorder("<")
    return dtype.str, zlib.compress(array.astype(dtype).tobytes(), _LEVEL)


def _unpack(dtype: str, data: bytes) -> np.ndarray:
    return np.frombuffer(zlib.decompress(data), np.dtype(dtype)).astype(np.int32)


def _parts(record: bytes, where: str) -> list[Any]:
    version = record[0] if record else None
    if version != VERSION:
        raise ValueError(
            f"{where}: a record of version {version}, this program reads {VERSION}; pack the data "
            "again, or read them with the program that packed them"
        )
    payload = memoryview(record)[_START.size :]
    whole = len(payload) >= _LENGTHS.size
    if not whole or zlib.crc32(payload) != _START.unpack_from(record)[1]:
        raise ValueError(f"{where}: damaged, its checksum is wrong; copy or pack the data again")
    start, parts = _LENGTHS.size, []
    for length in _LENGTHS.unpack_from(payload):
        parts.append(bytes(payload[start : start + length]))
        start += length
    return [json.loads(parts[0]), *parts[1:]]
