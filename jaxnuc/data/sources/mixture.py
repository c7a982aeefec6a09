"""Several data sets as one: mixed for training, one after the other for evaluation."""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from jaxnuc import labels
from jaxnuc.data import oversampling, resolution
from jaxnuc.data import sample as samples
from jaxnuc.data.orders import Epochs, Shares
from jaxnuc.data.sample import ENDLESS, MappedSource, Sample
from jaxnuc.data.sample import Source as AnySource
from jaxnuc.labels import LabelSet
from jaxnuc.registry import unknown


class Source(samples.Source):
    """Several sources as one.

    For training it is an endless stream whose sample i depends on `seed` and i alone. Each source
    is read in epochs of its own, without repetition within one, or as often as `balance` says.
    In other splits it holds all images of all sources, one source after the other.

    `sets` holds the sources by name, numbered where a name comes twice, `consep-1` and `consep-2`.
    Each has every image once, and its own label set.

    In a configuration the sources are sections, each with its `weight` and `balance` beside its
    own arguments; `jaxnuc.data.splits.open_split` opens them:

        {"name": "mixture", "label_set": "superclasses", "sources": [
            {"name": "consep", "weight": 2.0, "balance": "sqrt"}, {"name": "monusac"}]}

    Args:
      sources: of one split.
      weights: how often each is read, relative to the others; None: all alike.
      balance: for each source None, `"sqrt"`, `"rare"` or a mapping, see
        `jaxnuc.data.oversampling`; its images are read once to count their nuclei.
      split: which one the sources hold.
      seed: of the stream.
      label_set: the classes of all samples: a name of `jaxnuc.labels`, a mapping of that name and
        arguments, or a `LabelSet`. Nuclei of other classes, and those of a source without classes,
        get the class -1, ignored. `"none"` drops the classes; `"own"` leaves to each source its
        own, the number of which among `label_sets` is in the meta of a sample as `label_set`; None
        expects the same of all.
      stream: whether to mix the sources endlessly, or to hold all their images one after the
        other; None: to mix them in the split `"train"`.
      any_mpp: whether the microns per pixel may differ or be unknown, as where all images are
        brought to one size of nuclei (the transform `crop_at_diameter`).

    Raises:
      ValueError: no sources; their classes differ or cannot be mapped to `label_set`; their microns
        per pixel differ by more than 10 % or are known of some only (on reading, where the first
        and the last image of a source did not show it); invalid weights or balance.
    """

    def __init__(
        self,
        sources: Sequence[AnySource],
        weights: Sequence[float] | None = None,
        balance: Sequence[str | Mapping[str, Any] | None] | None = None,
        split: str = "train",
        seed: int = 0,
        label_set: str | Mapping[str, Any] | LabelSet | None = None,
        stream: bool | None = None,
        any_mpp: bool = False,
    ):
        self.split, self.endless = split, split == "train" if stream is None else stream
        if not sources:
            raise ValueError("a mixture needs at least one source")
        for source in sources:
            if not len(source):
                raise ValueError(f"source {source.name!r} of a mixture is empty")
            if source.label_sets:
                raise ValueError(
                    f"mixture {source.name!r} within a mixture has several label sets; list its "
                    "sources in the outer one"
                )
            if source.endless and not self.endless:
                raise ValueError(f"source {source.name!r} is endless: nothing can follow it")
        if not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed={seed!r} of a mixture: an integer of 0 or more is expected")
        weights = _for_each("weights", weights, 1.0, len(sources))
        balance = _for_each("balance", balance, None, len(sources))
        numbers: list[int | None] = [None] * len(sources)
        parts: list[AnySource] = list(sources)
        if label_set == "own":
            self.label_sets, numbers = _own_label_sets(sources)
            parts = [relabeled(s, s.label_set or self.label_sets[0]) for s in sources]
        else:
            common = self.label_set = _common_label_set(sources, label_set)
            if label_set is not None:
                parts = [relabeled(source, common) for source in sources]
        self.name = "+".join(source.name for source in sources)
        self.ignores = any(source.ignores for source in sources)
        self._seed, names = seed, _names(sources)
        self._weights = dict(zip(names, weights, strict=True))
        first = {"source": sources[0].name, **parts[0][0].meta}
        sets: dict[str, AnySource] = {}
        for name, source, part, number in zip(names, sources, parts, numbers, strict=True):
            prefix = name if len(names) > 1 else ""
            own = MappedSource(
                part, _Described(source.name, prefix, number, None if any_mpp else first)
            )
            if source.label_set is None:
                own.label_set = None  # its nuclei have no class
            for _ in resolution.probes(own):
                pass  # refuses another magnification than that of the first sample
            sets[name] = own
        if self.endless:
            self._orders = {
                name: _order(own, how, (seed, number))
                for number, ((name, own), how) in enumerate(
                    zip(sets.items(), balance, strict=True), 1
                )
            }
        self._read(sets)

    def _read(self, sets: Mapping[str, AnySource]) -> None:
        """Makes these the data sets of the mixture."""
        self.sets, self._names = sets, list(sets)
        if self.endless:
            self._turns = Shares([self._weights[name] for name in sets], self._seed)
        self._ends = np.cumsum([len(each) for each in sets.values()], dtype=np.int64)

    def only(self, names: Sequence[str]) -> Self:
        """The same mixture of some of its data sets: weights, orders and label sets are those here.

        Raises:
          ValueError: it has no data set of some name.
        """
        for name in names:
            if name not in self.sets:
                raise unknown("data set of the mixture", name, self.sets)
        part = copy.copy(self)
        part._read({name: each for name, each in self.sets.items() if name in names})
        return part

    def __len__(self) -> int:
        return ENDLESS if self.endless else int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {self.name!r}, which has {len(self)} samples")
        if self.endless:
            part, turn = self._turns(index)
            name = self._names[part]
            return self.sets[name][self._orders[name](turn)]
        part = int(np.searchsorted(self._ends, index, side="right"))
        own = self.sets[self._names[part]]
        return own[int(index) - int(self._ends[part]) + len(own)]


def only(source: AnySource, names: Sequence[str]) -> AnySource:
    """Some of the data sets of a mixture, by name; of no names the source as it is.

    Raises:
      ValueError: the source has no such data set.
    """
    if not names:
        return source
    if not isinstance(source, Source):
        raise ValueError(f"{source.name!r} is no mixture that has data sets {', '.join(names)}")
    return source.only(names)


@dataclass(frozen=True)
class _Described:
    """Adds to a sample what it needs in a mixture, and refuses one of another magnification.

    Attributes:
      source: its source, where the sample does not say.
      prefix: of its name, which is unique then; empty where there is one source alone.
      number: of its label set, where there are several.
      first: the meta of the mixture's first sample; None where magnifications may differ.
    """

    source: str
    prefix: str
    number: int | None
    first: Mapping[str, Any] | None

    def __call__(self, sample: Sample) -> Sample:
        meta = {"source": self.source, **sample.meta}
        if self.number is not None:
            meta["label_set"] = self.number
        if self.prefix:
            meta["name"] = f"{self.prefix}/{sample.meta.get('name')}"
            if self.first is not None:
                resolution.check_same(self.first, meta)
        return replace(sample, meta=meta)


@dataclass(frozen=True)
class _ReadAt:
    """Gives a sample the classes of a lookup: None drops them, an empty one makes them -1."""

    lookup: tuple[int, ...] | None

    def __call__(self, sample: Sample) -> Sample:
        if self.lookup is None:
            return replace(sample, classes=None)
        if sample.classes is None:
            return replace(sample, classes=-(sample.instances > 0).astype(np.int32))
        return replace(sample, classes=np.array(self.lookup, np.int32)[sample.classes])


def relabeled(source: AnySource, common: LabelSet | None) -> AnySource:
    """The source with the classes of a label set, or without any; outside of it they are ignored.

    Raises:
      ValueError: a class of the source would have to be divided, or is of another label tree.
    """
    lookup: tuple[int, ...] | None = None if common is None else ()
    if common is not None and source.label_set is not None:
        try:
            # A nucleus outside of the label set is still a nucleus: ignored, not background.
            lookup = tuple(source.label_set.to(common, outside=-1).tolist())
        except ValueError as error:
            raise ValueError(
                f"classes of {source.name!r} in the label set asked for: {error}; give another "
                '"label_set", or for a mixture "none" to drop the classes'
            ) from None
    found = MappedSource(source, _ReadAt(lookup))
    found.label_set = common
    return found


def _common_label_set(
    sources: Sequence[AnySource], label_set: str | Mapping[str, Any] | LabelSet | None
) -> Any:
    first = sources[0].label_set
    if label_set is None:
        for source in sources:
            if _meaning(source.label_set) != _meaning(first):
                raise ValueError(
                    f"{_classes(sources[0])}, but {_classes(source)}; give the mixture a "
                    '\'label_set\' for both, such as "superclasses", or "none" to drop the '
                    "classes"
                )
        return first
    if label_set == "none":
        return None
    if not any(source.label_set for source in sources):
        raise ValueError(
            f"label_set={label_set!r}, but no source of the mixture has classes; leave it out"
        )
    if isinstance(label_set, LabelSet):
        return label_set
    arguments = {"name": label_set} if isinstance(label_set, str) else dict(label_set)
    if "name" not in arguments:
        raise ValueError(f"label_set={arguments!r} of a mixture needs a 'name' of jaxnuc.labels")
    return labels.label_set(**arguments)


def _own_label_sets(sources: Sequence[AnySource]) -> tuple[tuple[LabelSet, ...], list[int | None]]:
    """The different label sets, and the number of each source's among them.

    The nuclei of a source without classes are all ignored, so that any will do for it.
    """
    label_sets: list[LabelSet] = []
    for source in sources:
        own = source.label_set
        if own is not None and own not in label_sets:
            if label_sets and own.tree != label_sets[0].tree:
                raise ValueError(
                    f"{_classes(source)} of another label tree than {label_sets[0].groups}; "
                    "a mixture needs classes of one tree"
                )
            label_sets.append(own)
    if not label_sets:
        raise ValueError("label_set='own', but no source of the mixture has classes; leave it out")
    return tuple(label_sets), [label_sets.index(s.label_set) if s.label_set else 0 for s in sources]


def _meaning(own: LabelSet | None) -> Any:
    """What group k stands for: the leaves, whatever its native number and name."""
    return own and (own.tree, own.leaves)


def _classes(source: AnySource) -> str:
    own = source.label_set
    return f"{source.name!r} has {f'classes {own.groups}' if own else 'no classes'}"


def _for_each(key: str, values: Sequence[Any] | None, default: Any, count: int) -> list[Any]:
    values = [default] * count if values is None else list(values)
    if len(values) != count:
        raise ValueError(f"{len(values)} {key} for the {count} sources of a mixture")
    return values


def _names(sources: Sequence[AnySource]) -> list[str]:
    """The names of the sources, numbered where one comes twice."""
    names = [source.name for source in sources]
    return [
        f"{name}-{names[:k].count(name) + 1}" if names.count(name) > 1 else name
        for k, name in enumerate(names)
    ]


def _order(
    source: AnySource, balance: str | Mapping[str, Any] | None, seed: tuple[int, int]
) -> Callable[[int], int]:
    if source.endless and balance is None:
        return functools.partial(_onward, len(source))
    weights = None if balance is None else oversampling.image_weights(source, balance)
    return Epochs(len(source), seed, weights)


def _onward(length: int, position: int) -> int:
    """The order of a source that is endless itself."""
    return position % length
