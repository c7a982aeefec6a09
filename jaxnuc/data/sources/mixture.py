"""Several data sets as one: mixed for training, one after the other for evaluation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from jaxnuc import label_sets
from jaxnuc.data import oversampling, resolution
from jaxnuc.data.sample import Sample
from jaxnuc.data.sample import Source as AnySource
from jaxnuc.data.sources._mapping import Mapped
from jaxnuc.data.sources._orders import Episodes, Epochs, Shares
from jaxnuc.labels import Cut

ENDLESS = 2**31 - 1  # the largest length that index arrays of 32 bits can address


class Source:
    """Several sources as one.

    For training it is an endless stream whose sample i depends on `seed` and i alone. Each source
    is read in epochs of its own, without repetition within one, or as often as `balance` says.
    In other splits it holds all images of all sources, one source after the other.

    In a configuration the sources are sections, each with its `weight` and `balance` beside its
    own arguments; `jaxnuc.data.splits.open_split` opens them:

        {"name": "mixture", "cut": "superclasses", "sources": [
            {"name": "consep", "weight": 2.0, "balance": "sqrt"}, {"name": "monusac"}]}

    Args:
      sources: of one split.
      weights: how often each is read, relative to the others; None: all alike.
      balance: for each source None, `"sqrt"`, `"rare"` or a mapping, see
        `jaxnuc.data.oversampling`; its images are read once to count their nuclei.
      split: which one the sources hold.
      seed: of the stream.
      episode: 0 mixes the sources within a batch, in every stretch of the stream in proportion to
        the weights. Otherwise `episode * weight` samples of one source come before those of the
        next: a number of samples, or `"2 epochs"` for as many epochs of each source.
      cut: the classes of all samples: a name of `jaxnuc.label_sets`, a mapping of that name and
        arguments, or a `Cut`. Nuclei of no class of it, and those of a source without classes,
        get the class -1, ignored. `"none"` drops the classes; `"own"` leaves to each source its
        own, the number of which among `cuts` is in the meta of a sample as `cut`; None expects the
        same of all.
      stream: whether to mix the sources endlessly, or to hold all their images one after the
        other; None: to mix them in the split `"train"`.

    Attributes:
      name: the names of the sources, joined by a plus sign.
      parts: the sources, with the classes of `cut`.
      cut: the classes of all samples, missing where there are none or each source has its own.
      cuts: the different label sets of the sources, missing but for `cut="own"`.
      endless: whether this is the stream.
      ignores: whether samples of any source have regions to ignore.

    Raises:
      ValueError: no sources; their classes differ or cannot be read at `cut`; their microns per
        pixel differ by more than 10 % or are known of some only (on reading, where the first and
        the last image of a source did not show it); weights, episodes or balance that are none.
    """

    def __init__(
        self,
        sources: Sequence[AnySource],
        weights: Sequence[float] | None = None,
        balance: Sequence[str | Mapping[str, Any] | None] | None = None,
        split: str = "train",
        seed: int = 0,
        episode: int | str = 0,
        cut: str | Mapping[str, Any] | Cut | None = None,
        stream: bool | None = None,
    ):
        if not sources:
            raise ValueError("a mixture needs at least one source")
        for source in sources:
            if not len(source):
                raise ValueError(f"source {source.name!r} of a mixture is empty")
            if hasattr(source, "cuts"):
                raise ValueError(
                    f"mixture {source.name!r} within a mixture has several label sets; list its "
                    "sources in the outer one"
                )
        if not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed={seed!r} of a mixture: an integer of 0 or more is expected")
        weights = _for_each("weights", weights, 1.0, len(sources))
        balance = _for_each("balance", balance, None, len(sources))
        own = cut == "own"
        self._cuts: list[int | None] = [None] * len(sources)
        if own:
            self.cuts, self._cuts = _own_cuts(sources)
            self.parts = [_at_cut(s, getattr(s, "cut", None) or self.cuts[0]) for s in sources]
        else:
            common = _common_cut(sources, cut)
            if common is not None:
                self.cut = common
            self.parts = [s if cut is None else _at_cut(s, common) for s in sources]
        self.name = "+".join(source.name for source in sources)
        self.ignores = any(getattr(source, "ignores", False) for source in sources)
        self.split, self.endless = split, split == "train" if stream is None else stream
        self._prefixes = _prefixes([source.name for source in sources])
        self._reference = None if len(sources) == 1 else self._about(0, self.parts[0][0].meta)
        for part, source in enumerate(self.parts):
            for sample in resolution.probes(source):
                self._described(part, sample)
        if self.endless:
            self._turns = _turns(self.parts, weights, seed, episode)
            self._orders = [
                _order(source, how, (seed, 1 + part))
                for part, (source, how) in enumerate(zip(self.parts, balance, strict=True))
            ]
        else:
            for source in self.parts:
                if getattr(source, "endless", False):
                    raise ValueError(f"source {source.name!r} is endless: nothing can follow it")
        self._ends = np.cumsum([len(part) for part in self.parts], dtype=np.int64)

    def __len__(self) -> int:
        return ENDLESS if self.endless else int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {self.name!r}, which has {len(self)} samples")
        if self.endless:
            part, turn = self._turns(index)
            place = self._orders[part](turn)
        else:
            part = int(np.searchsorted(self._ends, index, side="right"))
            place = int(index) - int(self._ends[part]) + len(self.parts[part])
        return self._described(part, self.parts[part][place])

    def _described(self, part: int, sample: Sample) -> Sample:
        """Tells the source, and refuses another magnification than that of the first sample."""
        meta = self._about(part, sample.meta)
        if self._reference is not None:
            resolution.check_same(self._reference, meta)
        return replace(sample, meta=meta)

    def _about(self, part: int, meta: Mapping[str, Any]) -> dict[str, Any]:
        """The meta of a sample, with its source, and a name unique in the mixture."""
        name = f"{self._prefixes[part]}{meta.get('name')}"
        cut = self._cuts[part]
        own = {} if cut is None else {"cut": cut}
        return {"source": self.parts[part].name, **meta, "name": name, **own}


@dataclass(frozen=True)
class _ReadAt:
    """Reads a sample's classes at another cut: None drops them, an empty lookup makes them -1."""

    lookup: tuple[int, ...] | None

    def __call__(self, sample: Sample) -> Sample:
        if self.lookup is None:
            return replace(sample, classes=None)
        if sample.classes is None:
            return replace(sample, classes=-(sample.instances > 0).astype(np.int32))
        return replace(sample, classes=np.array(self.lookup, np.int32)[sample.classes])


def _at_cut(source: AnySource, common: Cut | None) -> AnySource:
    own: Cut | None = getattr(source, "cut", None)
    if common is None:
        return Mapped(source, _ReadAt(None), cut=None)
    if own is None:
        return Mapped(source, _ReadAt(()), cut=common)
    try:
        # A nucleus of no class of the cut is still one: ignored, not background.
        lookup = own.to(common, outside=-1)
    except ValueError as error:
        raise ValueError(
            f"classes of {source.name!r} at the cut of the mixture: {error}; "
            'give another "cut", or "none" to drop the classes'
        ) from None
    return Mapped(source, _ReadAt(tuple(lookup.tolist())), cut=common)


def _common_cut(sources: Sequence[AnySource], cut: str | Mapping[str, Any] | Cut | None) -> Any:
    cuts = [getattr(source, "cut", None) for source in sources]
    if cut is None:
        for source, own in zip(sources, cuts, strict=True):
            if not _same(cuts[0], own):
                raise ValueError(
                    f"{_classes(sources[0])}, but {_classes(source)}; give the mixture a 'cut' at "
                    'which both can be read, such as "superclasses", or "none" to drop the classes'
                )
        return cuts[0]
    if cut == "none":
        return None
    if not any(cuts):
        raise ValueError(f"cut={cut!r}, but no source of the mixture has classes; leave it out")
    if isinstance(cut, Cut):
        return cut
    arguments = {"name": cut} if isinstance(cut, str) else dict(cut)
    if "name" not in arguments:
        raise ValueError(f"cut={arguments!r} of a mixture needs a 'name' of jaxnuc.label_sets")
    return label_sets.cut(**arguments)


def _own_cuts(sources: Sequence[AnySource]) -> tuple[tuple[Cut, ...], list[int | None]]:
    """The different label sets, and the number of each source's among them.

    The nuclei of a source without classes are all ignored, so that any will do for it.
    """
    cuts: list[Cut] = []
    numbers: list[int | None] = []
    for source in sources:
        cut: Cut | None = getattr(source, "cut", None)
        if cut is not None and cut not in cuts:
            if cuts and cut.tree != cuts[0].tree:
                raise ValueError(
                    f"{_classes(source)} of another label tree than {cuts[0].groups}; "
                    "a mixture needs classes of one tree"
                )
            cuts.append(cut)
        numbers.append(0 if cut is None else cuts.index(cut))
    if not cuts:
        raise ValueError("cut='own', but no source of the mixture has classes; leave it out")
    return tuple(cuts), numbers


def _same(a: Cut | None, b: Cut | None) -> bool:
    """Whether group k means the same leaves in both, whatever its native number and name."""
    if a is None or b is None:
        return a is b
    return a.tree == b.tree and a.leaves == b.leaves


def _classes(source: AnySource) -> str:
    cut = getattr(source, "cut", None)
    return f"{source.name!r} has {'no classes' if cut is None else 'classes ' + str(cut.groups)}"


def _for_each(key: str, values: Sequence[Any] | None, default: Any, count: int) -> list[Any]:
    values = [default] * count if values is None else list(values)
    if len(values) != count:
        raise ValueError(f"{len(values)} {key} for the {count} sources of a mixture")
    return values


def _prefixes(names: Sequence[str]) -> list[str]:
    """What makes the images' names unique: the source, numbered where it comes twice."""
    if len(names) == 1:
        return [""]
    return [
        f"{name}-{names[:k].count(name) + 1}/" if names.count(name) > 1 else f"{name}/"
        for k, name in enumerate(names)
    ]


def _turns(
    parts: Sequence[AnySource], weights: Sequence[float], seed: int, episode: int | str
) -> Shares | Episodes:
    shares = Shares(weights, seed)  # also where there are episodes, for its checks
    if episode == 0:
        return shares
    number, _, unit = str(episode).partition(" ")
    if not number.isdigit() or unit not in ("", "epoch", "epochs"):
        raise ValueError(
            f'episode={episode!r}: a number of samples, such as 4096, or "2 epochs" is expected'
        )
    lengths = []
    for part, weight in zip(parts, weights, strict=True):
        if unit and getattr(part, "endless", False):
            raise ValueError(f"episode={episode!r}: {part.name!r} is endless; give it in samples")
        length = int(number) * Fraction(str(weight)) * (len(part) if unit else 1)
        if length.denominator > 1:
            raise ValueError(
                f"episode={episode!r} times the weight {weight} of {part.name!r} is "
                f"{float(length):g} samples: a whole number is expected"
            )
        lengths.append(int(length))
    return Episodes(lengths)


def _order(
    source: AnySource, balance: str | Mapping[str, Any] | None, seed: tuple[int, int]
) -> Callable[[int], int]:
    if getattr(source, "endless", False) and balance is None:
        return _Onward(len(source))
    weights = None if balance is None else oversampling.image_weights(source, balance)
    return Epochs(len(source), seed, weights)


@dataclass(frozen=True)
class _Onward:
    """The order of a source that is endless itself."""

    length: int

    def __call__(self, position: int) -> int:
        return position % self.length
