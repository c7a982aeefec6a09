"""Pretrained weights: checkpoints of PyTorch and Keras become variables of our networks, and back.

Neither is needed. A layout is a table of names; nothing else of a network is known here. Kernels
are (H, W, in, out) here and in Keras, and (out, in, H, W) in PyTorch, those of convolutions in
groups too.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file

from jaxnuc.io.npy import decode_npz, npz_names
from jaxnuc.pretrained.keras_files import read_keras
from jaxnuc.pretrained.layouts import LAYOUTS, Layout
from jaxnuc.pretrained.torch_files import read_torch
from jaxnuc.registry import expression, unknown

__all__ = ["LAYOUTS", "Match", "export", "load", "match", "read", "transfer"]

COLLECTIONS = ("params", "batch_stats")
PREFIX = "module."  # of networks that were trained on several devices
TORCH = (".pth", ".pt", ".tar", ".bin")
KERAS = (".h5", ".hdf5", ".keras")
# Where training code puts the weights among other things that it saves.
WITHIN = ("desc", "state_dict", "model_state_dict", "model")

Source = str | os.PathLike[str] | Mapping[str, Any]


class Match(NamedTuple):
    """Which array is filled from which.

    Attributes:
      layout: the name of the layout.
      filled: their names by the paths of our arrays, below `params` or `batch_stats`.
      kept: the paths of our arrays that stay as they are.
    """

    layout: str
    filled: dict[str, str]
    kept: list[str]


def read(source: Source) -> dict[str, np.ndarray]:
    """Reads a checkpoint.

    Args:
      source: a file of PyTorch (`.pth`, `.pt`, `.tar`, `.bin`) or Keras (`.h5`, `.hdf5`, `.keras`),
        a `.safetensors` or `.npz` file, or a mapping from names to arrays. They may be under the
        key `desc`, `state_dict`, `model_state_dict` or `model` of another mapping; `desc` is
        HoVer-Net's.

    Returns:
      Arrays by name, without the prefix `module.` that `torch.nn.DataParallel` gives.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: another kind of file, a damaged one, or entries that are no arrays.
    """
    found = source if isinstance(source, Mapping) else _read_file(Path(source))
    where = "the mapping" if isinstance(source, Mapping) else str(source)
    inner = [
        key for key in WITHIN if isinstance(found, Mapping) and isinstance(found.get(key), Mapping)
    ]
    if inner:
        found = found[inner[0]]
    if not isinstance(found, Mapping):
        raise ValueError(f"{where} holds a {type(found).__name__}; weights are a mapping of arrays")
    for name, value in found.items():
        if not (isinstance(name, str) and hasattr(value, "shape")):
            raise ValueError(
                f"{where}: {name!r} is of type {type(value).__name__}; weights have an array for "
                f"each name, and may be in another mapping, under {', '.join(WITHIN)}"
            )
    prefixed = all(name.startswith(PREFIX) for name in found)
    return {
        name.removeprefix(PREFIX) if prefixed else name: np.asarray(value)
        for name, value in found.items()
    }


def load(
    source: Source,
    model: Any,
    variables: Mapping[str, Any],
    layout: str = "auto",
    *,
    keep: str = "",
    drop: str = "",
) -> dict[str, Any]:
    """Fills a network with the weights of a published checkpoint.

    Args:
      source: a file or mapping as `read` takes it.
      model: the network, as `jaxnuc.models.create` makes it.
      variables: of the network, with `params` and `batch_stats`: arrays, or shapes as
        `jax.eval_shape` gives them.
      layout: a key of `LAYOUTS`, or `"auto"` to detect it by the names.
      keep: regular expression of the paths of our arrays that stay as they are, for instance
        `"class_decoder/u0/.*"` where the types of nuclei are other than those of the file.
      drop: regular expression of the names in the file that are not used, for instance
        `r"decoder\\.tp\\..*"` for a network without types.

    Returns:
      `variables` with NumPy arrays in place of those that the layout holds: all, or those of the
      encoder (`resnet`, `hovernet_encoder`). `match` says which.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a layout that is unknown or does not fit the network, an array of ours that the
        file lacks, one of theirs for which the network has no place, or shapes that differ.
    """
    arrays = read(source)
    found = match(arrays, model, variables, layout, keep=keep, drop=drop)
    types = {path: array.dtype for path, array in _flat(variables).items()}
    values = {
        path: LAYOUTS[found.layout].to_ours(path, arrays[name].astype(types[path]))
        for path, name in found.filled.items()
    }
    return {
        collection: _replace(tree, values) if collection in COLLECTIONS else tree
        for collection, tree in variables.items()
    }


def match(
    source: Source,
    model: Any,
    variables: Mapping[str, Any],
    layout: str = "auto",
    *,
    keep: str = "",
    drop: str = "",
) -> Match:
    """Tells what `load` would fill from what; arguments and errors are those of `load`."""
    theirs = {name: array.shape for name, array in read(source).items()}
    layout = _detect(theirs) if layout == "auto" else layout
    network = type(model).__module__.rpartition(".")[2]
    ours = {path: tuple(array.shape) for path, array in _flat(variables).items()}
    chosen = _layout(layout).fitted(ours)
    asked, dropped = _asked(keep, ours, network), _dropped(drop, theirs)
    usable = {name: shape for name, shape in theirs.items() if name not in dropped}

    filled = {
        path: chosen.name(path) for path in ours if path not in asked and _covers(chosen, path)
    }
    hint = f"{chosen.advice}. To leave arrays of the network as they are: keep=REGULAR_EXPRESSION"
    _refuse(f"layout {layout!r} has no name for", (p for p, n in filled.items() if not n), hint)
    missing = (f"{name} for {path}" for path, name in filled.items() if name not in usable)
    _refuse("the weights lack", missing, hint)
    shapes = {path: chosen.shape(path, ours[path]) for path in filled}
    unlike = (
        f"{name} is {usable[name]}, and {path} {ours[path]} would be {shapes[path]}"
        for path, name in filled.items()
        if usable[name] != shapes[path]
    )
    _refuse("shapes differ:", unlike, hint)
    spare = usable.keys() - filled.values() - {chosen.name(path) for path in asked}
    hint = f"{chosen.advice}. To do without some of the weights: drop=REGULAR_EXPRESSION"
    unused = (name for name in spare if not re.fullmatch(chosen.ignored, name))
    _refuse(f"{network} has no place for", unused, hint)
    return Match(layout, filled, [path for path in ours if path not in filled])


def transfer(
    theirs: Mapping[str, Any],
    variables: Mapping[str, Any],
    *,
    keep: str = "",
    drop: str = "",
) -> dict[str, Any]:
    """Takes what fits from the variables of another network of this library.

    An array fits where the other network has one of the same path and shape, and so do all others
    of its layer: a bias is worth nothing without its kernel.

    Args:
      theirs: the other network's `params` and `batch_stats`.
      variables: of the network to fill: arrays, or shapes as `jax.eval_shape` gives them.
      keep: regular expression of the paths of our arrays that stay as they are.
      drop: regular expression of the paths of their arrays that are not used.

    Returns:
      `variables` with arrays of `theirs` in place of those that are taken.

    Raises:
      ValueError: nothing fits, or a pattern matches nothing.
    """
    ours, others = _flat(variables), _flat(theirs)
    left = _asked(keep, ours, "the network") | _dropped(drop, others)
    layer = lambda path: path.rpartition("/")[0]
    unlike = {
        layer(path)
        for path in ours.keys() | others.keys()
        if path not in ours or path not in others or ours[path].shape != others[path].shape
    }
    values = {
        path: array
        for path, array in others.items()
        if path in ours and layer(path) not in unlike and path not in left
    }
    if not values:
        raise ValueError(
            f"no array fits: the weights have {_some(others)}; the network has {_some(ours)}"
        )
    return {
        collection: _replace(tree, values) if collection in COLLECTIONS else tree
        for collection, tree in variables.items()
    }


def export(variables: Mapping[str, Any], layout: str) -> dict[str, np.ndarray]:
    """Names and orders our arrays as a published checkpoint does; the inverse of `load`.

    Args:
      variables: of a network that the layout fits, with `params` and `batch_stats`.
      layout: a key of `LAYOUTS`.

    Returns:
      Arrays by their names, for `resnet` and `hovernet_encoder` those of the encoder. Without what
      `load` ignores, such as `num_batches_tracked`.

    Raises:
      ValueError: unknown layout, or arrays for which it has no name.
    """
    every = _flat(variables)
    chosen = _layout(layout).fitted(every)
    ours = {path: array for path, array in every.items() if _covers(chosen, path)}
    unnamed = (path for path in ours if not chosen.name(path))
    _refuse(f"layout {layout!r} has no name for", unnamed, chosen.advice)
    return {
        chosen.name(path): chosen.to_theirs(path, np.asarray(array)) for path, array in ours.items()
    }


def _asked(keep: str, ours: Collection[str], network: str) -> set[str]:
    """The paths of our arrays that are to stay as they are."""
    found = set(filter(expression("keep", keep).fullmatch, ours))
    if keep and not found:
        raise ValueError(f"keep={keep!r} is the path of no array of {network}, {_some(ours)}")
    return found


def _dropped(drop: str, theirs: Collection[str]) -> set[str]:
    """The names of the weights that are not used."""
    found = set(filter(expression("drop", drop).fullmatch, theirs))
    if drop and not found:
        raise ValueError(f"drop={drop!r} is no name among those of the weights, {_some(theirs)}")
    return found


def _read_file(path: Path) -> Any:
    known = (*TORCH, *KERAS, ".safetensors", ".npz")
    if path.suffix not in known:
        raise ValueError(f"{path}: weights are read from files {', '.join(known)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix in TORCH:
        return read_torch(path)
    if path.suffix in KERAS:
        return read_keras(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        data = path.read_bytes()
        return decode_npz(data, str(path), npz_names(data, str(path)))
    except Exception as error:  # of any type in a damaged file
        raise ValueError(f"{path} is damaged or no {path.suffix} file: {error}") from error


def _layout(name: str) -> Layout:
    if name not in LAYOUTS:
        raise unknown("layout of weights", name, LAYOUTS)
    return LAYOUTS[name]


def _detect(theirs: Mapping[str, Any]) -> str:
    for name, layout in LAYOUTS.items():
        if layout.sign in theirs:
            return name
    signs = ", ".join(f"{layout.sign} ({name})" for name, layout in LAYOUTS.items())
    raise ValueError(f"weights of no known layout: {_some(theirs)}; known by their names: {signs}")


def _covers(layout: Layout, path: str) -> bool:
    return re.fullmatch(layout.covers, path) is not None


def _flat(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays by their paths below the collections; no path is in both."""

    def walk(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if isinstance(tree, Mapping):
            for key, below in tree.items():
                yield from walk(below, (*path, key))
        else:
            yield "/".join(path), tree

    return dict(pair for name in COLLECTIONS for pair in walk(variables.get(name, {}), ()))


def _replace(tree: Any, values: Mapping[str, np.ndarray], path: tuple[str, ...] = ()) -> Any:
    if isinstance(tree, Mapping):
        return {key: _replace(below, values, (*path, key)) for key, below in tree.items()}
    return values.get("/".join(path), tree)


def _some(names: Collection[str], at_most: int = 3) -> str:
    more = len(names) - at_most
    return ", ".join([*names][:at_most]) + (f" and {more} more" if more > 0 else "")


def _refuse(what: str, names: Iterator[str], hint: str) -> None:
    found = sorted(names)
    if found:
        raise ValueError(f"{what} {_some(found)}. {hint}; see docs/pretrained.md")
