"""The report of an evaluation on a data set."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.io.atomic import replace_file
from jaxnuc.metrics import Evaluation, Summary
from jaxnuc.metrics.base import AGGREGATIONS
from jaxnuc.metrics.calibration import Calibration
from jaxnuc.metrics.confidence import decimals
from jaxnuc.metrics.summary import aggregations, labeled
from jaxnuc.reports import page, pictures, plots
from jaxnuc.reports.compared import COLORS, Compared
from jaxnuc.reports.histogram import Histogram
from jaxnuc.reports.page import Html, element
from jaxnuc.reports.sizes import Sizes, histogram
from jaxnuc.run.log import NOT_TRAINED, TrainingLog

BINS = np.linspace(0, 1, 21)
CALIBRATIONS = {  # by name: the title, the axes, and what the diagram shows
    "calibration": (
        "Calibration of the scores",
        ("score", "matched share of the nuclei (precision)"),
        "Share of the predicted nuclei that match a true one, by their score",
    ),
    "class_calibration": (
        "Calibration of the classes",
        ("probability of the class", "share of the right class (accuracy)"),
        "Share of the matched nuclei that have the right class, by the probability of the "
        "predicted class",
    ),
}
MAIN = ("pq", "aji", "dq", "dice")  # as means over the images
MOST_EVALUATIONS = 8  # of the table of a training
SHORT = ("pq", "dq", "sq", "aji", "dice")  # of groups and pictures


def write_evaluation_report(
    path: str | os.PathLike[str],
    evaluation: Evaluation,
    summary: Summary,
    about: Mapping[str, Any],
    *,
    level: float,
    sizes: Mapping[str, Sizes],
    drawn: Sequence[Compared] = (),
    training: TrainingLog = NOT_TRAINED,
) -> None:
    """Writes a page with all results of an evaluation.

    The page is one HTML file that needs nothing else, written whole or not at all.

    It holds what `about` holds as `metrics.json` does (`source`, `split`, ...), the areas in pixels
    of the true and the predicted nuclei by these names, the images that were drawn, and the curves
    of the training, the figures that decided in bold.
    """
    evaluated = dict(about)
    if evaluation.unavailable:
        evaluated["not_computed"] = evaluation.unavailable
    used = {name: AGGREGATIONS[name] for name in aggregations(summary)}
    note = f"Means over the images; {level:.0%} confidence intervals (bootstrap over images)."
    sections = [
        page.section("Main figures", page.cards(_main(summary)), element("p", note, class_="note")),
        page.section("All figures", _figures(summary, level)),
        page.section("Conventions", page.facts({**used, **summary.conventions.describe()})),
        page.section("Scores and sizes", _charts(evaluation, sizes)),
        *_protocols(summary),
        *_groups(evaluation, summary),
        *_classes(summary),
        *(_calibration(*item) for item in evaluation.calibrations().items()),
        *_pictures(drawn),
        *_curves(training),
        page.section("What was evaluated", page.facts(evaluated)),
    ]
    split = f", split {about['split']}" if about.get("split") else ""
    checkpoint = about.get("checkpoint", "")
    if isinstance(checkpoint, list):
        checkpoint = f", ensemble of {len(checkpoint)}"
    elif checkpoint:
        checkpoint = f", checkpoint {checkpoint}"
    title = f"Evaluation on {about['source']}{split}{checkpoint}"
    count = len(evaluation.names)
    below = "1 image" if count == 1 else f"{count:,} images"
    replace_file(Path(path), page.page(title, below, sections))


def _main(summary: Summary) -> Iterator[tuple[str, str, str]]:
    for name, title in _titles(summary, MAIN).items():
        interval = _interval(summary, f"{name}_image_mean")
        n = decimals(*interval) if interval else 3
        below = f"{interval[0]:.{n}f} to {interval[1]:.{n}f}" if interval else ""
        yield title, _number(summary[f"{name}_image_mean"], n), below


def _titles(summary: Summary, names: Sequence[str]) -> dict[str, str]:
    """The titles of those of these metrics that there are."""
    titles = {metric.name: metric.title for metric in summary.metrics}
    return {name: titles[name] for name in names if name in titles}


def _interval(summary: Summary, name: str) -> tuple[float, float] | None:
    """Low and high, where there is an interval: one image has none."""
    found = summary.intervals.get(name)
    return None if found is None or math.isnan(found.low) else (found.low, found.high)


def _number(value: float, digits: int = 4) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _figures(summary: Summary, level: float) -> list[Html]:
    """A table of metrics by aggregation, and below it the counts."""
    used = aggregations(summary)
    mpp = summary.conventions.mpp
    titles = {m.name: labeled(m.title, m, mpp) for m in summary.metrics}
    rows: dict[str, dict[str, str]] = {}
    counts: dict[str, object] = {}
    for name, value in summary.items():
        aggregation = next((a for a in used if name.endswith(f"_{a}")), None)
        if aggregation is None:
            counts[name] = value
            continue
        interval = _interval(summary, name)
        cell = str(summary.intervals[name]) if interval else _number(value)
        metric = name.removesuffix(f"_{aggregation}")
        rows.setdefault(titles.get(metric, metric), {})[aggregation] = cell
    for name, n in summary.undefined.items():
        counts[f"images without {titles[name]}"] = n
    return [
        page.table(
            f"Figures; in brackets their {level:.0%} confidence intervals",
            ["metric", *(name.replace("_", " ") for name in used)],
            ([metric, *(cells.get(a, "") for a in used)] for metric, cells in rows.items()),
        ),
        page.facts(counts),
    ]


def _charts(evaluation: Evaluation, sizes: Mapping[str, Sizes]) -> Html:
    pq = np.array([scores.values.get("pq", math.nan) for scores in evaluation.scores])
    known = pq[np.isfinite(pq)]
    drawn = [
        Histogram(BINS, {"all": np.histogram(known, BINS)[0]}, "PQ", "images").chart(
            f"PQ of {len(known)} images"
            + (f"; {len(pq) - len(known)} have none" if len(known) < len(pq) else ""),
        )
    ]
    if any(found.total for found in sizes.values()):
        means = "; ".join(
            f"{name}: {found.total:,} nuclei, mean area {found.mean:,.0f} px²"
            for name, found in sizes.items()
            if found.total
        )
        drawn.append(histogram(sizes, "px").chart(f"Areas of the nuclei. {means}"))
    return element("div", drawn, class_="charts")


def _groups(evaluation: Evaluation, summary: Summary) -> list[Html]:
    titles = _titles(summary, SHORT)
    head = ["images", *(title.split(",")[0] for title in titles.values())]

    def row(value: str, figures: Summary) -> list[str]:
        means = (_number(figures[f"{name}_image_mean"]) for name in titles)
        return [value, str(figures["images"]), *means]

    sections = []
    for key, values in evaluation.by_group().items():
        rows = (row(*item) for item in values.items())
        table = page.table(f"Image means by {key}", [key, *head], rows)
        sections.append(page.section(f"By {key}", table))
    return sections


def _protocols(summary: Summary) -> list[Html]:
    return [
        page.section(
            f"Protocol: {result.title}",
            *(
                page.table(result.title, [cell or result.name for cell in head], rows)
                for head, *rows in result.tables()
            ),
        )
        for result in summary.protocols
    ]


def _classes(summary: Summary) -> list[Html]:
    if not summary.classes:
        return []
    head = [key.replace("_", " ") for key in summary.classes[0]]
    rows = (
        [_number(value) if isinstance(value, float) else str(value) for value in row.values()]
        for row in summary.classes
    )
    return [page.section("By class", page.table("Figures of each class", head, rows))]


def _calibration(name: str, found: Calibration) -> Html:
    title, axes, shown = CALIBRATIONS[name]
    bins = [b for b in found.rows() if b["count"]]
    if not bins:
        return page.section(title, element("p", "There are no nuclei."))
    caption = (
        f"{shown}. Where the bars meet the dashed line both are equal. Expected calibration error "
        f"{found.expected_error:.4f}, largest of a bin {found.maximum_error:.4f}, Brier "
        f"score {found.brier:.4f}."
    )
    rows = (
        [
            f"{b['low']:.2g} to {b['high']:.2g}",
            str(b["count"]),
            _number(b["mean_score"], 3),
            _number(b["precision"], 3),
        ]
        for b in bins
    )
    head = [axes[0], "nuclei", f"mean {axes[0]}", "right"]
    table = page.table("Bins of the diagram", head, rows)
    chart = plots.chart(plots.reliability(found.json(), *axes), caption)
    return page.section(title, element("div", chart, table, class_="charts"))


def _pictures(drawn: Sequence[Compared]) -> list[Html]:
    if not drawn:
        return []
    signs = [(page.swatch(*color), text) for text, color in COLORS.items()]
    note = (
        "Drag over a picture, or use the arrow keys; the buttons choose what shows on either "
        "side. Dark images are brightened."
    )
    parts = [element("p", note, class_="note"), page.key(signs)]
    for kind in dict.fromkeys(c.kind for c in drawn):
        figures = (_picture(c) for c in drawn if c.kind == kind)
        parts.append(element("h3", kind.capitalize()))
        parts.append(element("div", figures, class_="pictures"))
    return [page.section("Worst and best images by PQ", parts)]


def _picture(c: Compared) -> Html:
    layers = {"truth": c.truth, "prediction": c.prediction}
    titles = {metric.name: metric.title.split(",")[0] for metric in c.scores.metrics}
    known = [name for name in SHORT if name in c.scores.values]
    caption = ", ".join(f"{titles[n]} {_number(c.scores.values[n], 3)}" for n in known)
    if "tp" in c.scores.counts:
        caption += f"; {c.scores.tp} matched, {c.scores.fn} missed, {c.scores.fp} false"
    return element(
        "figure",
        element("h4", c.name),
        pictures.compare(c.name, c.size, ("image", c.image), layers, ("truth", "prediction")),
        element("figcaption", caption),
        class_="compare",
    )


def _curves(training: TrainingLog) -> list[Html]:
    lines = list(training.lines)
    found = plots.series(lines)
    if not found:
        return []
    caption = "Losses, validation, norms and learning rate during the training"
    parts = [plots.chart(plots.curves(lines, training.monitors, (9, 9)), caption)]
    validation = {name: curve for name, curve in found.items() if name.startswith("validation/")}
    if validation:
        parts.append(_validation_table(validation))
    return [page.section("Training", parts)]


def _validation_table(found: Mapping[str, tuple[list[int], list[float]]]) -> Html:
    """All figures of up to `MOST_EVALUATIONS` evaluations, the first and the last among them."""
    steps = sorted({step for own, _ in found.values() for step in own})
    places = np.linspace(0, len(steps) - 1, min(len(steps), MOST_EVALUATIONS)).round().astype(int)
    shown = [steps[place] for place in places]
    rows = []
    for name, (own, values) in found.items():
        at = dict(zip(own, values, strict=True))
        figures = (_number(at.get(step, math.nan)) for step in shown)
        rows.append([name.partition("/")[2], *figures])
    head = ["figure", *(f"step {step:,}" for step in shown)]
    title = element("summary", "All figures of the validation")
    return element("details", title, page.table("Figures of the validation by step", head, rows))
