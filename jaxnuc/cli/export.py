"""Export a trained network as StableHLO, which runs without this library.

  jaxnuc export --workdir=runs/a --output=a_exported

Writes model.jax_export, the network with its parameters, and model.json, which describes what goes
in and what comes out; docs/export.md shows how another program uses them.
"""

import argparse
import logging

from jaxnuc.cli.parser import Parser

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc export --workdir=FOLDER --output=FOLDER [options]"
    parser.add_checkpoint()
    parser.section("output")
    parser.value("--output", "FOLDER", "folder to write", required=True)
    parser.value("--size", "H,W", "size of the maps, for networks that need one", _size)
    parser.switch("--overwrite", "replace an existing export")


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    logger.info("importing JAX")
    from jaxnuc.prediction.export import export
    from jaxnuc.prediction.predictor import load

    predictor = load(options.workdir, options.checkpoint)
    output = export(predictor, options.output, size=options.size, overwrite=options.overwrite)
    logger.info("written to %s", output)


def _size(text: str) -> tuple[int, int]:
    sides = text.split(",")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not H,W, such as 256,256")
    return int(sides[0]), int(sides[1])
