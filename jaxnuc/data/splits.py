"""The splits of the data sets that a configuration names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from jaxnuc import registry
from jaxnuc.data import resolution, sources
from jaxnuc.data.resolution import SetMpp
from jaxnuc.data.sample import MappedSource, Sample, Source
from jaxnuc.data.sample_checks import Problem
from jaxnuc.data.sources import mixture
from jaxnuc.data.sources.base import RandomSplit
from jaxnuc.data.splitting import SplitBy
from jaxnuc.data.windows import windows
from jaxnuc.io.pixel_size import check_mpp

ROOT = "JAXNUC_DATA"
SECTION = ("root", "mpp", "windows", "balance", "split_by")  # what every section takes
MIXTURE = ("label_set", "seed", "any_mpp")  # arguments of a mixture's section beside its sources

ALL_SPLITS = ("train", "val", "test", "unlabeled")
REST = "no split"  # the images of "all" that are in none of them


def open_split(
    section: Mapping[str, Any],
    root: str | Path,
    split: str,
    mpp: float | None = None,
    seed: int = 0,
    stream: bool | None = None,
) -> Source:
    """Opens a split of a data set, or of a mixture of them.

    Beside the arguments of its source, every section takes

    * `root`: where its files are, where the argument `root` is empty or that of a mixture;
    * `mpp`: microns per pixel of its images, in place of what the files say or leave out;
    * `windows`: for training, read sliding windows, see `jaxnuc.data.windows.windows`;
    * `balance`: for training, draw images with rare classes more often, in an endless stream, see
      `jaxnuc.data.oversampling.image_weights`;
    * `split_by`: of a source without a published split, `{"groups": ..., "stratify": ...,
      "fold": ...}`, each with a default, see `jaxnuc.data.splitting.SplitBy`.

    The section of a mixture is `{"name": "mixture", "sources": [section, ...], **arguments}` with
    the arguments of `jaxnuc.data.sources.mixture.Source`; its sections take `weight` too.

    Args:
      section: `{"name": ..., **arguments}` of a source.
      root: where its files are, of a mixture the folder that holds a folder of each source's
        name; empty: the section's own `root`, else the folder of its name below `$JAXNUC_DATA`.
      split: `"train"`, `"val"`, `"test"`, or what else the source knows.
      mpp: microns per pixel to which all images are resampled; None leaves them.
      seed: of the order of a mixture and of what is balanced, unless its section has one.
      stream: whether to read for training: windows, balanced and mixed; else every image once.
        None: in the split `"train"`.

    Raises:
      ValueError: unknown source or argument, a source with files and no root, or microns per
        pixel that are unknown where they are needed.
      FileNotFoundError: the root does not hold the source's files.
    """
    if mpp is not None:
        check_mpp(mpp)
    stream = split == "train" if stream is None else stream
    values = dict(section)
    name, own_root = values.pop("name"), values.pop("root", "")
    if name == "mixture":
        return _open_mixture(values, root or own_root, split, mpp, seed, stream)
    parameters = sources.REGISTRY.parameters(name)
    balance, split_by = values.pop("balance", None), values.pop("split_by", None)
    own_windows = values.pop("windows", None)
    own_mpp = values.pop("mpp", None)
    if "split" in values:
        raise ValueError(
            f"split={values['split']!r} in the section of {name!r}: the split is the command's, "
            "train and val in training; leave it out"
        )
    for key in values:
        if key not in parameters:
            raise registry.unknown(f"argument of source {name!r}:", key, {*parameters, *SECTION})
    if "root" in parameters:
        values["root"] = _root(name, root or own_root)
    elif own_root:
        raise ValueError(f"source {name!r} reads no files: root={own_root!r} has no meaning")
    source = _create(name, split, split_by, values)
    if own_mpp is not None:
        source = MappedSource(source, SetMpp(own_mpp))
    if mpp is not None:
        source = resolution.resampled(source, mpp)
    if own_windows is not None and stream:
        source = windows(source, own_windows)
    if balance is not None and stream:
        return mixture.Source([source], balance=[balance], split=split, seed=seed, stream=True)
    return source


def _create(
    name: str, split: str, split_by: Mapping[str, Any] | None, values: Mapping[str, Any]
) -> Source:
    """Opens a split of a source, as it is divided itself or by `split_by`."""
    if split_by is None:
        return sources.create(name, split=split, **values)
    cls = sources.REGISTRY.find(name)
    if not (isinstance(cls, type) and issubclass(cls, RandomSplit)):
        raise ValueError(
            f"split_by={dict(split_by)}: source {name!r} is divided as it was published; leave "
            "split_by out"
        )
    by = SplitBy.of(split_by)
    source = cast(RandomSplit, sources.create(name, split="all", **values))
    source.divide(split, by)
    return source


def _root(name: str, root: str | Path, given: str = "--config.data.root=FOLDER") -> Path:
    if root:
        return Path(root).expanduser()
    if ROOT in os.environ:
        return Path(os.environ[ROOT]).expanduser() / name
    raise ValueError(
        f"where are the files of {name!r}? Give {given}, or set {ROOT} to a folder that holds "
        f"{name}/"
    )


def _open_mixture(
    values: dict[str, Any], root: str | Path, split: str, mpp: float | None, seed: int, stream: bool
) -> Source:
    sections = values.pop("sources", None)
    if not isinstance(sections, list | tuple) or not sections:
        raise ValueError(
            'a mixture needs sources: {"name": "mixture", "sources": [{"name": ...}, ...]}'
        )
    for key in values:
        registry.check_known("argument of source 'mixture':", key, (*MIXTURE, "sources", "root"))
    arguments = {"seed": seed, **values}
    parts, weights, balance = [], [], []
    for number, section in enumerate(sections):
        if "name" not in section:
            raise ValueError(f"sources[{number}] of a mixture has no 'name': {section!r}")
        own = dict(section)
        weights.append(own.pop("weight", 1.0))
        balance.append(own.pop("balance", None))
        # The root of a mixture is that of all its sources, and less particular than their own.
        below = "" if own["name"] == "mixture" else own["name"]
        where = Path(root) / below if root and not own.get("root") else ""
        parts.append(open_split(own, where, split, mpp, arguments["seed"], stream))
    return mixture.Source(parts, weights, balance, split, stream=stream, **arguments)


def open_splits(
    name: str, root: str | None, split: str = "all", arguments: dict[str, Any] | None = None
) -> tuple[dict[str, Source], list[Problem]]:
    """Opens the splits of a data set.

    Args:
      name: of the source.
      root: its folder or archive; None for a source without files, or for the folder of its name
        below `$JAXNUC_DATA`.
      split: one of its splits, or `"all"` for train, val, test and unlabeled as far as it has
        them, and for the images that are in none of these.
      arguments: of the source, other than these, and `split_by`, see `open_split`.

    Returns:
      The sources by split; and, of a source that cannot be opened as a whole, a problem for each
      of train, val and test that cannot be opened: a note where it is not there, else an error.

    Raises:
      ValueError: unknown source, argument or split, or files that do not match.
      FileNotFoundError: the data are not there.
    """
    parameters = sources.REGISTRY.parameters(name)
    given: dict[str, Any] = {**({} if root is None else {"root": root}), **(arguments or {})}
    split_by = given.pop("split_by", None)
    if "root" in parameters and "root" not in given:
        given["root"] = _root(name, "", "its folder or archive")
    if "cache" in parameters:
        given.setdefault("cache", False)  # every image is read once
    if "split" not in parameters:
        return {split: sources.create(name, **given)}, []
    if split != "all":
        return {split: _create(name, split, split_by, given)}, []
    opened, failed = {}, {}
    for each in (*ALL_SPLITS, "all"):
        try:
            opened[each] = _create(name, each, split_by, given)
        except (OSError, ValueError) as error:
            failed[each] = error
    if not opened:
        raise failed["train"]
    whole = opened.pop("all", None)
    if whole is None:
        problems = []
        for each, fault in failed.items():
            # A split that is not there is no error; one that is damaged is.
            absent = isinstance(fault, FileNotFoundError) or str(fault).startswith("unknown split")
            level, kind = ("note", "split not there") if absent else ("error", "unreadable")
            if each not in ("unlabeled", "all"):
                problems.append(Problem(level, kind, str(fault), each))
        return opened, problems
    if not opened:
        return {"all": whole}, []
    known = {each for source in opened.values() for each in source.ids}
    rest = [index for index, each in enumerate(whole.ids) if each not in known]
    return {**opened, REST: _Part(whole, rest)} if rest else opened, []


class _Part(Source):
    """Some images of a source."""

    def __init__(self, source: Source, indices: list[int]):
        self.name, self.label_set, self.ignores = source.name, source.label_set, source.ignores
        self.ids = [source.ids[index] for index in indices]
        self._source, self._indices = source, indices

    def __getitem__(self, index: int) -> Sample:
        return self._source[self._indices[index]]
