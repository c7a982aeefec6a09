"""The figures of a data set, under names that say how they were aggregated."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from jaxnuc.metrics.confidence import Interval, bootstrap_interval
from jaxnuc.metrics.conventions import DEFAULT, Conventions
from jaxnuc.metrics.scores import COUNTS, METRICS, Scores, columns, pooled_figures

AGGREGATIONS = {
    "image_mean": "mean of the images' scores",
    "group_mean": "mean over the groups of the mean of their images' scores",
    "pooled": "computed once from pixel or instance counts summed over all images",
}


@dataclass(frozen=True)
class Summary(Mapping[str, float]):
    """A mapping from `<metric>_<aggregation>` to its figure; printed, a table with conventions.

    Attributes:
      figures: the figures, and `images` and `images_skipped`.
      conventions: with which all images were scored.
      intervals: confidence intervals of figures, where they were asked for.
    """

    figures: dict[str, float]
    conventions: Conventions = DEFAULT
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.figures)

    def __len__(self) -> int:
        return len(self.figures)

    def with_figures(self, more: Mapping[str, float]) -> "Summary":
        """The summary with more figures behind its own."""
        return replace(self, figures={**self.figures, **more})

    def __str__(self) -> str:
        return f"{table(self.figures, self.intervals)}\n{self.conventions}"


def table(figures: Mapping[str, float], intervals: Mapping[str, Interval] | None = None) -> str:
    """Figures as an aligned text: a line for each metric, a column for each aggregation.

    Args:
      figures: named as by `summarize`.
      intervals: of some of the figures, printed behind them.

    Returns:
      Lines without a final newline.

    >>> print(table({"dice_image_mean": 0.91234, "aji_image_mean": 0.7, "dice_pooled": 0.9,
    ...              "images": 12, "images_skipped": 1}))
                    image mean  pooled
    dice                0.9123  0.9000
    aji                 0.7000
    images                  12
    images skipped           1
    """
    used = [a for a in AGGREGATIONS if any(name.endswith(f"_{a}") for name in figures)]
    rows = {"": [name.replace("_", " ") for name in used]}
    for name, value in figures.items():
        metric, column = name, 0  # a count, which is not aggregated, stands in the first column
        for place, aggregation in enumerate(used):
            if name.endswith(f"_{aggregation}"):
                metric, column = name.removesuffix(f"_{aggregation}"), place
        cell = str(value) if isinstance(value, int) else f"{value:.4f}"
        if intervals and name in intervals:
            cell += f" [{intervals[name].low:.4f}, {intervals[name].high:.4f}]"
        rows.setdefault(metric.replace("_", " "), [""] * max(len(used), 1))[column] = cell
    first = max(map(len, rows))
    widths = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
    return "\n".join(
        "  ".join([label.ljust(first), *map(str.rjust, cells, widths)]).rstrip()
        for label, cells in rows.items()
    )


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
    * `<metric>_group_mean`, with `groups`: the mean of each group (of a tissue, as PanNuke does),
      then the mean over the groups. A group of which every image is left out is left out.
    * `<metric>_pooled`: computed once from the counts summed over all images: dice and iou from
      pixels, dq, sq, pq, precision and recall from instances. Images without any nucleus in either
      map add nothing, whatever the rule. AJI, Dice2 and instance Dice have no pooled form here.

    A figure that nothing contributes to is NaN.

    Args:
      scores: what `score` returned, one per image, all with the same conventions.
      groups: what each image belongs to; None: no group means.
      level: of the confidence intervals, by bootstrap over images, of every figure that is a
        number; None: no intervals.

    Returns:
      The figures, and `images` (how many were given) and `images_skipped` (left out of the means).

    Raises:
      ValueError: there are no scores, their conventions differ, there are not as many groups, or
        the level is not in (0, 1).
    """
    if not scores:
        raise ValueError("no scores to summarize; the data set has no images")
    conventions = scores[0].conventions
    for other in scores:
        if other.conventions != conventions:
            raise ValueError(
                f"scores of different conventions, {conventions.describe()} and "
                f"{other.conventions.describe()}; score all images alike"
            )
    everything = columns(scores)
    undefined = np.isnan(np.stack([everything[name] for name in METRICS])).all(axis=0)
    kept = ~undefined | (conventions.empty != "skip")
    values = {f"{name}_image_mean": everything[name][kept] for name in METRICS}
    counts = {name: everything[name] for name in COUNTS}
    by_group = {} if groups is None else _by_group(everything, groups, kept)
    means = {name: v.mean() if v.size else np.array(math.nan) for name, v in values.items()}
    means |= _group_means(_sums(by_group)) | pooled_figures(_sums(counts))
    figures = {name: float(figure) for name, figure in means.items()}
    intervals: dict[str, Interval] = {}
    if level is not None:
        if kept.any():
            intervals |= bootstrap_interval(values, level=level)
        if by_group and kept.any():
            intervals |= bootstrap_interval(by_group, _group_means, level=level)
        intervals |= bootstrap_interval(counts, pooled_figures, level=level)
        intervals = {name: i for name, i in intervals.items() if math.isfinite(figures[name])}
    figures |= {"images": len(scores), "images_skipped": int((~kept).sum())}
    return Summary(figures, conventions, intervals)


def _sums(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.array(math.fsum(column)) for name, column in columns.items()}


def _by_group(
    columns: Mapping[str, np.ndarray], groups: Sequence[Hashable], kept: np.ndarray
) -> dict[str, np.ndarray]:
    """Every metric as one column for each group, 0 elsewhere, and the columns of membership."""
    if len(groups) != len(kept):
        raise ValueError(f"{len(groups)} groups for {len(kept)} images; give one each")
    found: dict[str, np.ndarray] = {}
    for rank, group in enumerate(dict.fromkeys(groups)):
        member = np.array([g == group for g in groups])[kept]
        found[f"{rank}/images"] = member.astype(float)
        for name in METRICS:
            found[f"{rank}/{name}"] = np.where(member, columns[name][kept], 0.0)
    return found


def _group_means(sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Means over those groups that have images, of the mean of each."""
    if not sums:
        return {}
    images = np.stack([s for name, s in sums.items() if name.endswith("/images")])
    there = np.count_nonzero(images, axis=0)
    figures = {}
    for name in METRICS:
        totals = np.stack([s for key, s in sums.items() if key.endswith(f"/{name}")])
        with np.errstate(invalid="ignore"):
            means = np.where(images > 0, totals / np.maximum(images, 1), 0).sum(axis=0) / there
        figures[f"{name}_group_mean"] = means
    return figures
