"""The scores of a data set's images: summed up, written and read again."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnuc.io.atomic import replace_file
from jaxnuc.metrics._resampling import Statistic
from jaxnuc.metrics.confidence import Comparison, compare
from jaxnuc.metrics.conventions import Conventions
from jaxnuc.metrics.scores import COUNTS, METRICS, Scores, columns, pooled_figures
from jaxnuc.metrics.summary import AGGREGATIONS, Summary, summarize

FIGURES, PER_IMAGE = "metrics.json", "per_image.csv"
_OF_BOTH = ("first", "second", "difference", "low", "high", "p_value")


@dataclass(frozen=True)
class Evaluation:
    """The scores of images by name, in the order of the data set.

    Attributes:
      names: of the images.
      scores: of the images, all with the same conventions.
      groups: for each image what it belongs to, such as `{"tissue": "breast"}`.
    """

    names: Sequence[str]
    scores: Sequence[Scores]
    groups: Sequence[Mapping[str, str]]

    def keys(self) -> list[str]:
        """What the images are grouped by, where every image tells."""
        return [key for key in self.groups[0] if all(key in g for g in self.groups)]

    def summary(self, group: str | None = None, level: float | None = None) -> Summary:
        """The figures of the data set: see `summarize`.

        Args:
          group: key whose groups are averaged as well, such as `"tissue"`.
          level: of the confidence intervals, such as 0.95; None: no intervals.

        Raises:
          ValueError: there are no images, or not every image has this key.
        """
        groups = None if group is None else self._group(group)
        return summarize(self.scores, groups, level=level)

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

    def compare(
        self,
        other: "Evaluation",
        *,
        group: str | None = None,
        level: float = 0.95,
        resamples: int = 10_000,
    ) -> dict[str, Comparison]:
        """Compares with other predictions for the same images: see `confidence.compare`.

        Args:
          other: the second evaluation; its images may be in another order.
          group: key (a patient, a slide) whose images are resampled and swapped together.
          level: of the intervals.
          resamples: of the interval and of the permutation test.

        Returns:
          The comparison of every image mean and every pooled figure. Images that either evaluation
          leaves out of its means (`empty="skip"`) are left out of both; under `"nan"` they make
          the comparison of the means NaN.

        Raises:
          ValueError: the images or the conventions differ.
        """
        mine, others = self.scores[0].conventions, other.scores[0].conventions
        if mine != others:
            raise ValueError(
                f"different conventions, {mine.describe()} and {others.describe()}; "
                "evaluate both alike"
            )
        groups = None if group is None else self._group(group)
        a, b = columns(self.scores), columns(other.scores)

        def compared(names: dict[str, str], statistic: str | Statistic) -> dict[str, Comparison]:
            return compare(
                {new: a[old] for new, old in names.items()},
                {new: b[old] for new, old in names.items()},
                statistic,
                names=(self.names, other.names),
                groups=groups,
                level=level,
                resamples=resamples,
            )

        means = compared({f"{name}_image_mean": name for name in METRICS}, "mean")
        if mine.empty == "nan":  # an image without scores leaves the means without any
            nothing: dict[str, Any] = dict.fromkeys(_OF_BOTH, math.nan)
            means = {n: c._replace(**nothing) if c.skipped else c for n, c in means.items()}
        return means | compared({name: name for name in COUNTS}, pooled_figures)

    def _group(self, key: str) -> list[str]:
        if key not in self.keys():
            raise ValueError(
                f"not every image has a {key!r}; they have {', '.join(self.keys()) or 'no group'}"
            )
        return [groups[key] for groups in self.groups]

    def write(self, folder: Path, summary: Summary, about: Mapping[str, Any]) -> None:
        """Writes `metrics.json` and `per_image.csv`, each whole or not at all.

        Args:
          folder: exists.
          summary: of the data set.
          about: what else `metrics.json` is to say first, such as the checkpoint.
        """
        replace_file(folder / PER_IMAGE, self._csv().encode())
        used = [a for a in AGGREGATIONS if any(name.endswith(f"_{a}") for name in summary)]
        report = {
            **about,
            "images": len(self.names),
            "metrics": dict(summary),
            "intervals": {name: [i.low, i.high] for name, i in summary.intervals.items()},
            "groups": {
                key: {value: dict(figures) for value, figures in values.items()}
                for key, values in self.by_group().items()
            },
            "conventions": {
                "aggregation": {name: AGGREGATIONS[name] for name in used},
                **summary.conventions.describe(),
            },
            "arguments": dataclasses.asdict(summary.conventions),
        }
        replace_file(folder / FIGURES, (_strict_json(report) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> "Evaluation":
        """Reads what `write` left in a folder.

        Raises:
          FileNotFoundError: one of the two files is missing.
          ValueError: they are no evaluation, or one of another version.
        """
        for name in (FIGURES, PER_IMAGE):
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"{folder / name}: no such file; give a folder that eval.py or "
                    "`python -m jaxnuc.metrics score` wrote"
                )
        try:
            arguments = json.loads((folder / FIGURES).read_text())["arguments"]
            conventions = Conventions(**arguments)
            with (folder / PER_IMAGE).open(newline="") as file:
                rows = list(csv.DictReader(file))
            scores = [
                Scores.of([float(row[name]) for name in METRICS + COUNTS], conventions)
                for row in rows
            ]
            names = [row["name"] for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{folder}: not an evaluation of this version ({error!r}); evaluate again"
            ) from error
        known = {"name", "true_nuclei", "predicted_nuclei", *METRICS, *COUNTS}
        groups = [{k: v for k, v in row.items() if k not in known and v} for row in rows]
        return cls(names, scores, groups)

    def _csv(self) -> str:
        """Name, groups, nuclei in truth and prediction, then every score."""
        keys = list(dict.fromkeys(key for groups in self.groups for key in groups))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", *keys, "true_nuclei", "predicted_nuclei", *METRICS, *COUNTS])
        for name, scores, groups in zip(self.names, self.scores, self.groups, strict=True):
            nuclei = (scores.tp + scores.fn, scores.tp + scores.fp)
            writer.writerow([name, *(groups.get(k, "") for k in keys), *nuclei, *scores.numbers])
        return text.getvalue()


def _strict_json(value: Any) -> str:
    """JSON in which what is not a number is null."""

    def finite(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {key: finite(inner) for key, inner in item.items()}
        if isinstance(item, list):
            return [finite(inner) for inner in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    return json.dumps(finite(value), indent=2, allow_nan=False)
