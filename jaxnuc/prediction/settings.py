"""The settings on which the nuclei of an image depend: earlier results are of use for no others."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# A slide is too large to be hashed whole: so many places of its file, so many bytes in each.
_PLACES, _BYTES = 16, 2**18


def fingerprint(path: Path) -> str:
    """Size and a hash of some of the bytes of a file or folder, wherever and however old it is."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    sizes = [file.stat().st_size for file in files]
    digest = hashlib.sha256()
    for file, size in zip(files, sizes, strict=True):
        digest.update(f"{file.relative_to(path).as_posix()} {size}\n".encode())
    for file, size in _spread(list(zip(files, sizes, strict=True))):
        with file.open("rb") as stream:
            for start in _spread(range(0, size, _BYTES)):
                stream.seek(start)
                digest.update(stream.read(_BYTES))
    return f"{sum(sizes)} bytes, {digest.hexdigest()[:16]}"


def _spread(of: Sequence[Any]) -> list[Any]:
    """The first, the last and some in between, all of which if they are few."""
    n = len(of)
    if n <= _PLACES:
        return list(of)
    return [of[i * (n - 1) // (_PLACES - 1)] for i in range(_PLACES)]


def check_same(settings: Mapping[str, Any], other: Mapping[str, Any], where: str) -> None:
    """Refuses results, `where` they are, of `other` settings, as read from JSON.

    Raises:
      ValueError: names the first entry that differs, both values and the way out.
    """
    # In their order: another model also estimates other diameters, and the model is what to name.
    for key in dict.fromkeys([*settings, *other]):
        now, then = settings.get(key), other.get(key)
        if json.loads(json.dumps(now)) != then:
            raise ValueError(
                f"{where} was made with {key}={then!r}, now it is {now!r}; take another output "
                "folder, or start again with --overwrite"
            )
