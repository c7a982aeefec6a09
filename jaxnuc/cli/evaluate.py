"""Evaluate a trained network on annotated images.

  jaxnuc evaluate --workdir=runs/a --split=test

Writes report.html, metrics.json, per_image.csv, per_class.csv (with classes), calibration and
overlay pictures, and prints a table with 95 % confidence intervals (bootstrap over images).
"""

import argparse
import logging

from jaxnuc.cli.parser import Parser, comma_separated

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc evaluate --workdir=FOLDER [--split=NAME] [options]"
    parser.add_checkpoint(ensemble=True)
    parser.section("data")
    parser.value("--split", "NAME", "split to evaluate (test)", default="test")
    parser.value("--source", "NAME", "data set, if not that of the training")
    parser.value("--root", "FOLDER", "its folder, if elsewhere than in training")
    parser.add_patches(patch=None, overlap=128)
    parser.section("figures")
    parser.value("--metrics", "NAME,...", "what to compute (all that can be)", comma_separated)
    protocols = "published ways to evaluate: coco, conic, hovernet, monusac, pannuke, ..."
    parser.value("--protocol", "NAME,...", protocols, comma_separated)
    parser.section("output")
    parser.value("--output", "FOLDER", "folder to write (WORKDIR/eval_SOURCE_SPLIT)")
    parser.value("--overlays", "N", "pictures, half worst, half best (16)", int, 16)
    parser.add_workers("as configured")


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
