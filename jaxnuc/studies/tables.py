"""The tables of a study as Markdown, CSV, LaTeX and as a page."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from jaxnuc.io.atomic import replace_file
from jaxnuc.metrics.rows import csv_text, html_table
from jaxnuc.reports import page, plots
from jaxnuc.reports.page import element
from jaxnuc.studies.results import Figure, RowResults
from jaxnuc.studies.study import Study, metric_of

UNKNOWN = "–"
EXPLANATION = (
    "Mean ± standard deviation over the runs, and in brackets the 95 % confidence interval over "
    "the images (bootstrap, of the means over the runs). p: paired permutation test over the "
    "images against {baseline}, of the means over the runs, corrected by Holm for {count} "
    "comparisons; how much the training itself varies is in the standard deviation alone."
)


@dataclass(frozen=True)
class Table:
    """A table: a title, a head and rows of texts, the first of each row its name."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def _repr_html_(self) -> str:
        return f"<h4>{escape(self.title)}</h4>" + html_table([self.head, *self.rows])


def tables(study: Study, results: Sequence[RowResults]) -> list[Table]:
    """One table for each data set, and one of what the rows cost."""
    found = []
    for label in study.data:
        head = ["", "runs"]
        for figure in study.figures:
            head += [title_of(figure), "p"]
        rows = [
            [result.row.name, str(_runs(result, label)), *_cells(study, result, label)]
            for result in results
        ]
        found.append(Table(label, head, rows))
    head = ["", "parameters", "GMAC", "ms/step", "minutes"]
    rows = [[result.row.name, *_cost(result)] for result in results]
    if any(result.row.published for result in results):
        head.append("published")
        rows = [[*row, r.row.published] for row, r in zip(rows, results, strict=True)]
    found.append(Table("Cost", head, rows))
    return found


def title_of(figure: str) -> str:
    """A figure for a head.

    >>> title_of("pq_image_mean"), title_of("dice_pooled")
    ('PQ', 'Dice, pooled')
    """
    metric, aggregation = metric_of(figure)
    title = metric.title.split(",")[0]
    return title + ("" if aggregation == "image_mean" else f", {aggregation.replace('_', ' ')}")


def explanation(study: Study) -> str:
    """What the figures of the tables are, and the study's own note."""
    count = len(study.rows) - 1
    return " ".join(
        filter(None, [EXPLANATION.format(baseline=repr(study.baseline), count=count), study.note])
    )


def _runs(result: RowResults, label: str) -> int:
    return max((f.spread.runs for f in result.figures.get(label, {}).values()), default=0)


def _cells(study: Study, result: RowResults, label: str) -> Iterator[str]:
    for name in study.figures:
        figure = result.figures.get(label, {}).get(name)
        yield UNKNOWN if figure is None else _value(figure)
        yield "" if figure is None or math.isnan(figure.p_value) else f"{figure.p_value:.2g}"


def _value(figure: Figure) -> str:
    spread, interval = figure.spread, figure.interval
    if interval is None or math.isnan(interval.low):
        return spread.text() if spread.runs > 1 else f"{spread.mean:.3f}"
    if spread.runs > 1:
        return f"{spread.text()} {interval.ends()}"
    return str(interval._replace(estimate=spread.mean))


def _cost(result: RowResults) -> Iterator[str]:
    cost, step, seconds = result.trainings.cost, result.trainings.step, result.trainings.seconds
    yield UNKNOWN if cost is None else f"{cost.parameters:,}"
    yield UNKNOWN if cost is None else f"{cost.multiply_adds / 1e9:.2f}"
    yield UNKNOWN if math.isnan(step) else f"{1000 * step:.0f}"
    yield UNKNOWN if math.isnan(seconds) else f"{seconds / 60:.1f}"


def markdown(study: Study, results: Sequence[RowResults]) -> str:
    """The tables in Markdown, with their explanation."""
    parts = [f"## {study.title}"]
    for table in tables(study, results):
        rows = [table.head, ["---"] * len(table.head), *table.rows]
        lines = ("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows)
        parts += [f"### {table.title}", "\n".join(lines)]
    return "\n\n".join([*parts, explanation(study)]) + "\n"


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
}


def latex(study: Study, results: Sequence[RowResults]) -> str:
    """The tables in LaTeX, for the package booktabs."""
    text: Callable[[str], str] = lambda s: "".join(_LATEX.get(c, c) for c in s)
    parts = []
    for table in tables(study, results):
        line = lambda cells: " & ".join(map(text, cells)) + r" \\"
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    rf"\caption{{{text(f'{study.title}: {table.title}')}}}",
                    rf"\begin{{tabular}}{{l{'r' * (len(table.head) - 1)}}}",
                    r"\toprule",
                    line(table.head),
                    r"\midrule",
                    *map(line, table.rows),
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join([*parts, f"% {explanation(study)}"]) + "\n"


def csv(study: Study, results: Sequence[RowResults]) -> str:
    """A line for each row, data set and figure, with everything that is known of it."""
    lines: list[dict[str, Any]] = []
    for result in results:
        taken = result.trainings
        costs = {
            "parameters": taken.cost.parameters if taken.cost else "",
            "multiply_adds": taken.cost.multiply_adds if taken.cost else "",
            "seconds_per_step": taken.step,
            "seconds": taken.seconds,
        }
        for label in study.data:
            for name in study.figures:
                figure = result.figures.get(label, {}).get(name)
                lines.append(
                    {"row": result.row.name, "data": label, "figure": name}
                    | _numbers(figure)
                    | costs
                )
    return csv_text(lines)


def _numbers(figure: Figure | None) -> dict[str, float]:
    parts: tuple[Any, ...] = (None, None, None)
    if figure is not None:
        parts = (figure.spread, figure.interval, figure.comparison)
    spread, interval, comparison = parts
    of = lambda part, name: math.nan if part is None else getattr(part, name)
    return {
        "runs": 0 if spread is None else spread.runs,
        "mean": of(spread, "mean"),
        "std": of(spread, "std"),
        "low": of(interval, "low"),
        "high": of(interval, "high"),
        "difference": of(comparison, "difference"),
        "difference_low": of(comparison, "low"),
        "difference_high": of(comparison, "high"),
        "p_value": of(comparison, "p_value"),
        "p_value_holm": of(figure, "p_value"),
    }


def report(study: Study, results: Sequence[RowResults]) -> bytes:
    """The page of the study: for each data set a picture of the last figure, and its table."""
    sections = []
    for table in tables(study, results):
        parts = []
        known = {
            result.row.name: _point(found[study.figures[-1]])
            for result in results
            if study.figures[-1] in (found := result.figures.get(table.title, {}))
        }
        if known:
            title = title_of(study.figures[-1])
            caption = (
                f"{title} on {table.title}: points are the means over the runs, lines their "
                "confidence intervals over the images."
            )
            parts.append(plots.chart(plots.intervals(known, title), caption))
        parts.append(page.table(f"{study.title}: {table.title}", table.head, table.rows))
        sections.append(page.section(table.title, parts))
    sections.append(page.section("What the figures are", element("p", explanation(study))))
    trainings = sum(result.trainings.runs for result in results if result.row.config)
    below = f"{len(results)} rows, {trainings} trainings"
    return page.page(study.title, below, sections)


def _point(figure: Figure) -> tuple[float, float, float]:
    """Mean and both ends of the interval; without one the mean three times."""
    mean, interval = figure.spread.mean, figure.interval
    return (mean, mean, mean) if interval is None else (mean, interval.low, interval.high)


def write(folder: str | os.PathLike[str], study: Study, results: Sequence[RowResults]) -> None:
    """Writes `study.md`, `study.csv`, `study.tex` and `report.html`, each whole or not at all."""
    texts = {"study.md": markdown, "study.csv": csv, "study.tex": latex}
    for name, make in texts.items():
        replace_file(Path(folder) / name, make(study, results).encode())
    replace_file(Path(folder) / "report.html", report(study, results))
