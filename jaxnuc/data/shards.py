"""The files of a packed data set: ArrayRecord shards, a manifest, and the plan before it."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxnuc.data import records
from jaxnuc.data.catalog import CATALOG
from jaxnuc.io.atomic import replace_file
from jaxnuc.io.text_files import read_json

if TYPE_CHECKING:
    from array_record.python.array_record_module import ArrayRecordReader

AGAIN = "copy it again, or run the packing again: it writes what is missing or damaged"

MANIFEST = "manifest.json"
FORMAT = "jaxnuc packed samples"
VERSION = 1

_PLAN = ".packing.json"
_TERMS = ("title", "license", "published", "citation")
_KEYS: dict[str, Any] = {
    "name": str,
    "split": str,
    "label_set": dict | None,
    "ignores": bool,
    "names": list,
    "shards": list,
    "counts": dict,
}
_ENTRY: dict[str, Any] = {"file": str, "records": int, "bytes": int, "sha256": str}  # of a shard


class Shard(NamedTuple):
    """The contents of a file: its `file`, `records`, `bytes` and `sha256`, and its samples.

    Of each sample there is what `records.summary` says.
    """

    entry: dict[str, Any]
    samples: list[dict[str, Any]]


def write(path: Path, stream: Iterable[bytes], expected: Mapping[str, Any] | None = None) -> Shard:
    """Writes records to a file under another name, reads it back, and gives it its name.

    Raises:
      OSError: the disk is full, or the folder cannot be written; `path` is as before.
      ValueError: its entry is not the expected one, or it cannot be read back; as before, too.
    """
    partial = path.with_name(f".{path.name}.partial")
    # One record a group for access at random; records are compressed; one thread keeps the order.
    options = "group_size:1,uncompressed,max_parallelism:1"
    with _disk(partial):
        writer = _array_record().ArrayRecordWriter(str(partial), options)
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
    """Reads a file through, verifying the checksum of every record; ValueError if damaged."""
    reader = open_reader(path)
    samples = []
    for position in range(reader.num_records()):
        where = f"{path}: record {position}"
        samples.append(records.summary(read_record(reader, position, where), where))
    reader.close()
    entry = {"file": name or path.name, "records": len(samples), "bytes": path.stat().st_size}
    return Shard({**entry, "sha256": sha256(path)}, samples)


def _array_record() -> Any:
    """The module that reads and writes shards, which Windows has no build of.

    Raises:
      ImportError: it is not installed.
    """
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise ImportError(
            f"packed data sets need array-record ({error}), which is not built for Windows: use "
            "Linux or macOS, or train on the data set as it was published"
        ) from error
    return array_record_module


def open_reader(path: Path) -> "ArrayRecordReader":
    """A reader for access at random; ValueError where the file is not whole."""
    options, module = "readahead_buffer_size:0,max_parallelism:0", _array_record()
    try:
        reader: ArrayRecordReader = module.ArrayRecordReader(
            str(path), options, file_reader_buffer_size=32768
        )
        whole = reader.ok()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: cannot be opened ({error}); {AGAIN}") from error
    if not whole:
        raise ValueError(f"{path}: truncated, damaged or no ArrayRecord file; {AGAIN}")
    return reader


def read_record(reader: "ArrayRecordReader", position: int, where: str) -> bytes:
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


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """The manifest of a folder; ValueError if it is damaged or of another version."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a readable manifest ({error}); {AGAIN}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{path}: not the manifest of a packed data set; name its folder")
    if manifest.get("version") != VERSION:
        raise ValueError(
            f"{path}: format version {manifest.get('version')}, this program reads {VERSION}; pack "
            "the data again, or read them with the program that packed them"
        )
    _check_keys(manifest, _KEYS, path)
    for entry in manifest["shards"]:
        _check_keys(entry, _ENTRY, path)
        if Path(entry["file"]).name != entry["file"]:
            raise ValueError(f"{path}: the shard {entry['file']!r} is in another folder; {AGAIN}")
    return manifest


def _check_keys(entry: Any, keys: Mapping[str, Any], path: Path) -> None:
    for key, kind in keys.items():
        if not isinstance(entry, dict) or key not in entry:
            raise ValueError(f"{path}: no key {key!r}; {AGAIN}")
        if not isinstance(entry[key], kind):
            found = type(entry[key]).__name__
            raise ValueError(f"{path}: {key!r} is of another type, {found}; {AGAIN}")


def claim(output: Path, plan: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Takes a folder for a packing by this plan, which it may have started earlier.

    Returns:
      The entries of the shards by number; none if the packing has not been finished before.

    Raises:
      ValueError: the folder holds something else, or a packing of another plan.
    """
    earlier: Mapping[str, Any]
    if (output / MANIFEST).exists():
        earlier = read_manifest(output)
    elif (output / _PLAN).exists():
        earlier = read_json(output / _PLAN)
    else:
        output.mkdir(parents=True, exist_ok=True)
        strange = [path.name for path in output.iterdir() if not path.name.startswith(".")]
        if strange:
            raise ValueError(f"{output}: holds other files, such as {min(strange)}; empty it first")
        replace_file(output / _PLAN, json.dumps(plan).encode())
        return {}
    old, new = _flat({key: earlier.get(key) for key in plan}), _flat(plan)
    for key in old | new:
        if old.get(key) != new.get(key):
            was, now = (json.dumps(each.get(key)) for each in (old, new))
            raise ValueError(
                f"{output}: was packed with {key} = {was:.200}, now it is {now:.200}; pack into "
                "another folder, or with the same arguments"
            )
    return dict(enumerate(earlier.get("shards", ())))


def terms(names: Iterable[str]) -> dict[str, dict[str, str] | None]:
    """Titles, licenses and citations of data sets; None for one that is not in the catalog."""
    known = {name: CATALOG.get(name) for name in names}
    return {n: r and {key: getattr(r, key) for key in _TERMS} for n, r in known.items()}


def finish(output: Path, manifest: Mapping[str, Any]) -> None:
    """Writes the manifest, whole or not at all."""
    replace_file(output / MANIFEST, json.dumps(manifest, indent=1).encode())
    (output / _PLAN).unlink(missing_ok=True)


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Nested dicts as one, of the keys `a.b`."""
    if not isinstance(value, dict):
        return {key: value}
    parts = (_flat(inner, f"{key}.{name}" if key else name) for name, inner in value.items())
    return {name: inner for part in parts for name, inner in part.items()}
