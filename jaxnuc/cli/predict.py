"""Segment nuclei in images and slides.

  jaxnuc predict --model=fluorescence --input=folder --output=out
  jaxnuc predict --workdir=runs/a --input=slide.svs --output=out --format=geojson,overlay

Writes the files of --format and a report for each image, and an index. Run again, it continues.
"""

import argparse
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from jaxnuc.cli.parser import Parser, comma_separated

if TYPE_CHECKING:
    from jaxnuc.prediction.options import PredictionOptions

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc predict --model=NAME --input=IMAGE --output=FOLDER [options]"
    parser.add_checkpoint(ensemble=True)
    parser.section("images")
    images = "image, slide, folder or pattern; can be repeated"
    parser.value("--input", "IMAGE", images, action="append", default=[])
    parser.switch("--example", "images that come with the model; needs no other option")
    parser.add_reading()
    parser.add_patches(patch=1024, overlap=128)
    parser.section("output")
    parser.value("--output", "FOLDER", "folder to write (jaxnuc_example of an example)")
    formats = "files to write (geojson,csv), see docs/outputs.md"
    parser.value("--format", "A,B", formats, comma_separated, ("geojson", "csv"))
    classes = "classes to write (as predicted); also --agreement"
    parser.value("--label-set", "NAME", classes)
    parser.switch("--agreement", argparse.SUPPRESS)
    parser.switch("--no-report", "write no pages; also --no-stains")
    parser.switch("--no-stains", argparse.SUPPRESS)
    parser.switch("--overwrite", "start again, replace the files of --format")
    parser.section("running")
    parser.add_batches()
    shard = "do part I of N; a run without it joins them; also --merge"
    parser.value("--shard", "I/N", shard)
    # Named in the line above: all would not fit a screen.
    parser.value("--merge", "A,B", argparse.SUPPRESS, comma_separated, ())
    parser.value("--cluster", "ADDRESS", "Dask scheduler, whose workers do the rows of tiles")
    parser.add_workers("cores less one, at most 8")


def run(options: argparse.Namespace) -> int:
    """Runs the command; 1 where an image failed."""
    if options.example:
        _set_example(options)
    if not options.input or options.output is None:
        missing = "--output=FOLDER" if options.input else "--input=IMAGE"
        raise ValueError(f"{missing} is missing; or --example alone shows what a model does")
    logger.info("importing JAX")
    from jaxnuc.prediction.predict import predict
    from jaxnuc.prediction.predictor import load
    from jaxnuc.prediction.tiles import parse_shard

    settings = shared_options(options).replace(
        formats=options.format,
        stains=not options.no_stains,
        overwrite=options.overwrite,
        shard=parse_shard(options.shard) if options.shard else None,
        merge=options.merge,
        cluster=options.cluster,
    )
    predictor = load(
        options.workdir,
        options.checkpoint,
        symmetries=range(options.symmetries),
        agreement=options.agreement,
        label_set=options.label_set,
        decoder=options.decoder,
        diameter=options.diameter,
    )
    results = predict(options.input, predictor, options.output, settings)
    for done in results.done:
        diameter = done["settings"]["diameter_px"]
        size = "" if diameter is None else f", diameter taken as {diameter:.3g} px"
        print(f"{done['settings']['image']}: {done['nuclei']} nuclei{size}")
    if len(results.done) > 1:
        print(f"{len(results.done)} images: {sum(done['nuclei'] for done in results.done)} nuclei")
    print_failed(results.failed)
    if results.done and not options.no_report:
        logger.info("pictures and reports: %s", Path(options.output, "index.html"))
    if options.shard and not results.failed:
        print(f"shard {options.shard} is done; once all are, a run without --shard joins them")
    return 1 if results.failed else 0


def _set_example(options: argparse.Namespace) -> None:
    """The model, images, their resolution, folder and formats of an example, if not given.

    Raises:
      ValueError: an input, or a network that comes without examples.
    """
    from jaxnuc.run.cards import card, shipped
    from jaxnuc.run.checkpoints import find, read_config

    if options.input:
        raise ValueError(f"--example with --input={options.input[0]}: give one of them")
    options.workdir = options.workdir or ["fluorescence"]
    if (given := options.workdir[0]) not in shipped():
        known = ", ".join(shipped())
        raise ValueError(
            f"--example is of a --model that comes with the library ({known}): {given} is none"
        )
    options.input = [str(path) for path in card(options.workdir[0]).image_files]
    if not options.input:
        raise ValueError(f"the model {options.workdir[0]} comes without examples: give --input")
    # The files do not say it, and are images of the resolution for which the model is.
    options.mpp = options.mpp or read_config(find(given))["data"]["mpp"] or None
    options.output = options.output or "jaxnuc_example"
    if options.format == ("geojson", "csv"):
        options.format = ("geojson", "csv", "overlay")


def shared_options(options: argparse.Namespace) -> "PredictionOptions":
    """The options of a prediction by those flags that `suggest` has as well."""
    from jaxnuc.io import Planes
    from jaxnuc.prediction.options import DEFAULT

    most_pixels = options.most_pixels
    return DEFAULT.replace(
        mpp=options.mpp,
        model_mpp=options.model_mpp,
        patch=options.patch,
        overlap=options.overlap,
        tile=options.tile,
        batch_size=options.batch_size,
        workers=options.workers,
        tissue=options.tissue,
        skip_corrupt=options.skip_corrupt,
        image=options.image,
        planes=Planes(options.channel, options.z, options.time),
        bounds=not options.no_bounds,
        most_pixels=DEFAULT.most_pixels if most_pixels is None else most_pixels,
        report=not options.no_report,
    )


def print_failed(failed: Iterable[tuple[str, str]]) -> None:
    """Says on stderr which images could not be done, and why."""
    for path, reason in failed:
        where = "" if reason.startswith(f"{path}: ") else f"{path}: "
        print(f"error: {where}{reason}", file=sys.stderr)
