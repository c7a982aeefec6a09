"""Train and evaluate the rows of a study, and write its table.

  jaxnuc study harunet_ablation:small --output=runs/ablation --config.data.root=FOLDER
  jaxnuc study harunet_ablation --output=runs/ablation --row=3/6

A study is a page of configs/studies: rows, seeds or folds, and data sets to evaluate on. Whatever
is finished in --output is not done again, so that an interrupted study continues. Writes study.md,
study.csv, study.tex and report.html, with means, spread, intervals and tests.
"""

import argparse
import logging
from pathlib import Path

from jaxnuc.cli.parser import ListPages, Parser, comma_separated
from jaxnuc.config.pages import STUDIES

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc study NAME[:ARGUMENTS] --output=FOLDER [options]"
    parser.takes_overrides = True
    parser.add_argument("study", metavar="NAME", help="a study by name, or the path of its file")
    parser.value("--output", "FOLDER", "folder of the study", Path, required=True)
    part = "do part I of N, such as one job of an array; a run without it writes the table"
    parser.value("--row", "I/N", part)
    folders = "folders of the same study, such as of other machines, that are read as well"
    parser.value("--merge", "A,B", folders, comma_separated, ())
    parser.switch("--table", "train nothing, write the table of what there is")
    parser.add_argument(
        "--list", action=ListPages, pages=STUDIES, nargs=0, help="list the studies and exit"
    )
    parser.epilog = "--config.KEY=VALUE sets a key of the configurations of all rows."


def run(options: argparse.Namespace) -> int:
    """Runs the command; 1 where a training failed."""
    logger.info("importing JAX")
    from jaxnuc.prediction.tiles import parse_shard
    from jaxnuc.studies import results, tables
    from jaxnuc.studies.runs import plan
    from jaxnuc.studies.study import Study
    from jaxnuc.training.preemption import STATUS, Stopped

    study = STUDIES.make(options.study)
    if not isinstance(study, Study):
        raise ValueError(f"{options.study}: {STUDIES.member} returns {study!r}, not a Study")
    if options.row and options.table:
        raise ValueError(f"--row={options.row} trains and --table does not; give one of them")
    part = study.part(*parse_shard(options.row)) if options.row else tuple(study.rows)
    planned = plan(study, options.output, [*map(Path, options.merge)], options.overrides)
    failed: list[str] = []
    if not options.table:
        try:
            failed = planned.complete(part)
        except Stopped as stopped:
            logger.warning("%s", stopped)
            return STATUS
    if options.row:
        logger.info(
            "part %s is done; once all are, a run without --row writes the table", options.row
        )
    else:
        found = results.collect(planned)
        options.output.mkdir(parents=True, exist_ok=True)
        tables.write(options.output, study, found)
        print(tables.markdown(study, found), end="")
        logger.info("written to %s", options.output)
    for reason in failed:
        logger.error("%s", reason)
    return 1 if failed else 0
