"""Score label images of any tool against annotations.

  jaxnuc score TRUTH PREDICTION --output=scores

TRUTH and PREDICTION are folders of label images of the same names: PNG, TIFF, BMP, NPY, NPZ, MAT.
Prints a table with confidence intervals and the conventions of the figures.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

from jaxnuc.cli.parser import Parser, add_workers, comma_separated

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc score TRUTH PREDICTION [options]"
    parser.add_argument("truth", type=Path, help="folder of label images")
    parser.add_argument("prediction", type=Path, help="folder of label images")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="folder for metrics.json and per_image.csv"
    )
    group = parser.add_argument_group("matching")
    group.add_argument(
        "--threshold", type=float, default=0.5, metavar="IOU", help="nuclei match above it (0.5)"
    )
    group.add_argument(
        "--inclusive", action="store_true", help="also match at exactly the threshold"
    )
    group.add_argument(
        "--matching",
        choices=("iou", "count"),
        default="iou",
        help="maximize the total IoU of the pairs, or their number (iou)",
    )
    group.add_argument(
        "--thresholds",
        type=_numbers,
        default=(),
        metavar="IOU,...",
        help="also score detection at these, such as 0.5,0.7,0.9",
    )
    group = parser.add_argument_group("images")
    group.add_argument(
        "--empty",
        choices=("skip", "nan", "one", "zero"),
        default="skip",
        help="score of an image without nuclei on both sides (skip: leave it out of means)",
    )
    group.add_argument(
        "--missing",
        choices=("error", "zero"),
        default="error",
        help="a truth without a prediction is an error, or an empty prediction (error)",
    )
    group.add_argument(
        "--border", type=int, metavar="PX", help="leave out nuclei this near to the image border"
    )
    group.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="PX",
        help="leave out pixels this near to true outlines (0)",
    )
    group = parser.add_argument_group("figures")
    group.add_argument(
        "--metrics",
        type=comma_separated,
        default=(),
        metavar="NAME,...",
        help="what to compute, such as standard,hd95,nucleus_assd (standard)",
    )
    group.add_argument(
        "--protocol",
        type=comma_separated,
        default=(),
        metavar="NAME,...",
        help="published ways to evaluate: stardist, dsb2018",
    )
    group.add_argument(
        "--mpp", type=float, metavar="X", help="microns per pixel; distances are in pixels without"
    )
    parser.add_level()
    add_workers(parser, "0: this process", 0)


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    logger.info("scoring %s against %s", options.prediction, options.truth)
    from jaxnuc.metrics.conventions import Conventions
    from jaxnuc.metrics.folders import score_folders

    conventions = Conventions(
        options.threshold,
        options.inclusive,
        options.matching,
        options.empty,
        options.border,
        options.tolerance,
        options.mpp,
    )
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
