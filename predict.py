"""Finds nuclei in images and slides: python predict.py --workdir=runs/a --input=a.svs --output=out

Writes, for each image, the files of --format (geojson, coco, csv, parquet, geoparquet, tiff,
ome-zarr, hovernet-json, hovernet-mat, overlay), NAME.report.html, a page to look at, and NAME.json,
which says how they were made. Run again, it goes on where it stopped. --input takes files, folders
and patterns, and can be given several times.
"""

import os
import sys
from typing import TYPE_CHECKING

from absl import app, flags, logging

if TYPE_CHECKING:
    from jaxnuc.prediction.predict import Report

WORKDIR = flags.DEFINE_multi_string(
    "workdir", None, "Folder of the run, or of one checkpoint; several times: an ensemble"
)
INPUT = flags.DEFINE_multi_string("input", None, "Image, slide, folder or pattern")
OUTPUT = flags.DEFINE_string("output", None, "Folder to write.")
FORMAT = flags.DEFINE_list("format", "geojson,csv", "Files to write.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best, latest or a step.")
MPP = flags.DEFINE_float("mpp", None, "Microns per pixel of the images; default: as they say.")
MODEL_MPP = flags.DEFINE_float("model_mpp", None, "Microns per pixel the model expects.")
PATCH = flags.DEFINE_integer("patch", 1024, "Side of what the network sees, a multiple of 64.")
OVERLAP = flags.DEFINE_integer("overlap", 128, "Pixels that neighbours share, a multiple of 32.")
TILE = flags.DEFINE_integer("tile", 1792, "Side of what is decoded at once, a multiple of 64.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 1, "Patches that the devices take at once.")
WORKERS = flags.DEFINE_integer(
    "workers", None, "Processes that decode; default: cores less one, 8 at most."
)
SYMMETRIES = flags.DEFINE_integer(
    "symmetries", 1, "Average over 4: quarter turns; 8: mirror images as well; 1: neither."
)
AGREEMENT = flags.DEFINE_bool(
    "agreement", False, "Say of each nucleus how far symmetries and workdirs agree on it."
)
LABEL_SET = flags.DEFINE_string(
    "label_set", None, "Classes to write: consep, pannuke, ...; default: the predicted ones."
)
TISSUE = flags.DEFINE_bool("tissue", False, "Leave out glass (stained sections only).")
STAINS = flags.DEFINE_bool("stains", True, "Measure haematoxylin and eosin.")
SKIP = flags.DEFINE_bool("skip_corrupt", False, "Take what cannot be read for glass.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Begin anew, replace the files of --format.")
SHARD = flags.DEFINE_string(
    "shard", None, "i/n: do the i-th of n parts; a run without --shard joins."
)
MERGE = flags.DEFINE_list("merge", "", "Folders with shards, where they are not in --output.")
REPORT = flags.DEFINE_bool("report", True, "Write NAME.report.html.")
flags.mark_flags_as_required(["workdir", "input", "output"])


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.expanduser("~/.cache/jaxnuc/xla"))
    logging.set_verbosity(logging.WARNING)
    try:
        report = _predict()
    except (OSError, ValueError, ImportError) as error:
        sys.exit("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]))
    for done in report.done:
        print(f"{done['plan']['image']}: {done['nuclei']} nuclei")
    for path, reason in report.failed:
        print(f"not done: {path}: {reason}", file=sys.stderr)
    if report.failed:
        sys.exit(1)
    if SHARD.value:
        print(f"shard {SHARD.value} is done; once all are, a run without --shard joins them")


def _predict() -> "Report":
    from jaxnuc.prediction.predict import Options, predict
    from jaxnuc.prediction.predictor import load
    from jaxnuc.prediction.tiles import parse_shard

    if SYMMETRIES.value not in (1, 4, 8):
        raise ValueError(f"symmetries={SYMMETRIES.value}; known: 1, 4, 8")
    options = Options(
        formats=tuple(FORMAT.value),
        mpp=MPP.value,
        model_mpp=MODEL_MPP.value,
        patch=PATCH.value,
        overlap=OVERLAP.value,
        tile=TILE.value,
        batch_size=BATCH_SIZE.value,
        workers=WORKERS.value,
        tissue=TISSUE.value,
        stains=STAINS.value,
        skip_corrupt=SKIP.value,
        overwrite=OVERWRITE.value,
        shard=parse_shard(SHARD.value) if SHARD.value else None,
        merge=tuple(MERGE.value),
        report=REPORT.value,
    )
    predictor = load(
        WORKDIR.value,
        CHECKPOINT.value,
        symmetries=range(SYMMETRIES.value),
        agreement=AGREEMENT.value,
        label_set=LABEL_SET.value,
    )
    return predict(INPUT.value, predictor, OUTPUT.value, options)


if __name__ == "__main__":
    app.run(main)
