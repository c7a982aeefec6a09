"""Export a trained network as one file, or for programs without this library.

  jaxnuc export --workdir=runs/a --output=a.npz
  jaxnuc export --workdir=runs/a --output=a_exported

The file, in 16 bits, is taken by --model and jaxnuc.load. The folder has model.jax_export, the
network with its parameters as StableHLO, and model.json, which describes what goes in and what
comes out; docs/export.md shows how another program uses them.
"""

import argparse
import logging
from pathlib import Path

from jaxnuc.cli.parser import Parser

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc export --workdir=FOLDER --output=FILE_OR_FOLDER [options]"
    parser.add_checkpoint()
    parser.section("output")
    parser.value("--output", "PATH", "file.npz, or folder of StableHLO", required=True)
    parser.value("--size", "H,W", "size of the maps, for networks that need one", _size)
    parser.switch("--overwrite", "replace an existing export")


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    logger.info("importing JAX")
    if Path(options.output).suffix == ".npz":
        _export_file(options)
        return
    from jaxnuc.prediction.export import export
    from jaxnuc.prediction.predictor import load

    predictor = load(options.workdir, options.checkpoint)
    output = export(predictor, options.output, size=options.size, overwrite=options.overwrite)
    logger.info("written to %s", output)


def _export_file(options: argparse.Namespace) -> None:
    """Writes a model as one file.

    Raises:
      ValueError: a size, which a file does not need.
      FileExistsError: the file is there, and is not to be replaced.
    """
    from jaxnuc.run import checkpoints, model_file

    output = Path(options.output)
    if options.size is not None:
        raise ValueError(f"--size with --output={output}: a file takes images of all sizes")
    if output.exists() and not options.overwrite:
        raise FileExistsError(f"{output} exists; replace it with --overwrite")
    model = checkpoints.read_model(checkpoints.find(options.workdir, options.checkpoint))
    output.parent.mkdir(parents=True, exist_ok=True)
    model_file.write(output, model)
    logger.info("written to %s, %.1f MB", output, output.stat().st_size / 1e6)


def _size(text: str) -> tuple[int, int]:
    sides = text.split(",")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not H,W, such as 256,256")
    return int(sides[0]), int(sides[1])
