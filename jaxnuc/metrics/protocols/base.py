"""What every protocol is: what it keeps of each image, and the figures that follow."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from jaxnuc.metrics.base import build_entry, check_needs
from jaxnuc.metrics.conventions import Conventions
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.metrics.rows import aligned
from jaxnuc.registry import Registry


class Figure(NamedTuple):
    """A figure of a protocol: its value, NaN where nothing contributes, and what it stands for.

    The name is such as `mpq`, or `<name>/<which>` for each class, tissue or threshold.
    """

    name: str
    value: float
    meaning: str


def of_each(
    figure: str, names: Iterable[str], values: Iterable[float], meaning: str = ""
) -> list[Figure]:
    """What there is of a figure for each class or tissue of these names."""
    return [
        Figure(f"{figure}/{name}", float(value), f"{meaning or figure} of {name}")
        for name, value in zip(names, values, strict=True)
    ]


class Protocol:
    """A published way to evaluate a data set.

    A subclass may be a frozen dataclass whose fields are its arguments.

    Attributes:
      name: by default that of the module.
      title: for tables and reports.
      needs: what every image must have, of `jaxnuc.metrics.pair.NEEDS`.
      fixed: whether the protocol has its own conventions: it then scores whole images, and nothing
        may be left out at their borders or near outlines.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        if "name" not in cls.__dict__:
            cls.name = cls.__module__.rpartition(".")[2]

    def state(self, image: ImagePair) -> Any:
        """What is kept of an image: picklable, as it is made in other processes."""
        raise NotImplementedError

    def figures(self, states: Sequence[Any], class_names: Sequence[str]) -> list[Figure]:
        """The figures of a data set, from the states of its images in any order."""
        raise NotImplementedError


REGISTRY = Registry("protocol", "jaxnuc.metrics.protocols", "Protocol", base=Protocol)


@dataclass(frozen=True)
class Result:
    """The figures of a protocol, with its name and title: printed, a table."""

    name: str
    title: str
    figures: tuple[Figure, ...]

    def __getitem__(self, name: str) -> float:
        return {figure.name: figure.value for figure in self.figures}[name]

    def json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "title": self.title,
            "figures": {figure.name: figure.value for figure in self.figures},
            "meaning": {figure.name: figure.meaning for figure in self.figures},
        }

    def tables(self) -> list[list[list[str]]]:
        """Rows of cells: the single figures with their meaning, and what there are several of."""
        single = [f for f in self.figures if "/" not in f.name]
        tables = [[[f.name, f"{f.value:.4f}", f.meaning] for f in single]]
        # Figures of the same classes (tissues, thresholds) share a table, a column each.
        columns: dict[str, dict[str, str]] = {}
        for figure in self.figures:
            if "/" in figure.name:
                column, _, which = figure.name.partition("/")
                columns.setdefault(column, {})[which] = f"{figure.value:.4f}"
        for keys in dict.fromkeys(tuple(cells) for cells in columns.values()):
            names = [name for name, cells in columns.items() if tuple(cells) == keys]
            rows = [[key, *(columns[name][key] for name in names)] for key in keys]
            tables.append([["", *names], *rows])
        return [rows for rows in tables if rows]

    def __str__(self) -> str:
        return "\n\n".join([self.title, *map(aligned, self.tables())])


def make(entries: Iterable[str | Mapping[str, Any] | Protocol]) -> tuple[Protocol, ...]:
    """Protocols by name: of the library, dotted, or sections `{"name": ..., **arguments}`.

    Raises:
      ValueError: an unknown name or argument.

    >>> [protocol.title for protocol in make(["coco"])]
    ['COCO average precision']
    """
    return tuple(build_entry(REGISTRY, entry) for entry in entries)


def check(
    protocols: Iterable[Protocol], available: Collection[str], conventions: Conventions
) -> None:
    """Refuses protocols that need more than what is `available` of every image.

    Raises:
      ValueError: names the protocol and what it needs.
    """
    for protocol in protocols:
        check_needs(f"protocol {protocol.name!r}", protocol.needs, available)
        if protocol.fixed and (conventions.border is not None or conventions.tolerance):
            raise ValueError(
                f"protocol {protocol.name!r} scores whole images; leave border="
                f"{conventions.border} and tolerance={conventions.tolerance:g} out"
            )


def results(
    protocols: Sequence[Protocol],
    states: Sequence[Sequence[Any]],
    class_names: Sequence[str] = (),
) -> tuple[Result, ...]:
    """The figures of a data set from the states of each image, in the order of the protocols."""
    return tuple(
        Result(p.name, p.title, tuple(p.figures([state[k] for state in states], class_names)))
        for k, p in enumerate(protocols)
    )
