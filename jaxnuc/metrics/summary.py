"""The figures of a data set, under names that say how they were aggregated."""

import html
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxnuc.metrics.base import AGGREGATIONS, Metric, ratio
from jaxnuc.metrics.confidence import Interval, Statistic, bootstrap_interval
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.panoptic import mean
from jaxnuc.metrics.protocols.base import Result
from jaxnuc.metrics.rows import aligned, cell, csv_text, html_table
from jaxnuc.metrics.scores import Scores, columns


@dataclass(frozen=True)
class Summary(Mapping[str, float]):
    """A mapping from `<metric>_<aggregation>` to its figure; printed, a table with conventions.

    Attributes:
      figures: the figures, and `images` and `images_skipped`.
      conventions: with which all images were scored.
      intervals: confidence intervals of figures, where they were asked for.
      metrics: what the figures are computed by.
      undefined: by metric, how many images have no value, besides those skipped.
      classes: one mapping for each class, `{"class": name, figure: value, ...}`.
      protocols: the figures of published protocols.
    """

    figures: dict[str, float]
    conventions: Conventions = DEFAULT
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    undefined: Mapping[str, int] = field(default_factory=dict)
    classes: Sequence[Mapping[str, Any]] = ()
    protocols: tuple[Result, ...] = ()

    def __getitem__(self, name: str) -> float:
        return self.figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.figures)

    def __len__(self) -> int:
        return len(self.figures)

    def classes_csv(self) -> str:
        """The figures of each class as comma-separated values."""
        return csv_text(self.classes)

    def _table(self) -> list[list[str]]:
        mpp = self.conventions.mpp
        labels = {m.name: labeled(m.name.replace("_", " "), m, mpp) for m in self.metrics}
        return _rows(self.figures, self.intervals, labels)

    def _class_table(self) -> list[list[str]]:
        head = [key.replace("_", " ") for key in self.classes[0]]
        return [head, *([cell(value) for value in row.values()] for row in self.classes)]

    def _remarks(self) -> list[str]:
        lines = [
            f"{name.replace('_', ' ')}: without the {n} images that have none"
            for name, n in self.undefined.items()
        ]
        return [*lines, str(self.conventions)]

    def __str__(self) -> str:
        lines = [aligned(self._table()), *self._remarks()]
        parts = ["\n".join(lines), *map(str, self.protocols)]
        if self.classes:
            parts.insert(0, aligned(self._class_table()))
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        parts = [html_table(self._class_table())] if self.classes else []
        parts.append(html_table(self._table(), "; ".join(self._remarks())))
        for result in self.protocols:
            parts.append(f"<h4>{html.escape(result.title)}</h4>")
            parts += [html_table(rows) for rows in result.tables()]
        return "".join(parts)


def labeled(name: str, metric: Metric, mpp: float | None) -> str:
    """A name of a metric with its unit and direction, where they are not the usual ones."""
    remarks = [metric.unit_of(mpp), "" if metric.higher_is_better else "lower is better"]
    text = ", ".join(filter(None, remarks))
    return name + (f" ({text})" if text else "")


def table(
    figures: Mapping[str, float],
    intervals: Mapping[str, Interval] | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Figures as an aligned text: a line for each metric, a column for each aggregation.

    Args:
      figures: named as by `summarize`.
      intervals: of some of the figures, printed behind them.
      labels: of some of the metrics, in place of their names.

    >>> print(table({"dice_image_mean": 0.91234, "aji_image_mean": 0.7, "dice_pooled": 0.9,
    ...              "images": 12, "images_skipped": 1}))
                    image mean  pooled
    dice                0.9123  0.9000
    aji                 0.7000
    images                  12
    images skipped           1
    """
    return aligned(_rows(figures, intervals or {}, labels or {}))


def _rows(
    figures: Mapping[str, float], intervals: Mapping[str, Interval], labels: Mapping[str, str]
) -> list[list[str]]:
    """The cells of `table`, with a first row of heads."""
    used = aggregations(figures)
    rows = {"": [name.replace("_", " ") for name in used]}
    for name, value in figures.items():
        metric, column = name, 0  # a count, which is not aggregated, stands in the first column
        for place, aggregation in enumerate(used):
            if name.endswith(f"_{aggregation}"):
                metric, column = name.removesuffix(f"_{aggregation}"), place
        text = _with_interval(value, intervals.get(name))
        label = labels.get(metric, metric.replace("_", " "))
        rows.setdefault(label, [""] * max(len(used), 1))[column] = text
    return [[name, *cells] for name, cells in rows.items()]


def side_by_side(summaries: Mapping[str, Summary]) -> str:
    """Figures with their intervals as aligned text: a line each, and a column for each data set."""
    rows = [["", *summaries]]
    for name in dict.fromkeys(name for summary in summaries.values() for name in summary):
        cells = [
            _with_interval(s[name], s.intervals.get(name)) if name in s else ""
            for s in summaries.values()
        ]
        rows.append([name.replace("_", " "), *cells])
    return aligned(rows)


def _with_interval(value: float, interval: Interval | None) -> str:
    return cell(value) if interval is None or math.isnan(interval.low) else str(interval)


def figures_csv(summaries: Mapping[str, Summary]) -> str:
    """Figures of several data sets as comma-separated values, a line each with its interval."""
    rows = []
    for label, summary in summaries.items():
        for name, value in summary.items():
            interval = summary.intervals.get(name)
            low, high = (math.nan, math.nan) if interval is None else (interval.low, interval.high)
            rows.append({"data": label, "figure": name, "value": value, "low": low, "high": high})
    return csv_text(rows)


def aggregations(figures: Mapping[str, float]) -> list[str]:
    """Which aggregations occur among figures."""
    return [a for a in AGGREGATIONS if any(name.endswith(f"_{a}") for name in figures)]


def summarize(
    scores: Sequence[Scores],
    groups: Sequence[Hashable] | None = None,
    *,
    level: float | None = None,
) -> Summary:
    """The figures of a data set, each under a name that says how it was aggregated.

    Published figures use any of these:

    * `<metric>_image_mean`: the plain mean of the images' scores. Images whose scores are NaN
      (both maps empty, `empty="skip"`) are left out; under `"one"` and `"zero"` they count with
      that value, under `"nan"` they make the mean NaN.
    * `<metric>_group_mean`, if `groups` are given: the mean over the groups of the mean of their
      images, such as tissues. Groups of which no image has a score are left out.
    * `<metric>_pooled`, of metrics that follow from counts: computed once from the counts summed
      over all images.

    A figure that nothing contributes to is NaN. A metric that one image lacks has no figures.
    `images` is how many were given, `images_skipped` how many are left out of the means.

    Args:
      scores: one per image, all with the same metrics and conventions.
      groups: what each image belongs to; None: no group means.
      level: of the confidence intervals, by bootstrap over images, of every figure that is a
        number; None: no intervals.

    Raises:
      ValueError: there are no scores, their metrics or conventions differ, there are not as many
        groups, or the level is not in (0, 1).
    """
    if not scores:
        raise ValueError("no scores to summarize; the data set has no images")
    _check_alike(scores)
    conventions, metrics = scores[0].conventions, available(scores)
    if groups is not None and len(groups) != len(scores):
        raise ValueError(f"{len(groups)} groups for {len(scores)} images; give one each")
    names = [metric.name for metric in metrics if metric.per_image]
    values, counts = columns(scores, "values", names), columns(scores, "counts", counted(scores))
    statistic = pooled_figures(metrics)
    grouped = {} if groups is None else _by_group(values, groups)
    empty = np.array([s.empty for s in scores])

    means = {f"{name}_image_mean": mean(column) for name, column in values.items()}
    means |= _group_means(_sums(grouped))
    if conventions.empty == "nan" and empty.any():
        means = dict.fromkeys(means, np.array(math.nan))
    figures = {n: float(f) for n, f in {**means, **statistic(_sums(counts))}.items()}
    intervals: dict[str, Interval] = {}
    if level is not None:
        if not all(np.isnan(column).all() for column in values.values()):
            by_image = {f"{name}_image_mean": column for name, column in values.items()}
            intervals |= bootstrap_interval(by_image, level=level)
            if grouped:
                intervals |= bootstrap_interval(grouped, _group_means, level=level)
        if counts:
            intervals |= bootstrap_interval(counts, statistic, level=level)
        intervals = {name: i for name, i in intervals.items() if math.isfinite(figures[name])}
    missing = {name: int((np.isnan(column) & ~empty).sum()) for name, column in values.items()}
    undefined = {name: n for name, n in missing.items() if n}
    skipped = int(empty.sum()) if conventions.empty == "skip" else 0
    figures |= {"images": len(scores), "images_skipped": skipped}
    return Summary(figures, conventions, intervals, metrics, undefined)


def _check_alike(scores: Sequence[Scores]) -> None:
    first = scores[0]
    for other in scores:
        if other.conventions != first.conventions:
            raise ValueError(
                f"scores of different conventions, {first.conventions.describe()} and "
                f"{other.conventions.describe()}; score all images alike"
            )
        if other.metrics != first.metrics:
            raise ValueError("scores of different metrics; score all images alike")


def available(scores: Sequence[Scores]) -> tuple[Metric, ...]:
    """The metrics that every image has."""
    lacking = {name for s in scores for name in s.unavailable}
    return tuple(metric for metric in scores[0].metrics if metric.name not in lacking)


def counted(scores: Sequence[Scores]) -> list[str]:
    """The names of the counts that every image has."""
    names = scores[0].counts.keys()
    return [name for name in names if all(name in s.counts for s in scores)]


def pooled_figures(metrics: Sequence[Metric]) -> Statistic:
    """The function from summed counts to the figures of all metrics that pool, for resampling."""

    def figures(counts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            f"{metric.name}_{aggregation}": figure
            for metric in metrics
            if metric.pooled_as
            for aggregation, figure in metric.aggregate(counts).items()
        }

    return figures


def _sums(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.array(math.fsum(column)) for name, column in columns.items()}


def _by_group(
    values: Mapping[str, np.ndarray], groups: Sequence[Hashable]
) -> dict[str, np.ndarray]:
    """For each metric and group a column of its values, 0 elsewhere, and one of 1 where it has."""
    found: dict[str, np.ndarray] = {}
    for rank, group in enumerate(dict.fromkeys(groups)):
        member = np.array([g == group for g in groups])
        for name, column in values.items():
            has = member & ~np.isnan(column)
            found[f"{name}/images/{rank}"] = has.astype(float)
            found[f"{name}/sum/{rank}"] = np.where(has, column, 0.0)
    return found


def _group_means(sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Means over those groups that have images, of the mean of each."""
    figures = {}
    for name in dict.fromkeys(key.partition("/")[0] for key in sums):
        totals, images = (
            np.stack([of_group for key, of_group in sums.items() if key.startswith(prefix)])
            for prefix in (f"{name}/sum/", f"{name}/images/")
        )
        figures[f"{name}_group_mean"] = mean(ratio(totals, images))
    return figures
