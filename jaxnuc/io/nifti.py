"""NIfTI-1 files of whole numbers, as ITK-SNAP writes label maps."""

import gzip
import io
import math
import struct
import zlib

import numpy as np

from jaxnuc.io.limits import check_bytes

_HEADER = 348
_LAST_START = 2**20  # extensions of the header lie between it and the voxels
_TYPES = {2: "u1", 256: "i1", 4: "i2", 512: "u2", 8: "i4", 768: "u4", 16: "f4", 64: "f8"}


def read_nifti(data: bytes, where: str) -> np.ndarray:
    """Reads a `.nii` or `.nii.gz` file.

    Returns:
      The voxels as stored, first axis fastest, so that of a picture (x, y); axes of length 1
      behind the second are dropped. The header's orientation is not applied.

    Raises:
      ValueError: no NIfTI-1 file, a damaged one, another dtype than plain numbers, or numbers
        that are scaled.

    References:
      https://nifti.nimh.nih.gov/nifti-1, the structure `nifti_1_header`.
    """
    stream: io.BufferedIOBase = io.BytesIO(data)
    if data[:2] == b"\x1f\x8b":
        stream = gzip.GzipFile(fileobj=stream)
    try:
        header = stream.read(_HEADER)
        start, shape, dtype = _parse(header, where)
        count = math.prod(shape)
        check_bytes(shape, dtype, where)
        gap, size = start - len(header), count * dtype.itemsize
        body = stream.read(gap + size + 1)[gap:]  # the one more makes gzip compare its checksum
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{where}: cannot be unpacked ({error}); fetch it again") from error
    if len(body) > size:  # so that the checksum was not reached
        raise ValueError(f"{where}: more bytes than {shape} {dtype} need; the header is damaged")
    if len(body) < size:
        raise ValueError(f"{where}: {len(body)} bytes are too few for {shape} {dtype}: truncated")
    voxels = np.frombuffer(body, dtype, count).reshape(shape, order="F")
    while voxels.ndim > 2 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    return voxels.astype(dtype.newbyteorder("="))


def _parse(header: bytes, where: str) -> tuple[int, list[int], np.dtype]:
    """Where the voxels begin, their shape and dtype."""
    orders = [o for o in "<>" if header[:4] == struct.pack(f"{o}i", _HEADER)]
    if not orders or len(header) < _HEADER or header[344:347] != b"n+1":
        raise ValueError(f"{where}: not a NIfTI-1 file with header and voxels in one")
    order = orders[0]
    n, *sides = struct.unpack_from(f"{order}8h", header, 40)
    (kind,) = struct.unpack_from(f"{order}h", header, 70)
    start, slope, shift = struct.unpack_from(f"{order}3f", header, 108)
    if kind not in _TYPES:
        raise ValueError(f"{where}: NIfTI datatype {kind}; known: {sorted(_TYPES)}")
    if not 2 <= n <= 7 or min(sides[:n]) < 1:
        raise ValueError(f"{where}: {n} dimensions of sides {sides}; expected a picture")
    if (slope, shift) not in ((0, 0), (1, 0)):
        raise ValueError(f"{where}: numbers are to be scaled by {slope} and shifted by {shift}")
    if not _HEADER <= start <= _LAST_START:
        raise ValueError(f"{where}: voxels from byte {start} on; the header is damaged")
    return int(start), sides[:n], np.dtype(order + _TYPES[kind])
