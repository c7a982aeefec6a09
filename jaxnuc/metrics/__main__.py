"""Scores label images of any tool, and compares evaluations.

python -m jaxnuc.metrics score TRUTH PREDICTION      two folders of label images
python -m jaxnuc.metrics compare A B                 two evaluations of the same images
python -m jaxnuc.metrics seeds RUN RUN [RUN ...]     evaluations of runs that differ by seed
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxnuc.metrics.confidence import over_seeds
from jaxnuc.metrics.conventions import EMPTY, Conventions
from jaxnuc.metrics.evaluation import Evaluation
from jaxnuc.metrics.folders import score_folders
from jaxnuc.metrics.matching import MATCHINGS
from jaxnuc.metrics.scores import METRICS


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status: 0, or 1 where the input is not right."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jaxnuc.metrics",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("score", help="score label images")
    command.set_defaults(command=_score)
    command.add_argument(
        "truth", type=Path, help="folder of label images (PNG, TIFF, BMP, NPY, NPZ, MAT)"
    )
    command.add_argument("prediction", type=Path, help="folder of label images of the same names")
    command.add_argument("--output", type=Path, help="folder for metrics.json and per_image.csv")
    command.add_argument(
        "--threshold", type=float, default=0.5, help="IoU above which nuclei match (0.5)"
    )
    command.add_argument(
        "--inclusive", action="store_true", help="match at IoU >= threshold, not >"
    )
    command.add_argument(
        "--matching",
        choices=MATCHINGS,
        default="iou",
        help="of competing pairs, those of the greatest total IoU, or as many as possible (iou)",
    )
    command.add_argument(
        "--empty",
        choices=list(EMPTY),
        default="skip",
        help="score of an image without nuclei on both sides; skip leaves it out of means (skip)",
    )
    command.add_argument(
        "--border",
        type=int,
        help="leave out nuclei within so many pixels of the image border; 0: those it cuts",
    )
    command.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        help="leave out pixels so near to true outlines, in pixels (0)",
    )
    command.add_argument(
        "--missing",
        choices=("error", "zero"),
        default="error",
        help="a truth without a prediction is an error, or counts as nothing found (error)",
    )
    command.add_argument(
        "--thresholds",
        type=lambda text: tuple(map(float, text.split(","))),
        default=(),
        help="IoUs at which detection is scored besides, such as 0.5,0.7,0.9",
    )
    command.add_argument(
        "--boundaries", action="store_true", help="measure distances of matched nuclei's outlines"
    )
    command.add_argument(
        "--mpp", type=float, default=1.0, help="microns per pixel, for --boundaries (1: in pixels)"
    )
    command.add_argument("--workers", type=int, default=0, help="processes (0: this one)")
    _add_level(command)

    command = commands.add_parser("compare", help="compare two evaluations of the same images")
    command.set_defaults(command=_compare)
    command.add_argument("first", type=Path, help="folder with metrics.json and per_image.csv")
    command.add_argument("second", type=Path, help="folder with metrics.json and per_image.csv")
    command.add_argument("--group", help="column of per_image.csv whose values are resampled whole")
    command.add_argument(
        "--resamples", type=int, default=10_000, help="of the intervals and of the test (10000)"
    )
    _add_level(command)

    command = commands.add_parser("seeds", help="mean and spread over runs")
    command.set_defaults(command=_seeds)
    command.add_argument("runs", type=Path, nargs="+", help="folders of evaluations")
    _add_level(command)
    return parser


def _add_level(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--level", type=float, default=0.95, help="confidence of the intervals (0.95)"
    )


def _score(options: argparse.Namespace) -> None:
    conventions = Conventions(
        options.threshold,
        options.inclusive,
        options.matching,
        options.empty,
        options.border,
        options.tolerance,
    )
    result = score_folders(
        options.truth,
        options.prediction,
        conventions,
        thresholds=options.thresholds,
        boundaries=options.boundaries,
        mpp=options.mpp,
        missing=options.missing,
        workers=options.workers,
    )
    if options.output is not None:
        about = {"truth": str(options.truth), "prediction": str(options.prediction)}
        result.write(options.output, options.level, about)
    print(result.text(options.level))


def _compare(options: argparse.Namespace) -> None:
    first, second = Evaluation.read(options.first), Evaluation.read(options.second)
    comparisons = first.compare(
        second, group=options.group, level=options.level, resamples=options.resamples
    )
    print(f"{options.first} -> {options.second}, {len(first.names)} images")
    for comparison in comparisons.values():
        print(comparison)
    print(first.scores[0].conventions)


def _seeds(options: argparse.Namespace) -> None:
    summaries = [Evaluation.read(run).summary() for run in options.runs]
    for run, summary in zip(options.runs, summaries, strict=True):
        if summary.conventions != summaries[0].conventions:
            raise ValueError(
                f"{options.runs[0]} and {run} have different conventions, "
                f"{summaries[0].conventions.describe()} and {summary.conventions.describe()}; "
                "evaluate both alike"
            )
    for name, spread in over_seeds([dict(s) for s in summaries], options.level).items():
        if name.startswith(METRICS):
            print(f"{name.replace('_', ' ')}: {spread}")
    print(summaries[0].conventions)


if __name__ == "__main__":
    sys.exit(main())
