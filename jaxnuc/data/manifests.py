"""The manifest of a packed data set, and the plan that stands for it while it is written."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxnuc.data.catalog import CATALOG
from jaxnuc.data.shards import AGAIN
from jaxnuc.io.atomic import replace_file

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


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """The manifest of a folder.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is no manifest, or of another version.
    """
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
    """Takes a folder for a packing, which it may have started earlier.

    Args:
      output: a folder; made where there is none.
      plan: the first entries of the manifest.

    Returns:
      The entries of the shards by number; none if the packing has not been finished before.

    Raises:
      ValueError: the folder holds something else, or a packing of another plan.
    """
    earlier: Mapping[str, Any]
    if (output / MANIFEST).exists():
        earlier = read_manifest(output)
    elif (output / _PLAN).exists():
        earlier = json.loads((output / _PLAN).read_text(encoding="utf-8"))
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
            raise ValueError(
                f"{output}: was packed with {key} = {_short(old.get(key))}, now it is "
                f"{_short(new.get(key))}; pack into another folder, or with the same arguments"
            )
    return dict(enumerate(earlier.get("shards", ())))


def terms(names: Iterable[str]) -> dict[str, dict[str, str] | None]:
    """Titles, licenses and citations of data sets; None for one that is not in the catalog."""
    known = {name: CATALOG.get(name) for name in names}
    return {
        name: record and {key: getattr(record, key) for key in _TERMS}
        for name, record in known.items()
    }


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


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
