"""Make a run of published weights: to predict, evaluate and train on with.

  jaxnuc convert hovernet_fast_pannuke_type_tf2pytorch.tar --output=runs/pannuke
  jaxnuc convert 2D_versatile_fluo --output=runs/fluo
  jaxnuc convert u2netp.pth --output=runs/u2netp --config=quickstart \\
      --config.model="u2net(variant='small')" --config.representation=binary

HoVer-Net's files and StarDist's folders are recognized; others need the configuration of the
network that they fill. Files of PyTorch and Keras are read without them, and without running what
is in them; those of Keras take pip install jaxnuc[weights].
"""

import argparse
import logging
from pathlib import Path

from jaxnuc.cli.parser import Parser

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc convert FILE --output=FOLDER [--config=NAME] [--config.KEY=VALUE]"
    parser.takes_overrides = True
    parser.add_argument("file", type=Path, help="weights, or a folder of StarDist")
    parser.value("--output", "FOLDER", "folder of the run to make", Path, required=True)
    parser.value(
        "--config", "NAME", "configuration (of the network that is recognized)", default=""
    )


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    logger.info("importing JAX")
    from jaxnuc.training.conversion import convert

    convert(options.file, options.output, options.config, options.overrides)
    logger.info("written to %s", options.output)
    print(f"jaxnuc predict --workdir={options.output} --input=IMAGES --output=FOLDER")
