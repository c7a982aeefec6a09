"""Evaluate a trained network on annotated images.

  jaxnuc evaluate --workdir=runs/a --split=test

Writes report.html, metrics.json, per_image.csv, per_class.csv (with classes), calibration and
overlay pictures, and prints a table with 95 % confidence intervals (bootstrap over images).
"""

import argparse
import logging

from jaxnuc.cli.parser import Parser, add_workers, comma_separated

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc evaluate --workdir=FOLDER [--split=NAME] [options]"
    parser.add_checkpoint(ensemble=True)
    group = parser.add_argument_group("data")
    group.add_argument("--split", default="test", metavar="NAME", help="split to evaluate (test)")
    group.add_argument("--source", metavar="NAME", help="data set, if not that of the training")
    group.add_argument("--root", metavar="FOLDER", help="its folder, if elsewhere than in training")
    parser.add_patches(patch=None, overlap=128)
    group = parser.add_argument_group("figures")
    group.add_argument(
        "--metrics",
        type=comma_separated,
        metavar="NAME,...",
        help="what to compute (all that can be)",
    )
    group.add_argument(
        "--protocol",
        type=comma_separated,
        metavar="NAME,...",
        help="published ways to evaluate: coco, conic, hovernet, monusac, pannuke, ...",
    )
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output", metavar="FOLDER", help="folder to write (WORKDIR/eval_SOURCE_SPLIT)"
    )
    group.add_argument(
        "--overlays", type=int, default=16, metavar="N", help="pictures, half worst, half best (16)"
    )
    add_workers(group, "as configured")


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    logger.info("importing JAX")
    from jaxnuc.evaluation.checkpoint import Data, Inference, evaluate_checkpoint
    from jaxnuc.evaluation.options import EvaluationOptions

    figures, output = evaluate_checkpoint(
        options.workdir,
        options.checkpoint,
        output=options.output,
        data=Data(options.split, options.source, options.root),
        inference=Inference(options.symmetries, options.patch, options.overlap),
        options=EvaluationOptions(
            metrics=options.metrics,
            protocols=options.protocol,
            workers=options.workers,
            overlays=options.overlays,
        ),
    )
    print(figures)
    logger.info("written to %s", output)
