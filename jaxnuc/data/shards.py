"""ArrayRecord files of samples: written whole or not at all, and read with checks."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from jaxnuc.data import records

AGAIN = "copy it again, or run the packing again: it writes what is missing or damaged"


class Shard(NamedTuple):
    """The contents of a file.

    Attributes:
      entry: its `file`, `records`, `bytes` and `sha256`.
      names: of its samples.
      sources: the data sets that they are of, as their meta says.
      nuclei: how many all of them have.
      ignores: whether one has regions to ignore.
    """

    entry: dict[str, Any]
    names: list[str]
    sources: list[str]
    nuclei: int
    ignores: bool


def write(path: Path, stream: Iterable[bytes], expected: Mapping[str, Any] | None = None) -> Shard:
    """Writes a file under another name, reads it back, and gives it its name.

    Args:
      path: the file.
      stream: what `jaxnuc.data.records.encode` returned.
      expected: the entry that it has to get.

    Raises:
      OSError: the disk is full, or the folder cannot be written; `path` is as before.
      ValueError: the entry is another one, or the file cannot be read back; as before, too.
    """
    partial = path.with_name(f".{path.name}.partial")
    # One record a group for access at random; records are compressed; one thread keeps the order.
    options = "group_size:1,uncompressed,max_parallelism:1"
    with _disk(partial):
        writer = ArrayRecordWriter(str(partial), options)
    count = 0
    for record in stream:
        with _disk(partial):
            writer.write(record)
        count += 1
    with _disk(partial):
        writer.close()
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    shard = read(partial, path.name)
    if shard.entry["records"] != count:
        raise ValueError(f"{partial}: {count} records were written, {shard.entry['records']} read")
    if expected and shard.entry != expected:
        raise ValueError(
            f"{path}: written anew it differs from the manifest; the data, or the programs that "
            "read and compress them, have changed: pack into another folder"
        )
    os.replace(partial, path)
    return shard


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Makes the writer's errors those of Python's files."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise OSError(f"{path}: cannot be written ({error})") from error


def read(path: Path, name: str | None = None) -> Shard:
    """Reads a file through, verifying the checksum of every record.

    Args:
      path: the file.
      name: for its entry; None for its own.

    Raises:
      ValueError: it is damaged or of another kind.
    """
    reader = open_reader(path)
    metas, nuclei, ignores = [], 0, False
    for position in range(reader.num_records()):
        where = f"{path}: record {position}"
        found = records.summary(read_record(reader, position, where), where)
        metas.append(found["meta"])
        nuclei += found["nuclei"]
        ignores |= found["ignores"]
    reader.close()
    size = path.stat().st_size
    entry = {"file": name or path.name, "records": len(metas), "bytes": size}
    names = [meta["name"] for meta in metas]
    sources = [*dict.fromkeys(meta["source"] for meta in metas if "source" in meta)]
    return Shard({**entry, "sha256": sha256(path)}, names, sources, nuclei, ignores)


def open_reader(path: Path) -> ArrayRecordReader:
    """A reader for access at random; ValueError where the file is not whole."""
    options = "readahead_buffer_size:0,max_parallelism:0"
    try:
        reader = ArrayRecordReader(str(path), options, file_reader_buffer_size=32768)
        whole = reader.ok()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: cannot be opened ({error}); {AGAIN}") from error
    if not whole:
        raise ValueError(f"{path}: truncated, damaged or no ArrayRecord file; {AGAIN}")
    return reader


def read_record(reader: ArrayRecordReader, position: int, where: str) -> bytes:
    """One record; ValueError, which begins with `where`, if it is damaged."""
    try:
        (record,) = reader.read([position])
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(f"{where}: damaged ({error}); {AGAIN}") from error
    return record


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
