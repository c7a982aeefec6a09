"""From image files to files of nuclei: resumable, in shards, with bounded memory."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxnuc.io import FilledImage, LargeImage, image_name, list_images, thumbnail
from jaxnuc.io.lock import locked
from jaxnuc.metrics.rows import html_table
from jaxnuc.outputs import suffixes
from jaxnuc.outputs.drawing import save_png
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.prediction.description import describe, model_settings
from jaxnuc.prediction.image_task import ImageTask, OpenTask, Outcome, attempt, warn
from jaxnuc.prediction.options import DEFAULT, THUMBNAIL, TISSUE, PredictionOptions
from jaxnuc.prediction.overview import check_overview, write_overview
from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.sizing import sized
from jaxnuc.prediction.small_images import predict_small_images
from jaxnuc.prediction.stream import predict_rows
from jaxnuc.prediction.tiles import Tile
from jaxnuc.prediction.tissue import covered, tissue_mask, tissue_picture

logger = logging.getLogger(__name__)

# Of fewer images, most would be done before other processes have started.
MANY = 32


@dataclass(frozen=True, repr=False)
class Results:
    """The outcome of `predict`.

    Attributes:
      done: the content of `NAME.json` of each image whose files are complete.
      failed: (path, reason) of each image that could not be done.

    In a notebook, it is a table.
    """

    done: tuple[dict[str, Any], ...]
    failed: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        lines = [f"{each['settings']['image']}: {each['nuclei']:,} nuclei" for each in self.done]
        return "\n".join([*lines, *(f"{image_name(path)}: {why}" for path, why in self.failed)])

    def _repr_html_(self) -> str:
        rows = [["image", "nuclei", "classes", "remarks"]]
        for each in self.done:
            counts = each["statistics"]["classes"].items()
            classes = ", ".join(f"{name or 'without a class'} {n:,}" for name, n in counts)
            remarks = "; ".join([*each["doubts"], *each["corrupt"]])
            rows.append([each["settings"]["image"], f"{each['nuclei']:,}", classes, remarks])
        rows += [[image_name(path), "failed", "", reason] for path, reason in self.failed]
        return html_table(rows)


def predict(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    predictor: Predictor,
    output: str | os.PathLike[str],
    options: PredictionOptions = DEFAULT,
) -> Results:
    """Predicts the nuclei in image files and writes them to a folder.

    For each image this writes the files of `options.files` and, last, `NAME.json` with the
    settings behind them; an image that has it is not done again. Until then the nuclei are in
    `NAME.parts/`: a run that was killed resumes there, with the same result. At the end it writes
    `summary.csv` and `index.html` of all images in the folder. The output folder may be that of the
    images: pictures that were written for an image are not taken for images.

    Args:
      inputs: an image file, folder of images or pattern, or several of them.
      predictor: from `jaxnuc.load`.
      output: folder, made where it is missing.
      options: see `PredictionOptions`.

    Returns:
      The outcome for each image. An image that cannot be read, whose resolution is unknown, that
      was done with other settings, or whose files exist but are not from here, does not stop the
      others.

    Raises:
      FileNotFoundError: an input matches no image.
      ValueError: two images of one name; a batch of no possible size; another process that
        writes to the folder, or a file in its place; microns per pixel of a model that images are
        not sized by.
      FileExistsError: `summary.csv` or `index.html` exists and is from elsewhere.
      OSError: a file cannot be written, for example on a full disk; the next run resumes.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; the output is a folder")
    model_mpp = options.resolution.model_mpp
    if model_mpp is not None and predictor.sizes:
        raise ValueError(
            f"model_mpp={model_mpp:g} (--model-mpp), but images are sized by their nuclei "
            f"(diameter={predictor.sizes}); leave it out, or give --diameter=off"
        )
    runner = BatchRunner(predictor, options.processes.batch_size)
    settings, network = model_settings(predictor, options), describe(predictor)
    model_mpp = model_mpp or predictor.config.data.mpp or None
    images = list_images(inputs)
    check_overview(output)
    ends = (TISSUE, THUMBNAIL, *suffixes())
    written = {(output / f"{image_name(path)}{end}").resolve() for path in images for end in ends}
    tasks = [
        ImageTask(path, output, predictor.decode, model_mpp, settings, network, options)
        for path in images
        if path.resolve() not in written
    ]
    compiled = "the network is compiled when the first patch is there"
    logger.info("images: %d; writing to %s; %s", len(tasks), output, compiled)
    hidden = len(tasks) < 2 or not options.progress
    shard = options.processes.shard
    with locked(output, ".lock" if shard is None else f".lock_{shard[0]}_of_{shard[1]}"):
        failed_there = _on_cluster(tasks, runner) if options.processes.cluster and tasks else {}
        found = tqdm(
            _outcomes(tasks, runner, failed_there),
            "images",
            len(tasks),
            unit="image",
            disable=hidden,
        )
        outcomes = [outcome for _, outcome in sorted(found, key=lambda each: each[0])]
        failed = [(str(o.path), o.reason) for o in outcomes if o.reason]
        if shard is None:
            write_overview(output, failed, options.files.report)
    return Results(tuple(o.summary for o in outcomes if o.summary is not None), tuple(failed))


def _on_cluster(tasks: Sequence[ImageTask], runner: BatchRunner) -> Mapping[int, Outcome]:
    """Has the missing rows done; the outcomes of the images that failed."""
    try:
        from jaxnuc.prediction.cluster import predict_on_cluster
    except ImportError as error:
        raise ImportError(f"a cluster needs Dask ({error}): pip install jaxnuc[cluster]") from error

    def find_tissue(opened: OpenTask) -> Callable[[Tile], bool] | None:
        tissue = opened.task.options.tissue
        return _tissue(opened.view, opened.tissue_file) if tissue else None

    return predict_on_cluster(tasks, runner, find_tissue)


def _outcomes(
    tasks: Sequence[ImageTask], runner: BatchRunner, failed: Mapping[int, Outcome]
) -> Iterator[tuple[int, Outcome]]:
    """The outcome of each task with its number: of many images, the small ones first."""
    yield from failed.items()
    left: Sequence[int] = [number for number in range(len(tasks)) if number not in failed]
    if len(tasks) >= MANY and tasks[0].done_in_batches:
        left = yield from predict_small_images(tasks, runner)
    for number in left:
        yield number, attempt(tasks[number], lambda task: _predict_image(task, runner))


def _predict_image(task: ImageTask, runner: BatchRunner) -> dict[str, Any] | None:
    """The summary of an image of any size; None where its files wait for other shards."""
    options, task = task.options, sized(task, runner.predictor)
    with task.open() as opened:
        if summary := opened.finished():
            return summary
        parts = opened.start()
        parts.begin()
        rows = opened.missing(parts)
        start, before = time.perf_counter(), dict(runner.seconds)
        if rows:
            wanted = _tissue(opened.view, opened.tissue_file) if options.tissue else None
            patch, workers = options.tiling.patch, options.processes.decoders
            found = predict_rows(opened.view, opened.tiling, rows, runner, patch, workers, wanted)
            name, n_damaged = opened.scene.image, 0
            for row in tqdm(found, name, len(rows), unit="row", disable=not options.progress):
                if isinstance(opened.image, FilledImage):
                    damage = opened.image.damage[n_damaged:]  # threads that read append to it
                    parts.save_damage(row.row, damage)
                    n_damaged += len(damage)
                parts.save(row)
        seconds = {
            "network": time.perf_counter() - start,
            "waiting_for_tiles": runner.seconds["tiles"] - before["tiles"],
            "waiting_for_decoding": runner.seconds["decoding"] - before["decoding"],
        }
        if options.processes.shard is not None:
            return None
        summary = opened.complete(parts, parts.rows(opened.tiling.grid[0]), seconds)
        warn(summary)
        return summary


def _tissue(image: LargeImage, picture: Path) -> Callable[[Tile], bool]:
    """Whether a tile has tissue; writes a picture of the tissue that was recognized."""
    small, scale = thumbnail(image, fill_corrupt=False)
    mask = tissue_mask(small)
    picture.parent.mkdir(parents=True, exist_ok=True)
    save_png(picture, tissue_picture(small, mask))
    return _Covered(mask, scale)


@dataclass(frozen=True)
class _Covered:
    """Whether a tile has tissue; other processes can take it."""

    mask: np.ndarray
    scale: float

    def __call__(self, tile: Tile) -> bool:
        return covered(self.mask, tile.box, self.scale)
