"""What the nuclei that are found in an image depend on, to tell what may be used again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from jaxnuc.prediction.options import Options
from jaxnuc.prediction.predictor import Predictor

T = TypeVar("T")

# What is looked at of a file to tell it from another: so many places, so many bytes in each.
_PLACES, _BYTES = 16, 2**18


def plan_of_model(predictor: Predictor, options: Options) -> dict[str, Any]:
    """What the nuclei depend on, the image aside."""
    label_set = predictor.label_set
    digest = hashlib.sha256(repr(predictor.representation).encode())
    digest.update(predictor.config.to_json(sort_keys=True).encode())
    for leaf in jax.tree.leaves(jax.device_get(predictor.variables)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return {
        "model": digest.hexdigest()[:16],
        "symmetries": list(predictor.symmetries),
        "merge": predictor.merge,
        "agreement": predictor.agreement,
        "label_set": None if label_set is None else label_set.to_json()["labels"],
        "patch": options.patch,
        "overlap": options.overlap,
        "tile": options.tile,
        "tissue": options.tissue,
        "stains": options.stains,
    }


def fingerprint(path: Path) -> str:
    """Tells an image file from another of the same name: its size and some of its bytes, hashed.

    Args:
      path: a file, or a folder of files.

    Returns:
      The same wherever the file lies, and whenever it was written.
    """
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


def _spread(of: Sequence[T]) -> list[T]:
    """The first, the last and some in between, all of which if they are few."""
    n = len(of)
    if n <= _PLACES:
        return list(of)
    return [of[i * (n - 1) // (_PLACES - 1)] for i in range(_PLACES)]


def check_same(plan: Mapping[str, Any], other: Mapping[str, Any], where: str) -> None:
    """Refuses what was found in another way.

    Raises:
      ValueError: names the first entry that differs, both values and the way out.
    """
    for key in sorted({*plan, *other}):
        now, then = plan.get(key), other.get(key)
        if json.loads(json.dumps(now)) != then:
            raise ValueError(
                f"{where} was made with {key}={then!r}, now it is {now!r}; take another output "
                "folder, or begin anew with --overwrite"
            )
