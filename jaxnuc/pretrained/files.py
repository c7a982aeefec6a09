"""Named arrays from a file or a mapping, under the names that they have in the network."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

PREFIX = "module."  # of networks that were trained on several devices

Source = str | os.PathLike[str] | Mapping[str, Any]


def read(source: Source) -> dict[str, np.ndarray]:
    """Reads a checkpoint.

    Args:
      source: a `.safetensors` or `.npz` file, or a mapping from names to arrays, which may be under
        the key `desc` of another, as HoVer-Net's are.

    Returns:
      Arrays by name, without the prefix `module.` that `torch.nn.DataParallel` gives.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: another kind of file, a damaged one, or entries that are no arrays.
    """
    found = source.get("desc", source) if isinstance(source, Mapping) else _read_file(Path(source))
    for name, value in found.items():
        if not hasattr(value, "shape"):
            raise ValueError(
                f"{name!r} is of type {type(value).__name__}; a mapping of weights has an array "
                "for each name, and may itself be under the key 'desc' of another"
            )
    prefixed = all(name.startswith(PREFIX) for name in found)
    return {
        name.removeprefix(PREFIX) if prefixed else name: np.asarray(value)
        for name, value in found.items()
    }


def _read_file(path: Path) -> dict[str, np.ndarray]:
    if path.suffix not in (".safetensors", ".npz"):
        raise ValueError(
            f"{path}: weights are read from .safetensors and .npz; the three lines in "
            "docs/pretrained.md make one from a .pth or .tar of PyTorch"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with path.open("rb") as opened, np.load(opened) as file:
            return dict(file)
    except (SafetensorError, zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ValueError(f"{path} is damaged or no {path.suffix} file: {error}") from error
