"""Train a network, or continue a run.

  jaxnuc train --config=harunet_dsb2018:small --workdir=runs/a --config.data.root=FOLDER
  jaxnuc train --config=... --workdir=runs/fold_0 --fold=0/5

Given the workdir of an earlier run, training continues where it stopped.
"""

import argparse
import logging

from jaxnuc.cli.parser import ListPages, Parser
from jaxnuc.config import pages

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc train --config=NAME[:ARGUMENTS] --workdir=FOLDER [--config.KEY=VALUE]"
    parser.takes_overrides = True
    page = "a configuration by name, or the path of its file; its arguments follow a colon"
    parser.value("--config", "NAME", page, required=True)
    parser.value("--workdir", "FOLDER", "folder of the run", required=True)
    text = "fold I of K, from 0: it is test, and val is cut from the others"
    parser.value("--fold", "I/K", text)
    text = "list the configurations and exit"
    parser.add_argument(
        "--list-configs", action=ListPages, pages=pages.CONFIGURATIONS, nargs=0, help=text
    )
    parser.epilog = (
        "Any key of a configuration can be set, such as --config.batch_size=8;\n"
        "jaxnuc/config/__init__.py documents all keys."
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command; 143 where SIGTERM stopped it."""
    logger.info("reading the configuration %s", options.config)
    fold = {} if options.fold is None else {"data.source.split_by.fold": options.fold}
    config = pages.load(options.config, options.overrides | fold)
    logger.info("importing JAX")
    from jaxnuc.metrics.rows import cell
    from jaxnuc.training.loop import train_and_evaluate
    from jaxnuc.training.preemption import STATUS, Stopped

    try:
        figures = train_and_evaluate(config, options.workdir)
    except Stopped as stopped:
        logger.warning("%s", stopped)
        return STATUS
    print("the last evaluation:")
    for name, figure in figures.items():
        if figure or not name.endswith("images_skipped"):
            print(f"{name}: {cell(figure)}")
    logger.info("scores with intervals: jaxnuc evaluate --workdir=%s --split=val", options.workdir)
    return 0
