"""Weights that Keras saves, read from HDF5 without Keras: arrays by name, and nothing else.

Three forms are read: `.h5`, a whole model or its weights, as Keras 2 writes it and Keras 3 still
can; and `.weights.h5` and `.keras` of Keras 3. They are described at keras.io, "Saving and
serialization". The program in a model, such as Lambda layers, is not looked at.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from jaxnuc.io.limits import MOST_BYTES, check_bytes

# Keras 3 numbers the variables of a layer.
VARIABLES = {
    "conv2d": ("kernel", "bias"),
    "conv2d_transpose": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}
UNNAMED = re.compile(rf"({'|'.join(VARIABLES)})(?:_(\d+))?")
# Where the layers are: of a whole model as Keras 2 saves it, and in Keras 3. Beside them are the
# optimizer and metrics.
WITHIN = ("model_weights", "layers")
WITHIN_KERAS = "model.weights.h5"


def read_keras(path: Path) -> dict[str, np.ndarray]:
    """Arrays by the names of layer and variable, such as `features/kernel`.

    Layers that were given no name count from 0, each kind by itself and in the order in which they
    were made: `conv2d_0`, `conv2d_transpose_3`. Keras' own numbers go on from one network to the
    next of a program.

    Raises:
      ValueError: it is damaged or no such file, has no arrays, or points to other files.
      ModuleNotFoundError: h5py is not installed.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path}: files of Keras are read with h5py: pip install jaxnuc[weights]"
        ) from error

    try:
        with _opened(path) as file, h5py.File(file, "r") as content:
            inner = next((name for name in WITHIN if name in content), None)
            arrays = dict(_arrays(content[inner] if inner else content, path))
    except _Refused as error:
        raise ValueError(f"{path} {error}") from None
    except Exception as error:  # HDF5 raises whatever a damaged file leads it to
        raise ValueError(
            f"{path} is damaged or no file of Keras: {type(error).__name__}: {error}"
        ) from error
    if not arrays:
        raise ValueError(f"{path} has no arrays that belong to a layer")
    return _renumbered(arrays)


class _Refused(Exception):
    """What a file holds that is not read."""


def _opened(path: Path) -> IO[bytes]:
    """The HDF5 file, which `.keras` has in a zip archive."""
    if path.suffix != ".keras":
        return path.open("rb")
    with zipfile.ZipFile(path) as archive, archive.open(WITHIN_KERAS) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise _Refused(f"has weights of more than {MOST_BYTES / 2**30:.0f} GiB, which are not read")
    return io.BytesIO(content)


def _arrays(group: Any, path: Path) -> Iterator[tuple[str, np.ndarray]]:
    found: dict[str, Any] = {}

    def visit(place: str, member: Any) -> None:  # is not called for links to other files
        if hasattr(member, "shape"):
            name = _name(place)
            if name in found:
                raise _Refused(f"has two arrays of the name {name}: models in a model are not read")
            found[name] = member

    group.visititems(visit)
    for name, member in found.items():
        if member.external or member.is_virtual:
            raise _Refused(f"has {name} in another file")
        check_bytes(member.shape, member.dtype, f"{path}: {name}")
        yield name, member[()]


def _name(place: str) -> str:
    """From the place in the file, such as `conv2d/conv2d/kernel:0` or `conv2d/vars/0`."""
    *groups, variable = place.split("/")
    variable = variable.removesuffix(":0")
    if groups[-1:] == ["vars"] and len(groups) > 1:
        layer, number = groups[-2], int(variable)
        kind = UNNAMED.fullmatch(layer)
        known = VARIABLES[kind[1]] if kind else ()
        return f"{layer}/{known[number] if number < len(known) else number}"
    return f"{groups[-1]}/{variable}" if groups else variable


def _renumbered(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    layers = {name.rpartition("/")[0] for name in arrays}
    new: dict[str, str] = {}
    for kind in VARIABLES:
        numbers = {
            layer: int(match[2] or 0)
            for layer in layers
            if (match := UNNAMED.fullmatch(layer)) and match[1] == kind
        }
        new |= {
            layer: f"{kind}_{i}"
            for i, layer in enumerate(sorted(numbers, key=lambda x: numbers[x]))
        }
    return {
        "/".join([new.get(layer, layer), variable]): array
        for name, array in arrays.items()
        for layer, _, variable in [name.rpartition("/")]
    }
