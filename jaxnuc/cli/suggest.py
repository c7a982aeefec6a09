"""Suggest which images or regions to annotate next.

  jaxnuc suggest new_images --workdir=runs/a --annotated=cells --output=suggested

Predicts the nuclei, compares symmetries and workdirs, and writes suggestions.csv, rectangles for
QuPath (NAME.geojson) and index.html. See docs/annotations.md.
"""

import argparse
import logging

from jaxnuc.cli.parser import Parser
from jaxnuc.cli.predict import print_failed, shared_options

logger = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "jaxnuc suggest IMAGE [IMAGE ...] --workdir=FOLDER [options]"
    images = "image, slide, folder or pattern"
    parser.add_argument("input", metavar="IMAGE", nargs="+", help=images)
    parser.section("suggestions")
    parser.value("--count", "N", "how many (10)", int, 10)
    side = "side of regions in pixels; 0: whole images (512)"
    parser.value("--region", "PX", side, int, 512)
    annotated = "what is annotated, to suggest what is unlike it"
    parser.value("--annotated", "FOLDER", annotated)
    parser.value("--output", "FOLDER", "folder to write (suggested)", default="suggested")
    parser.switch("--no-report", "write no pages")
    parser.add_checkpoint(ensemble=True)
    parser.section("images")
    parser.add_reading()
    parser.add_patches(patch=1024, overlap=128, symmetries=8)
    parser.section("running")
    parser.add_batches()
    parser.add_workers("cores less one, at most 8")


def run(options: argparse.Namespace) -> int:
    """Runs the command; 1 where an image failed."""
    logger.info("importing JAX")
    from jaxnuc.metrics.rows import aligned
    from jaxnuc.prediction.predictor import load
    from jaxnuc.prediction.suggest import Request, suggest

    request = Request(options.region, options.count, options.annotated)
    predictor = load(
        options.workdir,
        options.checkpoint,
        symmetries=range(options.symmetries),
        decoder=options.decoder,
        diameter=options.diameter,
    )
    found = suggest(options.input, predictor, options.output, request, shared_options(options))
    rows = [each.row() for each in found.suggested]
    if rows:
        texts = [["" if v is None else str(v) for v in row.values()] for row in rows]
        print(aligned([[name.replace("_", " ") for name in rows[0]], *texts]))
        logger.info("written to %s", options.output)
    print_failed(found.failed)
    return 1 if found.failed else 0
