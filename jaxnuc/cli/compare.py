"""Compare two evaluations of the same images, or runs that differ by seed.

  jaxnuc compare runs/a/eval_dsb2018_test runs/b/eval_dsb2018_test
  jaxnuc compare --seeds RUN1 RUN2 RUN3

An evaluation is a folder with metrics.json and per_image.csv, as evaluate and score write. Of two,
the difference of each metric is printed with its interval and a paired permutation test; with
--seeds, the mean over runs and its spread.
"""

import argparse
import logging
from pathlib import Path

from jaxnuc.cli.parser import Parser

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = (
        "jaxnuc compare FIRST SECOND [options]\n       jaxnuc compare --seeds RUN RUN ..."
    )
    parser.add_argument("evaluations", type=Path, nargs="+", metavar="FOLDER", help="evaluations")
    parser.switch("--seeds", "mean and spread over all of them")
    parser.value("--group", "COLUMN", "column of per_image.csv whose values are resampled whole")
    parser.value("--resamples", "N", "of intervals and test (10000)", int, 10_000)
    parser.value("--level", "P", "of the intervals (0.95)", float, 0.95)


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    folders = options.evaluations
    logger.info("reading %s", ", ".join(map(str, folders)))
    if options.seeds:
        _over_seeds(folders, options.level)
        return
    if len(folders) != 2:
        raise ValueError(f"two evaluations are compared, got {len(folders)}; or give --seeds")
    from jaxnuc.metrics.evaluation import Evaluation

    first, second = map(Evaluation.read, folders)
    comparisons = first.compare(
        second, group=options.group, level=options.level, resamples=options.resamples
    )
    print(f"{folders[0]} -> {folders[1]}, {len(first.names)} images")
    for comparison in comparisons.values():
        print(comparison)
    print(first.conventions)


def _over_seeds(folders: list[Path], level: float) -> None:
    from jaxnuc.metrics.confidence import over_seeds
    from jaxnuc.metrics.evaluation import Evaluation

    summaries = [Evaluation.read(folder).summary() for folder in folders]
    first = summaries[0].conventions
    for folder, summary in zip(folders, summaries, strict=True):
        if summary.conventions != first:
            raise ValueError(
                f"{folders[0]} and {folder} have different conventions, {first.describe()} and "
                f"{summary.conventions.describe()}; evaluate both alike"
            )
    figures = [{n: v for n, v in s.items() if not isinstance(v, int)} for s in summaries]
    for name, spread in over_seeds(figures, level).items():
        print(f"{name.replace('_', ' ')}: {spread}")
    print(first)
