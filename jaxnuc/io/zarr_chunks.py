"""What a stored chunk of a Zarr array becomes in memory, before it is unpacked.

A small file can be made to unpack to any size. Blosc, LZ4 and most of Zstandard state the size at
the beginning, and allocate so much; of the others, all but the number of bytes is thrown away.
"""

import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.io.limits import check_bytes

_STEP = 2**20  # bytes that are unpacked at once, to be counted
_ZSTD_FRAME, _ZSTD_BLOCK = 0xFD2FB528, 2**17  # what a frame begins with; bytes of a block at most
_EMPTY = 2**64 - 1  # the place of a chunk that a shard does not have

# They change no sizes, but for the few bytes of a checksum.
_PLAIN = (
    *("bytes", "transpose", "crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3"),
    *("bitround", "delta", "quantize", "shuffle"),
)


@dataclass(frozen=True)
class Shard:
    """Where the chunks of a shard are: pairs of offset and length, at one end of it.

    Attributes:
      size: bytes of the index.
      first: it is at the beginning, else at the end.
    """

    size: int
    first: bool

    def chunks(self, data: bytes) -> list[tuple[int, int]]:
        """Offset and length of each chunk; of a shard, or of its index alone."""
        index = data[: self.size] if self.first else data[-self.size :]
        pairs = np.frombuffer(index[: self.size // 16 * 16], "<u8").reshape(-1, 2)
        return [(start, length) for start, length in pairs.tolist() if start != _EMPTY]


@dataclass(frozen=True)
class Chunks:
    """How the chunks of an array are stored.

    Attributes:
      compression: its name; None: there is none.
      most: bytes of a chunk in memory.
      most_stored: bytes of a file, which has one chunk, or those of a shard.
      shard: None: there are none.
    """

    compression: str | None
    most: int
    most_stored: int
    shard: Shard | None

    @classmethod
    def of(cls, array: Any) -> "Chunks":
        """Those of a `zarr.Array`.

        Raises:
          ValueError: a chunk or a shard has too many bytes, or what it becomes is unknown.
        """
        dtype = np.dtype(array.dtype)
        whole = array.shards or array.chunks
        check_bytes(whole, dtype, "a chunk")
        most = math.prod(array.chunks) * dtype.itemsize
        described = array.metadata.to_dict()
        shard = None
        if array.metadata.zarr_format == 2:
            codecs = [*(described["filters"] or ()), described["compressor"] or {"id": "bytes"}]
        else:
            codecs = described["codecs"]
            if codecs[0]["name"] == "sharding_indexed":
                _, *others = codecs
                options = codecs[0]["configuration"]
                names = [_name(each) for each in options["index_codecs"]]
                if others or names not in (["bytes"], ["bytes", "crc32c"]):
                    raise ValueError(f"shards in {others or names}, which are not read")
                count = math.prod(whole) // math.prod(array.chunks)
                size = 16 * count + 4 * (len(names) - 1)
                shard, codecs = Shard(size, options["index_location"] == "start"), options["codecs"]
        stored = math.prod(whole) * dtype.itemsize
        # No compression makes data much longer.
        longest = stored + stored // 8 + 2**16 + (shard.size if shard else 0)
        return cls(_compression(codecs), most, longest, shard)

    def check(self, data: bytes, part: str | None = None) -> None:
        """Refuses what was read of a file if it would become more than a chunk.

        Args:
          data: a chunk; all of a shard (`part="shard"`), or its index at the beginning ("index").
          part: what it is, if not a chunk.

        Raises:
          ValueError: it would, or it is damaged.
        """
        if part is not None and self.shard is not None:
            for start, length in self.shard.chunks(data):
                if self.shard.first and start < self.shard.size:
                    raise ValueError("damaged: a chunk within the index of its shard")
                if part == "shard":
                    self.check(data[start : start + length])
        elif self.compression is not None:
            size = _SIZES[self.compression](data, self.most)
            if size > self.most:
                raise ValueError(f"it unpacks to more than the {self.most} bytes of a chunk")


def _name(codec: Mapping[str, Any]) -> str:
    name: str = codec["id"] if "id" in codec else codec["name"]
    return name.removeprefix("numcodecs.")


def _compression(codecs: Sequence[Mapping[str, Any]]) -> str | None:
    """The one among the codecs of an array.

    Raises:
      ValueError: several of them, or others than those whose size is known.
    """
    others = [codec for codec in codecs if _name(codec) not in _PLAIN]
    if not others:
        return None
    names = [_name(codec) for codec in others]
    options = others[0].get("configuration", others[0])
    if len(names) > 1 or names[0] not in _SIZES or options.get("format", 1) != lzma.FORMAT_XZ:
        raise ValueError(
            f"its chunks are packed by {', '.join(names)}; what they become is known for one of "
            f"{', '.join(_SIZES)}: save it with one of these"
        )
    return names[0]


def _counted(decompressor: Callable[[], Any]) -> Callable[[bytes, int], int]:
    """Counts what streams that follow on each other become, up to a number of bytes."""

    def size(data: bytes, most: int) -> int:
        total = 0
        try:
            while data and total <= most:
                stream = decompressor()
                rest = data
                while not stream.eof and total <= most:
                    unpacked = len(stream.decompress(rest, _STEP))
                    rest = getattr(stream, "unconsumed_tail", b"")  # others keep it themselves
                    if not unpacked and not rest and not stream.eof:
                        raise ValueError("damaged: it ends too early")
                    total += unpacked
                data = stream.unused_data.lstrip(b"\0")  # padding
        except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
            raise ValueError(f"damaged: {error}") from error
        return total

    return size


def _zstd(data: bytes, most: int) -> int:
    """What Zstandard states, or where it does not, what its blocks become at most.

    RFC 8878, 3.1.1. Blocks of 128 KiB, of which the last one is not full, may become more than a
    chunk has; they have twice as many bytes at most then.
    """
    total, at, first = 0, 0, True
    while _integer(data, at, 4) == _ZSTD_FRAME and total <= most:
        flags = data[at + 4] if at + 4 < len(data) else 0
        single = flags >> 5 & 1
        at += 6 - single + (0, 1, 2, 4)[flags & 3]
        length = (single, 2, 4, 8)[flags >> 6]
        if length and first:
            return _integer(data, at, length) + (256 if length == 2 else 0)
        at, first, last, blocks = at + length, False, False, 0
        while not last and at < len(data):
            header = _integer(data, at, 3)
            last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
            blocks += _ZSTD_BLOCK if kind == 2 else size
            at += 4 if kind == 1 else 3 + size
        total += min(blocks, most) if blocks <= 2 * max(most, _ZSTD_BLOCK) else blocks
        at += 4 * (flags >> 2 & 1)  # a checksum
    return total


def _integer(data: bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "little")


_SIZES: dict[str, Callable[[bytes, int], int]] = {
    "blosc": lambda data, most: _integer(data, 4, 4),
    "bz2": _counted(bz2.BZ2Decompressor),
    "gzip": _counted(lambda: zlib.decompressobj(16 + zlib.MAX_WBITS)),
    "lz4": lambda data, most: _integer(data, 0, 4),
    "lzma": _counted(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2**30)),
    "zlib": _counted(zlib.decompressobj),
    "zstd": _zstd,
}
