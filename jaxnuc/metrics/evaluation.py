"""The scores of a data set's images: summarized, compared, written and read again."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.io.atomic import replace_file
from jaxnuc.io.csv_table import read_csv
from jaxnuc.metrics.base import AGGREGATIONS, Metric, entry, make
from jaxnuc.metrics.calibration import Calibration
from jaxnuc.metrics.confidence import Comparison, Comparisons, compare
from jaxnuc.metrics.conventions import Conventions
from jaxnuc.metrics.panoptic import mean
from jaxnuc.metrics.protocols.base import Result
from jaxnuc.metrics.rows import csv_text
from jaxnuc.metrics.scores import Scores, columns
from jaxnuc.metrics.summary import (
    Summary,
    aggregations,
    available,
    counted,
    pooled_figures,
    summarize,
)

FIGURES, PER_IMAGE, COUNTS = "metrics.json", "per_image.csv", "counts.csv"
_OF_BOTH = ("first", "second", "difference", "low", "high", "p_value")
_NUCLEI = ("true_nuclei", "predicted_nuclei")


@dataclass(frozen=True)
class Evaluation:
    """The scores of images by name, in the order of the data set.

    Attributes:
      names: of the images.
      scores: of the images, all with the same metrics and conventions.
      groups: for each image what it belongs to, such as `{"tissue": "breast"}`.
      protocols: the figures of published protocols.
    """

    names: Sequence[str]
    scores: Sequence[Scores]
    groups: Sequence[Mapping[str, str]]
    protocols: tuple[Result, ...] = ()

    @classmethod
    def over_runs(cls, runs: "Sequence[Evaluation]") -> "Evaluation":
        """One evaluation of several runs that differ by their seed, or by the fold they test on.

        The scores of an image are the means over the runs that have it, and its counts the sums.

        Raises:
          ValueError: there are no runs, or their conventions differ.
        """
        if not runs:
            raise ValueError("no runs; there is nothing to summarize")
        by_name: dict[str, list[tuple[Scores, Mapping[str, str]]]] = {}
        for run in runs:
            runs[0]._check_conventions(run)
            for name, scores, groups in zip(run.names, run.scores, run.groups, strict=True):
                by_name.setdefault(name, []).append((scores, groups))
        known = [{m.name for m in run.metrics} for run in runs]
        metrics = tuple(m for m in runs[0].metrics if all(m.name in names for names in known))
        counts = counted([scores for run in runs for scores in run.scores])

        def together(of_image: list[Scores]) -> Scores:
            values = {
                m.name: float(mean(np.array([s.values[m.name] for s in of_image])))
                for m in metrics
                if m.per_image
            }
            sums = {name: math.fsum(s.counts[name] for s in of_image) for name in counts}
            true, predicted = (sum(getattr(s, name) for s in of_image) for name in _NUCLEI)
            return Scores(values, sums, true, predicted, metrics, runs[0].conventions)

        images = [*by_name.values()]
        means = [together([scores for scores, _ in image]) for image in images]
        return cls([*by_name], means, [image[0][1] for image in images])

    @property
    def conventions(self) -> Conventions:
        """Those of all images."""
        return self.scores[0].conventions

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that every image has."""
        return available(self.scores)

    @property
    def unavailable(self) -> dict[str, str]:
        """Why metrics could not be computed, by their name: for the first such image."""
        return {k: v for s in reversed(self.scores) for k, v in s.unavailable.items()}

    def summary(self, group: str | None = None, level: float | None = None) -> Summary:
        """The figures of the data set: see `summarize`.

        Args:
          group: key whose groups are averaged as well, such as `"tissue"`.
          level: of the confidence intervals, such as 0.95; None: no intervals.

        Raises:
          ValueError: there are no images, or not every image has this key.
        """
        groups = None if group is None else self._group(group)
        summary = summarize(self.scores, groups, level=level)
        return replace(summary, classes=self.by_class(), protocols=self.protocols)

    def by_group(self) -> dict[str, dict[str, Summary]]:
        """The figures of each group: `{"modality": {"stained": ...}}`."""
        found: dict[str, dict[str, list[Scores]]] = {}
        for groups, scores in zip(self.groups, self.scores, strict=True):
            for key, value in groups.items():
                found.setdefault(key, {}).setdefault(value, []).append(scores)
        return {
            key: {value: summarize(scores) for value, scores in sorted(values.items())}
            for key, values in found.items()
        }

    def counts(self) -> dict[str, float]:
        """The counts summed over the images."""
        found = columns(self.scores, "counts", counted(self.scores))
        return {name: math.fsum(column) for name, column in found.items()}

    def by_class(self) -> list[dict[str, Any]]:
        """One mapping for each class, `{"class": name, figure: value, ...}`; empty without any."""
        counts, rows = self.counts(), dict[str, dict[str, Any]]()
        for metric in self.metrics:
            for figure, of_classes in metric.by_class(counts).items():
                for name, value in of_classes.items():
                    rows.setdefault(name, {"class": name})[figure] = value
        return list(rows.values())

    def calibrations(self) -> dict[str, Calibration]:
        """The calibrations for which there are counts: `calibration`, `class_calibration`."""
        counts = self.counts()
        names = [name.removesuffix("/squares") for name in counts if name.endswith("/squares")]
        return {name: Calibration.from_counts(counts, name) for name in names}

    def compare(
        self,
        other: "Evaluation",
        *,
        group: str | None = None,
        level: float = 0.95,
        resamples: int = 10_000,
    ) -> Comparisons:
        """Compares with other predictions for the same images: see `confidence.compare`.

        Compared are every image mean and every pooled figure of the metrics that both evaluations
        have. Images that either evaluation leaves out of its means (`empty="skip"`) are left out of
        both; under `"nan"` they make the comparison of the means NaN.

        Args:
          other: the second evaluation; its images may be in another order.
          group: key (a patient, a slide) whose images are resampled and swapped together.
          level: of the intervals.
          resamples: of the interval and of the permutation test.

        Raises:
          ValueError: the images or the conventions differ, or no metric is in both.
        """
        self._check_conventions(other)
        metrics = [metric for metric in self.metrics if metric in other.metrics]
        if not metrics:
            raise ValueError("the two evaluations have no metric in common; evaluate both alike")
        groups, names = None if group is None else self._group(group), (self.names, other.names)
        options: Any = {"names": names, "groups": groups, "level": level, "resamples": resamples}
        per_image = [metric.name for metric in metrics if metric.per_image]
        compared: dict[str, Comparison] = {}
        if per_image:
            a, b = (
                {f"{n}_image_mean": v for n, v in columns(e.scores, "values", per_image).items()}
                for e in (self, other)
            )
            compared = compare(a, b, **options)
            if self.conventions.empty == "nan":  # an image without scores leaves no means
                nothing: dict[str, Any] = dict.fromkeys(_OF_BOTH, math.nan)
                compared = {
                    n: c._replace(**nothing) if c.skipped else c for n, c in compared.items()
                }
        if any(metric.pooled_as for metric in metrics):
            counts = [name for name in counted(self.scores) if name in counted(other.scores)]
            a, b = (columns(e.scores, "counts", counts) for e in (self, other))
            compared |= compare(a, b, pooled_figures(metrics), **options)
        lower = {f for m in metrics if not m.higher_is_better for f in m.figures()}
        found = {n: c._replace(higher_is_better=n not in lower) for n, c in compared.items()}
        return Comparisons(found)

    def _check_conventions(self, other: "Evaluation") -> None:
        if self.conventions != other.conventions:
            raise ValueError(
                f"different conventions, {self.conventions.describe()} and "
                f"{other.conventions.describe()}; evaluate both alike"
            )

    def _group(self, key: str) -> list[str]:
        keys = [known for known in self.groups[0] if all(known in g for g in self.groups)]
        if key not in keys:
            known = ", ".join(keys) or "no group"
            raise ValueError(f"not every image has a {key!r}; they have {known}")
        return [groups[key] for groups in self.groups]

    def write(self, folder: Path, summary: Summary, about: Mapping[str, Any]) -> None:
        """Writes `metrics.json`, `per_image.csv` and `counts.csv`, each whole or not at all.

        `about` is what else `metrics.json` holds, such as the checkpoint.
        """
        values = [metric.name for metric in self.metrics if metric.per_image]
        keys = list(dict.fromkeys(key for groups in self.groups for key in groups))
        counts = counted(self.scores)
        per_image, of_counts = [], []
        for name, scores, groups in zip(self.names, self.scores, self.groups, strict=True):
            row: dict[str, Any] = {"name": name} | {key: groups.get(key, "") for key in keys}
            row |= dict(zip(_NUCLEI, (scores.true_nuclei, scores.predicted_nuclei), strict=True))
            per_image.append(row | {n: scores.values[n] for n in values})
            of_counts.append({"name": name} | {n: scores.counts[n] for n in counts})
        replace_file(folder / PER_IMAGE, csv_text(per_image).encode())
        replace_file(folder / COUNTS, csv_text(of_counts).encode())
        report = {
            **about,
            "images": len(self.names),
            "metrics": dict(summary),
            "intervals": {name: [i.low, i.high] for name, i in summary.intervals.items()},
            "definitions": {
                metric.name: {
                    "title": metric.title,
                    "unit": metric.unit_of(self.conventions.mpp),
                    "higher_is_better": metric.higher_is_better,
                }
                for metric in self.metrics
            },
            "undefined_images": dict(summary.undefined),
            "not_computed": self.unavailable,
            "classes": {row.pop("class"): row for row in self.by_class()},
            "protocols": {result.name: result.json() for result in self.protocols},
            **{name: found.json() for name, found in self.calibrations().items()},
            "groups": {
                key: {value: dict(figures) for value, figures in values.items()}
                for key, values in self.by_group().items()
            },
            "conventions": {
                "aggregation": {name: AGGREGATIONS[name] for name in aggregations(summary)},
                **summary.conventions.describe(),
            },
            "arguments": {
                **asdict(self.conventions),
                "metrics": [entry(metric) for metric in self.metrics],
            },
        }
        replace_file(folder / FIGURES, (_strict_json(report) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> "Evaluation":
        """Reads the scores that `write` left in a folder.

        Raises:
          FileNotFoundError: one of the files is missing.
          ValueError: they are no evaluation, or one of another version.
        """
        for name in (FIGURES, PER_IMAGE, COUNTS):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder / name}: no such file; give a folder that `jaxnuc evaluate` or "
                    "`jaxnuc score` wrote"
                )
        try:
            arguments = json.loads((folder / FIGURES).read_text())["arguments"]
            metrics = make(arguments.pop("metrics"))
            conventions = Conventions(**arguments)
            values = [metric.name for metric in metrics if metric.per_image]
            rows, counts = (_rows(folder / name) for name in (PER_IMAGE, COUNTS))
            names = [row.pop("name") for row in rows]
            if names != [row.pop("name") for row in counts]:
                raise ValueError(f"{PER_IMAGE} and {COUNTS} have other images")
            scores = []
            for row, of_counts in zip(rows, counts, strict=True):
                true, predicted = (int(row.pop(name)) for name in _NUCLEI)
                found = {name: float(row.pop(name)) for name in values}
                summands = {n: int(x) if x.isdigit() else float(x) for n, x in of_counts.items()}
                scores.append(Scores(found, summands, true, predicted, metrics, conventions))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{folder}: not an evaluation of this version ({error!r}); evaluate again"
            ) from error
        return cls(names, scores, [{k: v for k, v in row.items() if v} for row in rows])


def _rows(path: Path) -> list[dict[str, str]]:
    return [row for _, row in read_csv(path.read_bytes(), str(path))]


def _strict_json(value: Any) -> str:
    """JSON in which what is not a number is null."""

    def finite(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {key: finite(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [finite(inner) for inner in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    return json.dumps(finite(value), indent=2, allow_nan=False)
