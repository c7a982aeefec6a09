"""Digests of what a checkpoint holds, by which damage to its files is noticed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import xxhash
from orbax.checkpoint.future import CommitFutureAwaitingContractedSignals, Future

from jaxnuc.io.text_files import read_json

_DIGEST = "digest"
_FILE = "arrays.json"


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with their digest, from which `read_sealed` sees whether they are whole.

    >>> sealed({"a": 1})
    {'a': 1, 'digest': '8f1c29f50aa952dbd475f930065b4b4f'}
    """
    return {**values, _DIGEST: _of_json(values)}


def read_sealed(path: Path) -> dict[str, Any]:
    """The values of a file that holds what `sealed` gave as JSON.

    Raises:
      ValueError: there is no such file, or it is damaged.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    return unsealed(read_json(path), str(path))


def unsealed(values: Any, where: str) -> dict[str, Any]:
    """The values that `sealed` was given; `where` they are from, for the error.

    Raises:
      ValueError: they are damaged.
    """
    if not isinstance(values, dict) or values.pop(_DIGEST, None) != _of_json(values):
        raise ValueError(f"{where} is damaged: its content has not the digest that it states")
    return values


def of_arrays(tree: Any) -> dict[str, str]:
    """The digests of the arrays in a tree, by their places in it, such as `params/conv/kernel`."""
    return {path: _of_array(np.asarray(array)) for path, array in _leaves(tree)}


def check_arrays(folder: Path, tree: Any) -> None:
    """Compares the arrays that were read with the digests of those that were saved.

    Args:
      folder: in which `DigestHandler` wrote the digests.
      tree: the arrays, at their places in the tree that was saved; others of it may be left out.

    Raises:
      ValueError: an array is another one, or is missing; names it.
    """
    stored = read_sealed(folder / _FILE)
    for path, array in _leaves(tree):
        if not isinstance(array, np.ndarray):  # Orbax leaves a shape in its place
            raise ValueError(f"the array {path} is missing")
        if stored.get(path) != _of_array(array):
            raise ValueError(f"the array {path} is damaged: it has another digest than when saved")


class DigestHandler(ocp.AsyncCheckpointHandler):
    """Writes the digests of a tree of arrays, in the background as Orbax does the arrays."""

    async def async_save(self, directory: Path, args: "DigestSave") -> list[Future]:
        """Begins to compute and write."""
        return [CommitFutureAwaitingContractedSignals(self._write(directory, args.tree))]

    async def _write(self, directory: Path, tree: Any) -> None:
        if jax.process_index() == 0:
            (directory / _FILE).write_text(json.dumps(sealed(of_arrays(tree))))

    def save(self, directory: Path, args: "DigestSave") -> None:
        """Not used: checkpoints are saved in the background."""
        raise NotImplementedError

    def restore(self, directory: Path, args: Any = None) -> Any:
        """Not used: `check_arrays` reads what was written."""
        raise NotImplementedError


@ocp.args.register_with_handler(DigestHandler, for_save=True, for_restore=True)
@dataclass
class DigestSave(ocp.args.CheckpointArgs):
    """The tree of arrays whose digests are saved."""

    tree: Any


def _of_json(values: Mapping[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(values, sort_keys=True).encode())


def _of_array(array: np.ndarray) -> str:
    digest = xxhash.xxh3_128(f"{array.dtype} {array.shape}".encode())
    # As bytes: buffers know no bfloat16.
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield jax.tree_util.keystr(keys, simple=True, separator="/"), leaf
