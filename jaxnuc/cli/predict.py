"""Segment nuclei in images and slides.

  jaxnuc predict --workdir=runs/a --input=slide.svs --output=out --format=geojson,overlay

Writes, for each image, the files of --format, a page NAME.report.html, and NAME.json
(how they were made). An interrupted run, started again, continues where it stopped.
"""

import argparse
import logging
import sys

from jaxnuc.cli.parser import Parser, add_workers, comma_separated

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc predict --workdir=FOLDER --input=IMAGE --output=FOLDER [options]"
    parser.add_checkpoint(ensemble=True)
    group = parser.add_argument_group("images")
    group.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="IMAGE",
        help="image, slide, folder or pattern; can be repeated",
    )
    group.add_argument(
        "--mpp", type=float, metavar="X", help="microns per pixel of the images (from their files)"
    )
    group.add_argument(
        "--model-mpp", type=float, metavar="X", help="microns per pixel that the model expects"
    )
    group.add_argument(
        "--tissue", action="store_true", help="leave out glass (stained sections only)"
    )
    group.add_argument(
        "--skip-corrupt", action="store_true", help="fill unreadable regions with white"
    )
    parser.add_patches(patch=1024, overlap=128)
    group = parser.add_argument_group("output")
    group.add_argument("--output", required=True, metavar="FOLDER", help="folder to write")
    group.add_argument(
        "--format",
        type=comma_separated,
        default=("geojson", "csv"),
        metavar="A,B",
        help="files to write (geojson,csv), see docs/outputs.md",
    )
    group.add_argument(
        "--label-set", metavar="NAME", help="classes to write, such as consep (as predicted)"
    )
    group.add_argument(
        "--agreement",
        action="store_true",
        help="add how far symmetries and workdirs agree",
    )
    group.add_argument("--no-stains", action="store_true", help="do not measure stains")
    group.add_argument("--no-report", action="store_true", help="do not write NAME.report.html")
    group.add_argument(
        "--overwrite", action="store_true", help="start again, replace the files of --format"
    )
    group = parser.add_argument_group("running")
    group.add_argument(
        "--batch-size", type=int, default=1, metavar="N", help="patches per step of the devices (1)"
    )
    group.add_argument(
        "--tile",
        type=int,
        default=1792,
        metavar="PX",
        help="side of what is decoded at once (1792)",
    )
    group.add_argument(
        "--shard", metavar="I/N", help="do part I of N; a run without it joins the parts"
    )
    group.add_argument(
        "--merge",
        type=comma_separated,
        default=(),
        metavar="A,B",
        help="folders with shards that are not in --output",
    )
    add_workers(group, "cores less one, at most 8")


def run(options: argparse.Namespace) -> int:
    """Runs the command; 1 where an image failed."""
    logger.info("importing JAX")
    from jaxnuc.prediction.options import DEFAULT
    from jaxnuc.prediction.predict import predict
    from jaxnuc.prediction.predictor import load
    from jaxnuc.prediction.tiles import parse_shard

    settings = DEFAULT.replace(
        formats=options.format,
        mpp=options.mpp,
        model_mpp=options.model_mpp,
        patch=options.patch,
        overlap=options.overlap,
        tile=options.tile,
        batch_size=options.batch_size,
        workers=options.workers,
        tissue=options.tissue,
        stains=not options.no_stains,
        skip_corrupt=options.skip_corrupt,
        overwrite=options.overwrite,
        shard=parse_shard(options.shard) if options.shard else None,
        merge=options.merge,
        report=not options.no_report,
    )
    predictor = load(
        options.workdir,
        options.checkpoint,
        symmetries=range(options.symmetries),
        agreement=options.agreement,
        label_set=options.label_set,
    )
    results = predict(options.input, predictor, options.output, settings)
    for done in results.done:
        print(f"{done['settings']['image']}: {done['nuclei']} nuclei")
    for path, reason in results.failed:
        where = "" if reason.startswith(f"{path}: ") else f"{path}: "
        print(f"error: {where}{reason}", file=sys.stderr)
    if options.shard and not results.failed:
        print(f"shard {options.shard} is done; once all are, a run without --shard joins them")
    return 1 if results.failed else 0
