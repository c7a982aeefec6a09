"""Inspect a data set: counts, problems, a contact sheet.

  jaxnuc inspect consep consep_train.zip

Reads every image and annotation, prints what there is and what is wrong, and writes summary.json
and sheet.png. The exit status is 1 where there are errors.
"""

import argparse
import json
import logging
from pathlib import Path

from jaxnuc.cli.parser import Parser
from jaxnuc.registry import split

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc inspect SOURCE [ROOT] [options]"
    parser.add_source()
    parser.add_argument("root", nargs="?", help="its folder or archive, as distributed")
    parser.value("--split", "NAME", "one split only (all)", default="all")
    parser.value("--output", "FOLDER", "(inspected/SOURCE)", Path)
    parser.value("--limit", "N", "read N images of each split only", int)
    pictures = "images on the sheet, and as many more with problems (60)"
    parser.value("--limit-pictures", "N", pictures, int, 60)
    parser.value("--max-pieces", "N", "more pieces of one nucleus are an error (20)", int, 20)
    parser.switch("--all-notes", "list all notes of each kind")
    parser.add_workers("0: this process", 0)


def run(options: argparse.Namespace) -> int:
    """Runs the command; 1 where the data have errors."""
    name, arguments = split(options.source)
    logger.info("opening %s", name)
    from jaxnuc.data.contact_sheet import write_contact_sheet
    from jaxnuc.data.inspection import inspect, report
    from jaxnuc.data.splits import open_splits
    from jaxnuc.io.atomic import replace_file

    splits, problems = open_splits(name, options.root, options.split, arguments)
    found = inspect(
        splits,
        workers=options.workers,
        limit=options.limit,
        limit_pictures=options.limit_pictures,
        max_pieces=options.max_pieces,
    )
    found.problems[:0] = problems
    output = options.output or Path("inspected", name)
    output.mkdir(parents=True, exist_ok=True)
    about = {"source": name, "root": options.root, "split": options.split}
    summary = {**about, "arguments": arguments, **found.to_json()}
    replace_file(output / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    if found.pictures:
        label_set = next(iter(splits.values())).label_set
        groups = label_set.groups if label_set else ()
        write_contact_sheet(output / "sheet.png", found.pictures, groups)
    print(report(name, found, options.all_notes))
    logger.info("written to %s", output)
    return 1 if found.of("error") else 0
