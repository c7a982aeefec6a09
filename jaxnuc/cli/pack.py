"""Pack a data set into ArrayRecord shards, which training reads much faster.

  jaxnuc pack consep consep_train.zip packed/train --workers=4
  jaxnuc pack mixture data packed/train --samples=20000 --arguments 'sources=[{"name": "consep"}]'

Train with --config.data.source.name=packed --config.data.root=packed. An interrupted run, started
again, keeps the shards that are complete.
"""

import argparse
import logging
from pathlib import Path

from jaxnuc.cli.parser import Parser, add_workers

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc pack SOURCE ROOT OUTPUT [options]"
    parser.add_source()
    parser.add_argument("root", help="its folder or archive, as distributed")
    parser.add_argument("output", type=Path, help="folder to write; one for each split")
    parser.add_argument("--split", default="train", metavar="NAME", help="split to pack (train)")
    parser.add_argument("--mpp", type=float, metavar="X", help="resample to X microns per pixel")
    parser.add_argument(
        "--samples", type=int, metavar="N", help="the first N only; an endless source needs it"
    )
    parser.add_argument(
        "--shards",
        type=lambda text: int(text) if text.isdecimal() else text,
        default="64 MiB",
        metavar="N|SIZE",
        help="number of files, or size of each (64 MiB)",
    )
    parser.add_argument(
        "--allow",
        nargs="+",
        default=[],
        metavar="KIND",
        help="errors to accept, as `jaxnuc inspect` names them",
    )
    add_workers(parser, "0: this process", 0)


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    logger.info("opening %s", options.source)
    from jaxnuc.data.packing import pack
    from jaxnuc.data.splits import open_split

    arguments = dict(options.arguments)
    section = {"name": options.source, **arguments}
    manifest = pack(
        open_split(section, options.root, options.split, options.mpp),
        options.output,
        options.split,
        {"source": options.source, "arguments": arguments, "mpp": options.mpp},
        samples=options.samples,
        shards=options.shards,
        allow=options.allow,
        workers=options.workers,
    )
    counts, shards = manifest["counts"], manifest["shards"]
    size = sum(shard["bytes"] for shard in shards) / 2**20
    print(
        f"{options.output}: {counts['samples']} samples, {counts['nuclei']} nuclei, "
        f"{len(shards)} shards, {size:.1f} MiB"
    )
