"""One image of a prediction: what it is, what an earlier run has left of it, and its files.

Nothing here needs JAX, so that the processes which write files start fast.
"""

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import jaxnuc
from jaxnuc.io import (
    FilledImage,
    LargeImage,
    at_mpp,
    image_name,
    open_image,
    thumbnail,
)
from jaxnuc.io.atomic import replace_file
from jaxnuc.outputs import NucleiTable, Scene, make_formats
from jaxnuc.outputs.formats.base import Format
from jaxnuc.outputs.intensity import is_stained
from jaxnuc.outputs.statistics import doubts, statistics
from jaxnuc.prediction.decoding import Decoder, decode_tile
from jaxnuc.prediction.measurements import Colors, measure_tables
from jaxnuc.prediction.options import REPORT, SUMMARY, THUMBNAIL, TISSUE, PredictionOptions
from jaxnuc.prediction.overview import check_names
from jaxnuc.prediction.partial_results import PartialResults
from jaxnuc.prediction.settings import check_same, fingerprint
from jaxnuc.prediction.sized import at_diameter, resized_table, scale_of
from jaxnuc.prediction.stitching import Stitcher, gather
from jaxnuc.prediction.symmetries import Maps
from jaxnuc.prediction.tiles import Tile, Tiling
from jaxnuc.reports.prediction import write_prediction_report, write_thumbnail

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
      path: of the image.
      summary: the content of its `NAME.json`; None where its files wait for the shards of other
        processes, or it failed.
      reason: why it failed.
    """

    path: Path
    summary: dict[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True)
class ImageTask:
    """An image to be done. Other processes can take it: it has no network, and no open file.

    Attributes:
      path: of the image.
      output: folder of its files.
      decoder: from maps to nuclei.
      model_mpp: microns per pixel that the model expects; None: it does not say.
      settings: on which the nuclei depend besides the image, see `model_settings`.
      network: for people, see `describe`.
      options: of the prediction.
      diameter: of typical nuclei in pixels of the image, which is enlarged or shrunk so that they
        get that of the training; None: microns per pixel decide.
    """

    path: Path
    output: Path
    decoder: Decoder
    model_mpp: float | None
    settings: Mapping[str, Any]
    network: Mapping[str, Any]
    options: PredictionOptions
    diameter: float | None = None

    @property
    def size_is_unknown(self) -> bool:
        """Whether no diameter could be estimated, so that the image is seen as it is."""
        trained = self.network["diameter_of_training_px"]
        return self.settings["diameter"] == "auto" and self.diameter == trained

    @property
    def done_in_batches(self) -> bool:
        """Whether `predict_small_images` is meant for it, if it is small."""
        processes = self.options.processes
        elsewhere = processes.shard is not None or processes.cluster is not None
        return processes.decoders > 0 and not elsewhere and not self.options.tissue

    @contextmanager
    def open(self) -> Iterator["OpenTask"]:
        """The task with its image open.

        Raises:
          ValueError: the image cannot be opened, has no known resolution, or cannot be written in
            one of the formats.
        """
        with open_input(self.path, self.options) as image:
            yield OpenTask(self, image)


@contextmanager
def open_input(path: Path, options: PredictionOptions) -> Iterator[LargeImage]:
    """An image, open as the options say.

    Raises:
      ValueError: it cannot be opened.
    """
    try:
        image = open_image(
            path,
            series=options.image,
            planes=options.planes,
            bounds=options.bounds,
            most_pixels=options.most_pixels,
        )
    except (OSError, ImportError) as error:
        raise ValueError(str(error)) from error
    with image:
        yield FilledImage(image) if options.skip_corrupt else image


def attempt(task: ImageTask, do: Callable[[ImageTask], dict[str, Any] | None]) -> Outcome:
    """Calls `do`, which returns a summary; an image that cannot be done does not stop others.

    Raises:
      OSError: a file cannot be written.
    """
    try:
        return Outcome(task.path, do(task))
    except (ValueError, FileExistsError) as error:
        return Outcome(task.path, reason=str(error))
    except OSError as error:
        error.add_note(f"stopped at {task.path}; run again once this is solved: it resumes there")
        raise


def warn(summary: Mapping[str, Any]) -> None:
    """Says which parts of an image could not be read, and why its nuclei may be wrong."""
    for line in summary["corrupt"]:
        logger.warning("filled with white: %s", line)
    for line in summary["doubts"]:
        logger.warning("%s: %s", summary["settings"]["image"], line)


def complete_tile(task: ImageTask, tile: Tile, maps: Maps, members: Sequence[Maps]) -> Outcome:
    """Decodes the only tile of an image and writes the files, in a process of its own."""
    logging.disable(logging.WARNING)  # the process that read the image has warned

    def complete(task: ImageTask) -> dict[str, Any]:
        with task.open() as opened:
            opened.finished()  # it is not: but some of its files may be there, and are kept
            parts, start = opened.resume(), time.perf_counter()
            parts.begin()
            row = gather([decode_tile(task.decoder, tile, maps, members)])
            # The network sees several images at once: no time of it is that of one.
            return opened.complete(parts, [row], {"decoding": time.perf_counter() - start})

    return attempt(task, complete)


class OpenTask:
    """A task with its image open.

    Attributes:
      task: what is to be done.
      image: as its file has it, perhaps filled where it is corrupt.
      view: the image at the size at which the network sees it.
      scene: the image, as the files of its nuclei describe it.
      tiling: of `view`.
      settings: on which its nuclei depend.
    """

    def __init__(self, task: ImageTask, image: LargeImage) -> None:
        self.task, self.image = task, image
        options, name = task.options, image_name(task.path)
        self.view = _as_network_sees(image, task)
        self._scale = scale_of(self.view)
        self.scene = Scene(
            name,
            image.shape,
            options.resolution.mpp or image.mpp,
            class_names=task.decoder.class_names,
            colors=task.decoder.colors,
            pixels=image,
            file=task.path.name,
        )
        self._formats = make_formats(options.files.formats)
        for format_ in self._formats.values():
            format_.check(self.scene)
        self._files = _files(task, name, self._formats)
        check_names(self._files)
        self.tiling = Tiling(self.view.shape, options.tiling.tile, options.tiling.overlap)
        self.settings = {
            **task.settings,
            "image": name,
            "file": fingerprint(task.path),
            "shape": list(self.scene.shape),
            "mpp": self.scene.mpp,
            "scale": list(self._scale),
            "diameter_px": task.diameter,
        }
        self._folder = task.output / f"{name}.parts"
        self._summary_file = task.output / f"{name}{SUMMARY}"
        self.tissue_file = task.output / f"{name}{TISSUE}"
        self._earlier: dict[str, Any] | None = None

    def finished(self) -> dict[str, Any] | None:
        """The summary of an earlier run that has written all files, None where there is none.

        Raises:
          ValueError: the image was done with other settings.
          FileExistsError: a file of the name of the summary is none.
        """
        if self.task.options.files.overwrite:
            return None
        earlier = self._earlier = _read_summary(self._summary_file, self.settings)
        if earlier and all(k in earlier["files"] and p.exists() for k, p in self._files.items()):
            # Of a run that was killed at the very end.
            shutil.rmtree(self._folder, ignore_errors=True)
            return earlier
        return None

    def start(self) -> PartialResults:
        """The rows of tiles that are done, on disk; to be called after `finished`.

        Raises:
          ValueError: there are rows of other settings.
          FileExistsError: a file exists and is not from a prediction of this image.
        """
        files, processes = self.task.options.files, self.task.options.processes
        if files.overwrite:
            shutil.rmtree(self._folder, ignore_errors=True)
        parts = self.resume()
        for other in processes.merge:
            parts.merge(Path(other, self._folder.name))
        if files.overwrite:
            self._summary_file.unlink(missing_ok=True)  # the files that it lists will be replaced
        return parts

    def resume(self) -> PartialResults:
        """As `start`, where that was called before."""
        files = self.task.options.files
        known = self._files if files.overwrite else self._earlier["files"] if self._earlier else ()
        outputs = list(self._files.values()) if self.task.options.processes.shard is None else []
        replaceable = [path for key, path in self._files.items() if key in known]
        return PartialResults(self._folder, self.settings, outputs, replaceable)

    def _areas_of_training(self) -> list[float] | None:
        """Quantiles of the areas of nuclei in the training, in pixels of the results."""
        areas = self.task.network["areas_of_training_px"]
        row, col = self._scale
        return [area * row * col for area in areas] if areas else None

    def missing(self, parts: PartialResults) -> list[int]:
        """The rows of tiles that this process has to do."""
        shard = self.task.options.processes.shard
        rows = range(self.tiling.grid[0]) if shard is None else self.tiling.shard(*shard)
        return parts.missing(rows)

    def complete(
        self, parts: PartialResults, rows: Iterable[NucleiTable], seconds: Mapping[str, float]
    ) -> dict[str, Any]:
        """Stitches, measures and writes the files of an image.

        Args:
          parts: where the rest of it is.
          rows: the nuclei of all rows of tiles.
          seconds: how long they took, for the summary.

        Returns:
          The summary, which is written last, as `NAME.json`.
        """
        start = time.perf_counter()
        options, scene = self.task.options, self.scene
        small = thumbnail(self.image) if options.stains or options.files.report else None
        colors = _colors(small[0]) if small is not None and options.stains else None
        stitched = (
            resized_table(each, self._scale, scene.shape)
            for each in Stitcher(self.tiling).all(rows)
        )
        side = self.tiling.tile
        parts.keep_measured(measure_tables(stitched, self.image, scene.mpp, side, colors))
        for key, format_ in self._formats.items():
            format_.write(self._files[key], parts.measured(), scene)
        earlier = self._earlier["files"] if self._earlier else {}
        kept = {key: file for key, file in earlier.items() if (self.task.output / file).exists()}
        figures, network = statistics(parts.measured(), scene), self.task.network
        levels = None if small is None else _levels(small[0])
        lines = doubts(figures, self._areas_of_training(), self.task.diameter, levels)
        if self.task.size_is_unknown and figures["nuclei"]:
            lines.append(
                "nothing in the image gave a size of nuclei: it was seen as it is; if there are "
                "nuclei, say their --diameter"
            )
        summary: dict[str, Any] = {
            "path": self.image.path,
            "nuclei": figures["nuclei"],
            "statistics": figures,
            "doubts": lines,
            "network": network,
            "date": datetime.now(UTC).isoformat(timespec="minutes"),
            "jaxnuc": jaxnuc.__version__,
            "settings": self.settings,
            "corrupt": parts.damage(),
            "files": kept | {key: file.name for key, file in self._files.items()},
            "seconds": {**seconds, "files": time.perf_counter() - start},
        }
        if options.files.report and small is not None:
            write_thumbnail(self._files["thumbnail"], parts.measured(), scene, small[0])
            write_prediction_report(self._files["report"], parts.measured, scene, *small, summary)
        replace_file(self._summary_file, (json.dumps(summary, indent=2) + "\n").encode())
        parts.remove()
        return summary


def _files(task: ImageTask, name: str, formats: Mapping[str, Format]) -> dict[str, Path]:
    """The files of an image but for its summary."""
    files = {key: task.output / f"{name}{format_.suffix}" for key, format_ in formats.items()}
    if task.options.files.report:
        files["report"] = task.output / f"{name}{REPORT}"
        files["thumbnail"] = task.output / f"{name}{THUMBNAIL}"
    return files


def _levels(picture: np.ndarray) -> int:
    """How many gray levels 99.5 % of the pixels of a picture (H, W, 3) have."""
    low, high = np.quantile(picture.max(axis=-1), [0.0025, 0.9975], method="nearest")
    return int(high) - int(low) + 1


def _colors(picture: np.ndarray) -> Colors:
    """What is measured of the pixels: one answer for all of an image, by a small copy of it."""
    if is_stained(picture):
        return "stains"
    return "rgb" if (picture != picture[..., :1]).any() else "gray"


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


def _as_network_sees(image: LargeImage, task: ImageTask) -> LargeImage:
    """The image at the size at which the network is to see it."""
    given = task.options.resolution.mpp
    if task.diameter is not None:
        trained = task.network["diameter_of_training_px"]
        return at_diameter(image, task.diameter, trained)
    if task.model_mpp is not None:
        return at_mpp(image, task.model_mpp, given=given)
    if given or image.mpp:
        _warn_that_mpp_is_not_used()
    return image


_warned = threading.Lock()  # held for good after the warning: threads open images


def _warn_that_mpp_is_not_used() -> None:
    """Warns once, not for every image."""
    if not _warned.acquire(blocking=False):
        return
    logger.warning(
        "the model does not say for how many microns per pixel it was trained (data.mpp=0): pixels "
        "are taken as they are; give --model-mpp to have images resampled"
    )
