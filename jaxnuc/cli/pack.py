"""Pack a data set into ArrayRecord shards, which training reads much faster.

  jaxnuc pack consep consep_train.zip packed/train --workers=4
  jaxnuc pack 'mixture(sources=[{"name": "consep"}])' data packed/train --samples=20000

Train with --config.data.source.name=packed --config.data.root=packed. An interrupted run, started
again, keeps the shards that are complete.
"""

import argparse
import logging
from pathlib import Path

from jaxnuc.cli.parser import Parser
from jaxnuc.registry import split

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc pack SOURCE [ROOT] OUTPUT [options]"
    parser.add_source()
    root = "its folder or archive, as distributed (the folder of its name below JAXNUC_DATA)"
    parser.add_argument("root", nargs="?", default="", help=root)
    parser.add_argument("output", type=Path, help="folder to write; one for each split")
    parser.value("--split", "NAME", "split to pack (train)", default="train")
    parser.value("--mpp", "X", "resample to X microns per pixel", float)
    parser.value("--samples", "N", "the first N only; an endless source needs it", int)
    shards = "number of files, or size of each (64 MiB)"
    parser.value("--shards", "N|SIZE", shards, _number_or_size, "64 MiB")
    errors = "errors to accept, as `jaxnuc inspect` names them"
    parser.value("--allow", "KIND", errors, nargs="+", default=[])
    parser.add_workers("0: this process", 0)


def run(options: argparse.Namespace) -> None:
    """Runs the command."""
    name, arguments = split(options.source)
    logger.info("opening %s", name)
    from jaxnuc.data.packing import pack
    from jaxnuc.data.splits import open_split

    manifest = pack(
        open_split(options.source, options.root, options.split, options.mpp),
        options.output,
        options.split,
        {"source": name, "arguments": arguments, "mpp": options.mpp},
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


def _number_or_size(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
