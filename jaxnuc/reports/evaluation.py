"""The report of a segmentation that was scored against the truth of a data set."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.io.atomic import replace_file
from jaxnuc.metrics import Evaluation, Scores, Summary
from jaxnuc.metrics.summary import AGGREGATIONS
from jaxnuc.reports import charts, page, pictures
from jaxnuc.reports.compared import COLOURS, Compared
from jaxnuc.reports.curves import panel, series
from jaxnuc.reports.page import Html, element
from jaxnuc.reports.sizes import Sizes, histogram

BINS = np.linspace(0, 1, 21)
NAMES = {
    "dice": "Dice, foreground",
    "iou": "IoU, foreground",
    "aji": "AJI, aggregated Jaccard index",
    "aji_plus": "AJI+, one-to-one",
    "dq": "DQ, detection quality (F1)",
    "sq": "SQ, segmentation quality",
    "pq": "PQ, panoptic quality",
    "precision": "Precision of nuclei",
    "recall": "Recall of nuclei",
    "dice2": "Dice 2, of overlapping pairs",
    "instance_dice": "Instance Dice",
    "mpq": "mPQ, mean over the classes",
    "detection_f1": "F1 of detection, by centroids",
    "class_accuracy": "Accuracy of the classes",
    "calibration_error": "Calibration error (ECE)",
    "brier": "Brier score",
    "class_calibration_error": "Calibration error of the classes (ECE)",
    "class_brier": "Brier score of the classes",
    "boundary_distance": "Distance of the outlines (ASSD), px",
    "hd95": "Hausdorff distance, 95th percentile, px",
}
CALIBRATIONS = {  # by key of `about`: the title, what is on the axis, what the diagram shows
    "calibration": (
        "Calibration of the scores",
        "score",
        "Share of the predicted nuclei that match a true one, by their score",
    ),
    "class_calibration": (
        "Calibration of the classes",
        "probability",
        "Share of the matched nuclei that have the right class, by the probability of the "
        "predicted class",
    ),
}
MAIN = ("pq_image_mean", "aji_image_mean", "dq_image_mean", "dice_image_mean")
SHORT = ("pq", "dq", "sq", "aji", "dice")  # of groups and pictures
SHOWN = [f"{name}_image_mean" for name in SHORT]  # of the validation
PANELS = {"losses": True, "validation": False}  # of the curves; whether logarithmic


def write_evaluation_report(
    path: str | os.PathLike[str],
    evaluation: Evaluation,
    summary: Summary,
    about: Mapping[str, Any],
    *,
    level: float,
    sizes: Mapping[str, Sizes],
    drawn: Sequence[Compared] = (),
    training: Iterable[Mapping[str, Any]] = (),
) -> None:
    """Writes a page of all that an evaluation found.

    The page is one HTML file that needs nothing else, written whole or not at all.

    Args:
      path: of the page.
      evaluation: the scores of the images.
      summary: the figures of the data set.
      about: what `metrics.json` says besides: `source` and `split`, the figures of the `classes`,
        `calibration`, `class_calibration`; the rest is told as it is.
      level: of the confidence intervals.
      sizes: areas in pixels of the true and the predicted nuclei, by these names.
      drawn: images to look at.
      training: lines of the training's `metrics.jsonl`.
    """
    training = list(training)
    told = {k: v for k, v in about.items() if k not in ("classes", *CALIBRATIONS)}
    sections = [
        page.section(
            "Main figures",
            page.cards(_main(summary)),
            element(
                "p",
                f"Means over the images; {level:.0%} confidence intervals (bootstrap over images).",
                class_="note",
            ),
        ),
        page.section("All figures", _figures(summary, level)),
        page.section("Conventions", page.facts(_conventions(summary))),
        page.section("How the images differ", _charts(evaluation, sizes)),
        *_groups(evaluation),
        *_classes(about.get("classes")),
        *_calibration("calibration", about),
        *_calibration("class_calibration", about),
        *_pictures(drawn),
        *_curves(training),
        page.section("What was evaluated", page.facts(told)),
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


def _main(summary: Summary) -> list[tuple[str, str, str]]:
    found = []
    for name in MAIN:
        interval = _interval(summary, name)
        below = "{:.3f} to {:.3f}".format(*interval) if interval else ""
        metric = NAMES[name.removesuffix("_image_mean")]
        found.append((metric, _number(summary[name], 3), below))
    return found


def _interval(summary: Summary, name: str) -> tuple[float, float] | None:
    """Low and high, where there is an interval: one image has none."""
    found = summary.intervals.get(name)
    return None if found is None or math.isnan(found.low) else (found.low, found.high)


def _number(value: float, digits: int = 4) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _figures(summary: Summary, level: float) -> list[Html]:
    """A table of metrics by aggregation; what is only counted stands below it."""
    used = _aggregations(summary)
    rows: dict[str, dict[str, str]] = {}
    counts: dict[str, object] = {}
    for name, value in summary.items():
        aggregation = next((a for a in used if name.endswith(f"_{a}")), None)
        if aggregation is None:
            counts[name] = value
            continue
        cell = _number(value)
        if interval := _interval(summary, name):
            cell += " [{:.4f}, {:.4f}]".format(*interval)
        metric = name.removesuffix(f"_{aggregation}")
        rows.setdefault(NAMES.get(metric, metric), {})[aggregation] = cell
    return [
        page.table(
            f"Figures; in brackets their {level:.0%} confidence intervals",
            ["metric", *(name.replace("_", " ") for name in used)],
            ([metric, *(cells.get(a, "") for a in used)] for metric, cells in rows.items()),
        ),
        page.facts(counts),
    ]


def _conventions(summary: Summary) -> dict[str, object]:
    used = {name: AGGREGATIONS[name] for name in _aggregations(summary)}
    return {**used, **summary.conventions.describe()}


def _aggregations(summary: Summary) -> list[str]:
    return [a for a in AGGREGATIONS if any(name.endswith(f"_{a}") for name in summary)]


def _charts(evaluation: Evaluation, sizes: Mapping[str, Sizes]) -> Html:
    pq = np.array([scores.pq for scores in evaluation.scores])
    known = pq[np.isfinite(pq)]
    drawn = [
        page.figure(
            charts.histogram(BINS, {"all": np.histogram(known, BINS)[0]}, "PQ", "images"),
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
        drawn.append(page.figure(histogram(sizes, "px"), f"Areas of the nuclei. {means}"))
    return element("div", drawn, class_="charts")


def _groups(evaluation: Evaluation) -> list[Html]:
    return [
        page.section(
            f"By {key}",
            page.table(
                f"Image means by {key}",
                [key, "images", *(NAMES[name].split(",")[0] for name in SHORT)],
                (
                    [
                        value,
                        str(figures["images"]),
                        *(_number(figures[f"{name}_image_mean"]) for name in SHORT),
                    ]
                    for value, figures in values.items()
                ),
            ),
        )
        for key, values in evaluation.by_group().items()
    ]


def _classes(found: Mapping[str, Mapping[str, Any]] | str | None) -> list[Html]:
    if found is None:
        return []
    if isinstance(found, str):
        return [page.section("By class", element("p", found))]
    columns = list(next(iter(found.values()), {}))
    rows = (
        [name, *(str(v) if isinstance(v, int) else _number(v) for v in of_class.values())]
        for name, of_class in found.items()
    )
    head = ["class", *(name.replace("_", " ") for name in columns)]
    return [page.section("By class", page.table("Figures of each class", head, rows))]


def _calibration(key: str, about: Mapping[str, Any]) -> list[Html]:
    if key not in about:
        return []
    (title, score, shown), found = CALIBRATIONS[key], about[key]
    if isinstance(found, str):
        return [page.section(title, element("p", found))]
    bins = [b for b in found["bins"] if b["count"]]
    if not bins:
        return [page.section(title, element("p", "There are no nuclei to judge it by."))]
    said = (
        f"Expected calibration error {found['expected_error']:.4f}, largest of a bin "
        f"{found['maximum_error']:.4f}, Brier score {found['brier']:.4f}"
    )
    points = [(b["mean_score"], b["precision"], b["count"]) for b in bins]
    chart = charts.reliability(points, f"{title}, reliability diagram. {said}", score)
    rows = (
        [
            f"{b['low']:.2g} to {b['high']:.2g}",
            str(b["count"]),
            _number(b["mean_score"], 3),
            _number(b["precision"], 3),
        ]
        for b in bins
    )
    told = page.table("Bins of the diagram", [score, "nuclei", f"mean {score}", "right"], rows)
    caption = (
        f"{shown}; the area of a dot grows with their number. On the dotted line both "
        f"are equal. {said}."
    )
    parts = element("div", page.figure(chart, caption), told, class_="charts")
    return [page.section(title, parts)]


def _pictures(drawn: Sequence[Compared]) -> list[Html]:
    if not drawn:
        return []
    signs = [(charts.swatch(*colour), text) for text, colour in COLOURS.items()]
    note = (
        "Drag over a picture, or use the arrow keys; the buttons choose what shows on either "
        "side. Dark images are brightened."
    )
    parts = [element("p", note, class_="note"), charts.key(signs)]
    for kind in dict.fromkeys(c.kind for c in drawn):
        figures = (_picture(c) for c in drawn if c.kind == kind)
        parts.append(element("h3", kind.capitalize()))
        parts.append(element("div", figures, class_="pictures"))
    return [page.section("Worst and best images by PQ", parts)]


def _picture(c: Compared) -> Html:
    layers = {"truth": c.truth, "prediction": c.prediction}
    return element(
        "figure",
        element("h4", c.name),
        pictures.compare(c.name, c.size, ("image", c.image), layers, ("truth", "prediction")),
        element("figcaption", _scored(c.scores)),
        class_="compare",
    )


def _scored(scores: Scores) -> str:
    figures = (f"{NAMES[n].split(',')[0]} {_number(getattr(scores, n), 3)}" for n in SHORT)
    counts = f"{scores.tp} matched, {scores.fn} missed, {scores.fp} false"
    return f"{', '.join(figures)}; {counts}"


def _curves(lines: Sequence[Mapping[str, Any]]) -> list[Html]:
    marks = [line["step"] for line in lines if "event" in line]
    drawn = []
    for name, log in PANELS.items():
        found = {
            key: values
            for key, values in series(lines).items()
            if panel(key) == name and (log or key.removeprefix("validation/") in SHOWN)
        }
        figures = [y for _, values in found.values() for y in values if math.isfinite(y)]
        if figures:
            chart = charts.curves(found, "step", log=log and min(figures) > 0, marks=marks)
            drawn.append(page.figure(chart, f"{name.capitalize()} during the training"))
    return [page.section("Training", element("div", drawn, class_="charts"))] if drawn else []
