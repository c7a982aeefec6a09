"""Evaluate a trained network on annotated images.

  jaxnuc evaluate --workdir=runs/a --split=test
  jaxnuc evaluate --workdir=runs/a --source=monuseg --source='consep(merge=True)'
  jaxnuc evaluate --workdir=runs/a --label-set=superclasses
  jaxnuc evaluate --folds --workdir=runs/fold_0 --workdir=runs/fold_1 ... --output=runs/folds

Writes report.html, metrics.json, per_image.csv, per_class.csv (with classes), calibration and
overlay pictures, and prints a table with 95 % confidence intervals (bootstrap over images).
"""

import argparse
import logging
from typing import Any

from jaxnuc.cli.parser import Parser, comma_separated, source_section

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc evaluate --workdir=FOLDER [--split=NAME] [options]"
    parser.add_checkpoint(ensemble=True)
    parser.switch("--folds", "each workdir is of a fold; mean and spread")
    parser.section("data")
    parser.value("--split", "NAME", "split to evaluate (test)", default="test")
    text = "data set, if not that of the training; several: one table"
    parser.value("--source", "NAME", text, source_section, [], action="append")
    parser.value("--root", "FOLDER", "its folder, if elsewhere than in training")
    text = "classes to score (the finest of the data)"
    parser.value("--label-set", "NAME", text)
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
    if options.root is not None and len(options.source) > 1:
        raise ValueError(
            f"--root={options.root} belongs to one data set, and there are {len(options.source)}; "
            "give each its own, such as --source='consep(root=\"FOLDER\")'"
        )
    logger.info("importing JAX")
    from jaxnuc.evaluation import checkpoint
    from jaxnuc.evaluation.options import EvaluationOptions
    from jaxnuc.metrics import side_by_side

    other_data = options.source or options.label_set or options.split != "test"
    if options.folds and (other_data or not options.output):
        raise ValueError(
            "--folds evaluates each training on the test images of its fold: give --output, and "
            "leave out --source, --label-set and --split"
        )
    data = [
        checkpoint.Data(options.split, each, options.root, options.label_set)
        for each in options.source or [None]
    ]
    arguments: dict[str, Any] = {
        "output": options.output,
        "inference": checkpoint.Inference(
            options.symmetries,
            options.patch,
            options.overlap,
            options.decoder,
            options.diameter,
        ),
        "options": EvaluationOptions(
            metrics=options.metrics,
            protocols=options.protocol,
            workers=options.workers,
            overlays=options.overlays,
        ),
    }
    if options.folds:
        from jaxnuc.evaluation.folds import evaluate_folds

        print(evaluate_folds(options.workdir, options.checkpoint, root=options.root, **arguments))
        logger.info("written to %s", options.output)
        return
    network = (options.workdir, options.checkpoint)
    found, output = checkpoint.evaluate_on_several(*network, data=data, **arguments)
    (first, *others) = found.values()
    print(side_by_side(found) if others else first)
    logger.info("written to %s", output)
