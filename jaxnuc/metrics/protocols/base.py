"""What every protocol is: what it keeps of each image, and the figures that follow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from jaxnuc.metrics._rows import aligned
from jaxnuc.metrics.base import build_entry, check_needs
from jaxnuc.metrics.conventions import Conventions
from jaxnuc.metrics.pair import ImagePair
from jaxnuc.registry import Registry


class Figure(NamedTuple):
    """A figure of a protocol.

    Attributes:
      name: such as `mpq`; what there is one of for each class, tissue or threshold is
        `<name>/<which>`.
      value: NaN where nothing contributes.
      meaning: what it stands for, in a line.
    """

    name: str
    value: float
    meaning: str


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
        """The figures of a data set.

        Args:
          states: of its images; those of several processes are put together in any order.
          class_names: of class 1, 2, ...
        """
        raise NotImplementedError


REGISTRY = Registry("protocol", "jaxnuc.metrics.protocols", "Protocol", base=Protocol)


@dataclass(frozen=True)
class Result:
    """The figures of a protocol: printed, a table.

    Attributes:
      name: of the protocol.
      title: of the protocol.
      figures: in the order of the table.
    """

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
        rows: dict[str, list[str]] = {}
        for figure in self.figures:
            if "/" in figure.name:
                column, _, which = figure.name.partition("/")
                rows.setdefault(column, []).append(which)
        for keys in dict.fromkeys(tuple(keys) for keys in rows.values()):
            names = [column for column, found in rows.items() if tuple(found) == keys]
            cells = [[f"{self[f'{name}/{key}']:.4f}" for name in names] for key in keys]
            tables.append([["", *names], *([k, *c] for k, c in zip(keys, cells, strict=True))])
        return [rows for rows in tables if rows]

    def __str__(self) -> str:
        return "\n\n".join([self.title, *map(aligned, self.tables())])


def make(entries: Iterable[str | Mapping[str, Any] | Protocol]) -> tuple[Protocol, ...]:
    """Protocols by name.

    Args:
      entries: names of the library's protocols, dotted names from other packages, or sections
        `{"name": ..., **arguments}`.

    Raises:
      ValueError: an unknown name or argument.

    >>> [protocol.title for protocol in make(["coco"])]
    ['COCO average precision']
    """
    return tuple(build_entry(REGISTRY, entry) for entry in entries)


def check(
    protocols: Iterable[Protocol], available: Iterable[str], conventions: Conventions
) -> None:
    """Refuses protocols that need more than there is.

    Args:
      protocols: to check.
      available: what every image has, of `jaxnuc.metrics.pair.NEEDS`.
      conventions: with which the images are scored.

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
    """The figures of a data set by several protocols.

    Args:
      protocols: which.
      states: of each image those of all protocols, in their order.
      class_names: of class 1, 2, ...
    """
    return tuple(
        Result(p.name, p.title, tuple(p.figures([state[k] for state in states], class_names)))
        for k, p in enumerate(protocols)
    )
