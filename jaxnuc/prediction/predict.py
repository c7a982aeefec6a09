"""From image files to files of nuclei: resumable, in shards, with bounded memory."""

import functools
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import jaxnuc
from jaxnuc.io import (
    FilledImage,
    LargeImage,
    ResampledImage,
    at_mpp,
    image_name,
    list_images,
    open_image,
    thumbnail,
)
from jaxnuc.io.atomic import replace_file
from jaxnuc.outputs import REGISTRY, Scene, create, make_formats
from jaxnuc.outputs.drawing import save_png
from jaxnuc.outputs.intensity import is_stained
from jaxnuc.outputs.statistics import doubts, statistics
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.prediction.description import describe
from jaxnuc.prediction.measurements import Colors, measure_tables
from jaxnuc.prediction.options import (
    DEFAULT,
    REPORT,
    SUMMARY,
    THUMBNAIL,
    TISSUE,
    PredictionOptions,
    ResolutionOptions,
)
from jaxnuc.prediction.overview import check_names, check_overview, write_overview
from jaxnuc.prediction.partial_results import PartialResults
from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.settings import check_same, fingerprint, model_settings
from jaxnuc.prediction.stream import predict_rows
from jaxnuc.prediction.tiles import Tile, Tiling
from jaxnuc.prediction.tissue import covered, tissue_mask, tissue_picture
from jaxnuc.reports.prediction import write_prediction_report, write_thumbnail

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Results:
    """The outcome of `predict`.

    Attributes:
      done: the content of `NAME.json` of each image whose files are complete.
      failed: (path, reason) of each image that could not be done.
    """

    done: tuple[dict[str, Any], ...]
    failed: tuple[tuple[str, str], ...]


def predict(
    inputs: Sequence[str | os.PathLike[str]],
    predictor: Predictor,
    output: str | os.PathLike[str],
    options: PredictionOptions = DEFAULT,
) -> Results:
    """Predicts the nuclei in image files and writes them to a folder.

    For each image this writes the files of `options.files` and, last, `NAME.json` with the
    settings behind them; an image that has it is not done again. Until then the nuclei are in
    `NAME.parts/`: a run that was killed resumes there, with the same result. At the end it writes
    `summary.csv` and `index.html` of all images in the folder. Where the images lie in the output
    folder, pictures that were written for an image are not taken for images.

    Args:
      inputs: image files, folders of them, or patterns.
      predictor: from `jaxnuc.load`.
      output: folder, made where it is missing.
      options: see `PredictionOptions`.

    Returns:
      The outcome for each image. An image that cannot be read, whose resolution is unknown, that
      was done with other settings, or whose files exist but are not from here, does not stop the
      others.

    Raises:
      FileNotFoundError: an input matches no image.
      ValueError: two images of one name; a batch of no possible size.
      FileExistsError: `summary.csv` or `index.html` exists and is from elsewhere.
      OSError: a file cannot be written, for example on a full disk; the next run resumes.
    """
    output = Path(output)
    runner = BatchRunner(predictor, options.processes.batch_size)
    settings = model_settings(predictor, options)
    images = list_images(inputs)
    check_overview(output)
    suffixes = [TISSUE, THUMBNAIL, *(create(name).suffix for name in REGISTRY.names())]
    written = {(output / f"{image_name(path)}{s}").resolve() for path in images for s in suffixes}
    compiled = "the network is compiled when the first patch is there"
    logger.info("images: %d; writing to %s; %s", len(images), output, compiled)
    done, failed = [], []
    for path in images:
        if path.resolve() in written:
            continue
        try:
            summary = _predict_image(path, output, runner, settings, options)
        except (ValueError, FileExistsError) as error:
            failed.append((str(path), str(error)))
            continue
        except OSError as error:
            error.add_note(f"stopped at {path}; run again once this is solved: it resumes there")
            raise
        if summary is not None:
            done.append(summary)
    if options.processes.shard is None:
        write_overview(output, failed, options.files.report)
    return Results(tuple(done), tuple(failed))


def _predict_image(
    path: Path,
    output: Path,
    runner: BatchRunner,
    settings: dict[str, Any],
    options: PredictionOptions,
) -> dict[str, Any] | None:
    """The summary of one image; None where its files wait for the shards of other processes."""
    name = image_name(path)
    with _opened(path, options) as image:
        # What is to be predicted, and which files are to be written.
        source = FilledImage(image) if options.skip_corrupt else image
        view, mpp = _at_model_resolution(source, runner.predictor, options.resolution)
        scale = view.scale if isinstance(view, ResampledImage) else (1.0, 1.0)
        scene = Scene(
            name,
            view.shape,
            mpp,
            scale,
            runner.predictor.decode.class_names,
            runner.predictor.decode.colors,
            pixels=view,
            file=path.name,
            full_shape=image.shape,
        )
        formats = make_formats(options.files.formats)
        for format_ in formats.values():
            format_.check(scene)
        files = {key: output / f"{name}{format_.suffix}" for key, format_ in formats.items()}
        if options.files.report:
            files["report"] = output / f"{name}{REPORT}"
            files["thumbnail"] = output / f"{name}{THUMBNAIL}"
        check_names(files)
        settings = settings | {
            "image": name,
            "file": fingerprint(path),
            "shape": list(view.shape),
            "mpp": mpp,
            "scale": list(scale),
        }

        # What an earlier run has left.
        folder, summary_file = output / f"{name}.parts", output / f"{name}{SUMMARY}"
        overwrite, shard = options.files.overwrite, options.processes.shard
        earlier = None if overwrite else _read_summary(summary_file, settings)
        if earlier and all(key in earlier["files"] and p.exists() for key, p in files.items()):
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed at the very end
            return earlier
        if overwrite:
            shutil.rmtree(folder, ignore_errors=True)
        known = files if overwrite else earlier["files"] if earlier else ()
        outputs = list(files.values()) if shard is None else []
        replaceable = [p for key, p in files.items() if key in known]
        parts = PartialResults(folder, settings, outputs, replaceable)
        for other in options.processes.merge:
            parts.merge(Path(other, folder.name))
        if overwrite:
            summary_file.unlink(missing_ok=True)  # the files that it lists will be replaced

        # The nuclei of the rows of tiles that are missing.
        tiling = Tiling(view.shape, options.tiling.tile, options.tiling.overlap)
        rows = parts.missing(range(tiling.grid[0]) if shard is None else tiling.shard(*shard))
        start, before = time.perf_counter(), dict(runner.seconds)
        if rows:
            has_tissue = _tissue(view, output / f"{name}{TISSUE}") if options.tissue else None
            patch, workers = options.tiling.patch, options.processes.decoders
            found = predict_rows(view, tiling, rows, runner, patch, workers, has_tissue)
            n_damaged = 0
            for row in tqdm(found, name, len(rows), unit="row", disable=not options.progress):
                if isinstance(source, FilledImage):
                    damage = source.damage[n_damaged:]  # threads that read ahead append to it
                    parts.save_damage(row.row, damage)
                    n_damaged += len(damage)
                parts.save(row)
        seconds = {
            "network": time.perf_counter() - start,
            "waiting_for_tiles": runner.seconds["tiles"] - before["tiles"],
            "waiting_for_decoding": runner.seconds["decoding"] - before["decoding"],
        }
        if shard is not None:
            return None

        # Stitching, measurements and files; the summary comes last.
        start = time.perf_counter()
        stitched = parts.stitched(tiling)
        small = thumbnail(view) if options.stains or options.files.report else None
        colors = _colors(small[0]) if small is not None and options.stains else None
        parts.save_measured(measure_tables(stitched, view, mpp, tiling.tile, colors))
        for key, format_ in formats.items():
            format_.write(files[key], parts.measured(), scene)
        kept = {
            key: file
            for key, file in (earlier["files"] if earlier else {}).items()
            if (output / file).exists()
        }
        figures, network = statistics(parts.measured(), scene), describe(runner.predictor)
        summary: dict[str, Any] = {
            "path": image.path,
            "nuclei": figures["nuclei"],
            "statistics": figures,
            "doubts": doubts(figures, network["areas_of_training_px"]),
            "network": network,
            "date": datetime.now(UTC).isoformat(timespec="minutes"),
            "jaxnuc": jaxnuc.__version__,
            "settings": settings,
            "corrupt": parts.damage(),
            "files": kept | {key: file.name for key, file in files.items()},
            "seconds": {**seconds, "files": time.perf_counter() - start},
        }
        for line in summary["corrupt"]:
            logger.warning("filled with white: %s", line)
        for line in summary["doubts"]:
            logger.warning("%s: %s", name, line)
        if options.files.report and small is not None:
            write_thumbnail(files["thumbnail"], parts.measured(), scene, small[0])
            write_prediction_report(files["report"], parts.measured, scene, *small, summary)
        replace_file(summary_file, (json.dumps(summary, indent=2) + "\n").encode())
        parts.remove()
        return summary


def _colors(picture: np.ndarray) -> Colors:
    """What is measured of the pixels: one answer for all of an image, by a small copy of it."""
    if is_stained(picture):
        return "stains"
    return "rgb" if np.ptp(picture, axis=-1).any() else "gray"


def _opened(path: Path, options: PredictionOptions) -> LargeImage:
    """An image; whatever prevents that it is opened is a ValueError."""
    try:
        return open_image(
            path,
            series=options.image,
            planes=options.planes,
            bounds=options.bounds,
            most_pixels=options.most_pixels,
        )
    except (OSError, ImportError) as error:
        raise ValueError(str(error)) from error


def _read_summary(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of an earlier run with the same settings, None where there is none.

    Raises:
      ValueError: the image was done with other settings.
      FileExistsError: the file is no such summary.
    """
    if not path.is_file():
        return None
    try:
        summary: dict[str, Any] = json.loads(path.read_text())
        other, _, _ = summary["settings"], summary["files"], summary["statistics"]
    except (ValueError, KeyError, TypeError) as error:
        raise FileExistsError(
            f"{path} exists and is no summary of a prediction; replace it with --overwrite, or "
            "move it away"
        ) from error
    check_same(settings, other, str(path))
    return summary


def _at_model_resolution(
    image: LargeImage, predictor: Predictor, resolution: ResolutionOptions
) -> tuple[LargeImage, float | None]:
    """The image at the model's resolution, and its microns per pixel where they are known."""
    model_mpp = resolution.model_mpp or predictor.config.data.mpp or None
    if model_mpp is not None:
        view = at_mpp(image, model_mpp, given=resolution.mpp)
        return view, view.mpp
    mpp = resolution.mpp or image.mpp
    if mpp is not None:
        _warn_that_mpp_is_not_used()
    return image, mpp


@functools.cache
def _warn_that_mpp_is_not_used() -> None:
    """Warns once, not for every image."""
    logger.warning(
        "the model does not say for how many microns per pixel it was trained (data.mpp=0): pixels "
        "are taken as they are; give --model-mpp to have images resampled"
    )


def _tissue(image: LargeImage, picture: Path) -> Callable[[Tile], bool]:
    """Whether a tile has tissue; writes a picture of the tissue that was recognized."""
    small, scale = thumbnail(image, fill_corrupt=False)
    mask = tissue_mask(small)
    picture.parent.mkdir(parents=True, exist_ok=True)
    save_png(picture, tissue_picture(small, mask))
    return lambda tile: covered(mask, tile.box, scale)
