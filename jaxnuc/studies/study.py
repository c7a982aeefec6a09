"""What a study is: its rows, how often each is repeated, and on what all are evaluated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from jaxnuc.io.listing import plain_name
from jaxnuc.metrics.base import AGGREGATIONS, REGISTRY, Metric
from jaxnuc.registry import unknown

FIGURES = ("dice_image_mean", "aji_image_mean", "pq_image_mean")


@dataclass(frozen=True)
class Row:
    """A row of the table: a training, or another use of the network of another row.

    Attributes:
      name: as it stands in the table.
      config: configuration with its arguments, as `jaxnuc train --config=` takes it.
      overrides: values as text by key, as `--config.KEY=VALUE`.
      start_from: name of the row, higher up, with whose parameters the training begins.
      network_of: name of the row, higher up, whose networks are evaluated; nothing is trained.
      decoder: section in place of the decoder of the training: see `jaxnuc.load`.
      published: what the paper states, as text for the table.
    """

    name: str
    config: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)
    start_from: str = ""
    network_of: str = ""
    decoder: Mapping[str, Any] | None = None
    published: str = ""

    @property
    def folder(self) -> str:
        """Name of the folder of its runs."""
        return folder_of(self.name)


def folder_of(name: str) -> str:
    """The name of the folder of a row or of a data set."""
    return plain_name(name).strip("_.")


def metric_of(figure: str) -> tuple[type[Metric], str]:
    """The metric and the aggregation of a figure that is named as in `metrics.json`.

    Raises:
      ValueError: there is no such metric or aggregation.

    >>> metric_of("pq_image_mean")[1]
    'image_mean'
    """
    for aggregation in AGGREGATIONS:
        metric = figure.removesuffix(f"_{aggregation}")
        if metric != figure:
            return cast(type[Metric], REGISTRY.find(metric)), aggregation
    raise ValueError(
        f"figure {figure!r} ends in none of {', '.join(AGGREGATIONS)}; write it as 'pq_image_mean'"
    )


def seeds(count: int) -> dict[str, dict[str, str]]:
    """Repeats that differ by their seed.

    >>> seeds(2)
    {'seed_0': {'seed': '0'}, 'seed_1': {'seed': '1'}}
    """
    return {f"seed_{seed}": {"seed": str(seed)} for seed in range(count)}


def folds(count: int) -> dict[str, dict[str, str]]:
    """Repeats that differ by the fold that is their test, of a source without a published split.

    >>> folds(2)["fold_1"]
    {'data.source.split_by.fold': '1/2'}
    """
    return {f"fold_{k}": {"data.source.split_by.fold": f"{k}/{count}"} for k in range(count)}


@dataclass(frozen=True)
class Study:
    """Rows that are trained alike and compared on the same images.

    Attributes:
      title: of the table.
      rows: in the order of the table.
      data: on what all are evaluated, by its name in the table: sections of data sets with the
        `split`, `"test"` where there is none. A section without a name is the data of the training.
      baseline: name of the row with which the others are compared.
      repeats: of each row, by name: values as text by key that differ between them, such as
        `seeds(3)` or `folds(5)`.
      figures: of the table, named as in `metrics.json`; a data set may lack some, such as classes.
      checkpoint: that is evaluated, `"best"` or `"latest"`.
      symmetries: of test-time augmentation.
      patch: side of what the network sees at once in evaluations; None: the whole image.
      note: what a reader of the table has to know.

    Raises:
      ValueError: there are no rows, two of one name, a row without or with too much to train, or
        one that is named but is not there.
    """

    title: str
    rows: Sequence[Row]
    data: Mapping[str, Mapping[str, Any]]
    baseline: str
    repeats: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: seeds(3))
    figures: Sequence[str] = FIGURES
    checkpoint: str = "best"
    symmetries: int = 1
    patch: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not (self.rows and self.data and self.repeats and self.figures):
            raise ValueError(f"study {self.title!r}: rows, data, repeats or figures are empty")
        for figure in self.figures:
            metric_of(figure)
        above: dict[str, Row] = {}
        folders: dict[str, str] = {}
        for row in self.rows:
            if other := folders.get(row.folder):
                raise ValueError(
                    f"study {self.title!r}: rows {other!r} and {row.name!r} would both lie in the "
                    f"folder {row.folder!r}; rename one"
                )
            if bool(row.config) == bool(row.network_of):
                raise ValueError(
                    f"row {row.name!r} needs either a config, to train, or network_of, not both"
                )
            if row.network_of and (row.overrides or row.start_from):
                raise ValueError(
                    f"row {row.name!r} trains nothing; leave out overrides and start_from"
                )
            for name in filter(None, (row.start_from, row.network_of)):
                if name not in above:
                    raise unknown(f"row above {row.name!r}:", name, above)
                if above[name].network_of:
                    raise ValueError(
                        f"row {row.name!r}: {name!r} has no network of its own; name the row "
                        f"{above[name].network_of!r}"
                    )
            above[row.name], folders[row.folder] = row, row.name
        if self.baseline not in above:
            raise unknown("row", self.baseline, above)

    def trained(self, row: Row) -> Row:
        """The row whose training gives the networks of a row."""
        return self._row(row.network_of) if row.network_of else row

    def part_of(self, row: Row) -> str:
        """The row on whose training, first of all, that of a row depends."""
        while name := row.network_of or row.start_from:
            row = self._row(name)
        return row.name

    def part(self, index: int, count: int) -> tuple[Row, ...]:
        """The rows of part `index` of `count`, from 1: rows that need each other stay together.

        Raises:
          ValueError: there is no such part, or there are fewer groups of rows than parts.
        """
        firsts = [row.name for row in self.rows if self.part_of(row) == row.name]
        if not 1 <= index <= count <= len(firsts):
            raise ValueError(
                f"--row={index}/{count}: parts go from 1/N to N/N, with N at most {len(firsts)}, "
                "as many rows as can be trained without another"
            )
        own = firsts[index - 1 :: count]
        return tuple(row for row in self.rows if self.part_of(row) in own)

    def _row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)
