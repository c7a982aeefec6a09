"""Score label images of any tool against annotations.

  jaxnuc score TRUTH PREDICTION --output=scores

TRUTH and PREDICTION are folders of label images of the same names: PNG, TIFF, BMP, NPY, NPZ, MAT.
Prints a table with confidence intervals and the conventions of the figures.
"""

import argparse
import dataclasses
import logging
from pathlib import Path
from typing import Any

from jaxnuc.cli.parser import Parser, comma_separated

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc score TRUTH PREDICTION [options]"
    parser.add_argument("truth", type=Path, help="folder of label images")
    parser.add_argument("prediction", type=Path, help="folder of label images")
    parser.value("--output", "FOLDER", "folder for metrics.json and per_image.csv", Path)
    parser.choice(
        "--label-from",
        ("ids", "components", "colors"),
        "a nucleus is a number, part of a mask, a color (ids)",
    )
    parser.add_workers("0: this process", 0)
    parser.section("matching")
    parser.value("--threshold", "IOU", "nuclei match above it (0.5)", float, 0.5)
    parser.switch("--inclusive", "also match at exactly the threshold")
    how = "maximize the total IoU of the pairs, or their number (iou)"
    parser.choice("--matching", ("iou", "count"), how)
    at = "also score detection at these, such as 0.5,0.7,0.9"
    parser.value("--thresholds", "IOU,...", at, _numbers, ())
    parser.section("images")
    empty = "score of an image without nuclei on both sides (skip: leave it out of means)"
    parser.choice("--empty", ("skip", "nan", "one", "zero"), empty)
    missing = "a truth without a prediction is an error, or an empty prediction (error)"
    parser.choice("--missing", ("error", "zero"), missing)
    parser.value("--border", "PX", "leave out nuclei this near to the image border", int)
    parser.value("--tolerance", "PX", "leave out pixels this near to true outlines (0)", float, 0.0)
    parser.section("figures")
    metrics = "what to compute, such as standard,hd95,nucleus_assd (standard)"
    parser.value("--metrics", "NAME,...", metrics, comma_separated, ())
    protocols = "published ways to evaluate: stardist, dsb2018"
    parser.value("--protocol", "NAME,...", protocols, comma_separated, ())
    parser.value("--mpp", "X", "microns per pixel; distances are in pixels without", float)
    parser.value("--level", "P", "of the intervals (0.95)", float, 0.95)


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    logger.info("scoring %s against %s", options.prediction, options.truth)
    from jaxnuc.metrics.conventions import Conventions
    from jaxnuc.metrics.folders import score_folders

    names = (field.name for field in dataclasses.fields(Conventions))
    given = {name: getattr(options, name) for name in names if name in options}
    conventions = Conventions(**given)  # nuclei of label images do not overlap
    protocols: list[str | dict[str, Any]] = [*options.protocol]
    if options.thresholds:
        protocols.append({"name": "detection", "thresholds": options.thresholds})
    result = score_folders(
        options.truth,
        options.prediction,
        conventions,
        metrics=options.metrics,
        protocols=protocols,
        missing=options.missing,
        label_from=options.label_from,
        workers=options.workers,
    )
    summary = result.summary(level=options.level)
    print(summary)
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        about = {"truth": str(options.truth), "prediction": str(options.prediction)}
        result.write(options.output, summary, about)
        logger.info("written to %s", options.output)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split(",")))
