"""Train a network, or continue a run.

  jaxnuc train --config=harunet_dsb2018:small --workdir=runs/a --config.data.root=FOLDER

Given the workdir of an earlier run, training continues where it stopped.
"""

import argparse
import logging
from typing import Any

from jaxnuc.cli import configuration
from jaxnuc.cli.parser import Parser

logger = logging.getLogger(__name__)


class _ListConfigs(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(configuration.listing())
        parser.exit()


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc train --config=NAME[:ARGUMENTS] --workdir=FOLDER [--config.KEY=VALUE]"
    parser.takes_overrides = True
    page = "a configuration by name, or the path of its file; its arguments follow a colon"
    parser.value("--config", "NAME", page, required=True)
    parser.value("--workdir", "FOLDER", "folder of the run", required=True)
    parser.add_argument(
        "--list-configs", action=_ListConfigs, nargs=0, help="list the configurations and exit"
    )
    parser.epilog = (
        "Any key of a configuration can be set, such as --config.batch_size=8; jaxnuc/config.py\n"
        "documents all keys."
    )


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    logger.info("reading the configuration %s", options.config)
    config = configuration.load(options.config, options.overrides)
    logger.info("importing JAX")
    from jaxnuc.training.loop import train_and_evaluate

    figures = train_and_evaluate(config, options.workdir)
    for name, figure in figures.items():
        print(f"{name}: {figure:.4f}")
