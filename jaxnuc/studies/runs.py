"""Trains and evaluates what a study lacks; continues where it was interrupted."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
from ml_collections import ConfigDict

from jaxnuc.config import pages
from jaxnuc.evaluation.checkpoint import Data, Inference, evaluate_checkpoint
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.io.atomic import replace_file
from jaxnuc.io.text_files import read_json
from jaxnuc.metrics.evaluation import FIGURES
from jaxnuc.run import checkpoints
from jaxnuc.studies.study import Row, Study, folder_of
from jaxnuc.training import workdir as workdirs
from jaxnuc.training.loop import train_and_evaluate

logger = logging.getLogger(__name__)

FINISHED = "finished.json"  # in the workdir of a training that came to its end
EVALUATED = "evaluated.json"  # in the folder of an evaluation: what was evaluated, and how
OVERLAYS = 4


@dataclass(frozen=True)
class Run:
    """One training of a row.

    Attributes:
      row: that is trained.
      repeat: which of the study's repeats.
      config: the configuration.
      workdir: its folder, where it is or will be.
    """

    row: Row
    repeat: str
    config: ConfigDict
    workdir: Path

    @property
    def finished(self) -> bool:
        """Whether the training came to its end, with the duration that it is to have."""
        path = self.workdir / FINISHED
        return path.is_file() and read_json(path)["duration"] == self.config.duration


@dataclass(frozen=True)
class Plan:
    """The trainings and evaluations of a study; made by `plan`.

    Attributes:
      study: what is to be done.
      folders: the first one is written; the others, such as those of other machines, are read.
      runs: the trainings by (row, repeat).
    """

    study: Study
    folders: Sequence[Path]
    runs: Mapping[tuple[str, str], Run]

    def evaluation(self, row: Row, repeat: str, label: str) -> Path:
        """The folder of an evaluation, where it is or will be."""
        split = self.study.data[label].get("split", "test")
        name = f"eval_{folder_of(label)}_{split}"
        return _find(self.folders, Path(row.folder) / repeat / name, EVALUATED)

    def evaluations(self, row: Row, label: str) -> Iterator[tuple[str, Path]]:
        """The evaluations of a row on a data set that there are, by repeat."""
        for repeat in self.study.repeats:
            folder = self.evaluation(row, repeat, label)
            if (folder / FIGURES).is_file() and (folder / EVALUATED).is_file():
                yield repeat, folder

    def complete(self, rows: Sequence[Row]) -> list[str]:
        """Trains and evaluates what these rows lack; returns which trainings failed, and why.

        Raises:
          Stopped: by SIGTERM; the same call goes on.
          ValueError: a run's folder holds another configuration, or the data do not fit.
        """
        names = {row.name for row in rows}
        runs = [run for (name, _), run in self.runs.items() if name in names]
        missing = sum(not run.finished for run in runs)
        logger.info("trainings: %d, of which %d are finished", len(runs), len(runs) - missing)
        failed: dict[tuple[str, str], str] = {}
        trained, begin = 0, time.monotonic()
        for run in runs:
            if not run.finished:
                left = ""
                if trained:
                    seconds = (time.monotonic() - begin) / trained * (missing - trained)
                    left = f"; about {_duration(seconds)} left"
                trained += 1
                title = f"{run.row.name!r}, {run.repeat}"
                logger.info("training %d of %d: %s%s", trained, missing, title, left)
                if (run.row.start_from, run.repeat) in failed:
                    reason = f"row {run.row.start_from!r}, from which it starts, failed"
                else:
                    reason = self._train(run)
                if reason:
                    logger.warning("%s failed: %s", title, reason)
                    failed[run.row.name, run.repeat] = f"{title}: {reason}"
                    continue
            self._evaluate_all(run)
        return list(failed.values())

    def _train(self, run: Run) -> str:
        """Trains; returns why that failed, or an empty text."""
        begin = time.monotonic()
        try:
            train_and_evaluate(run.config, run.workdir)
        except FloatingPointError as error:
            return str(error)  # a result of the study as well; the other rows go on
        finally:
            jax.clear_caches()  # programs of other rows are not needed again
        about = {"duration": run.config.duration, "seconds": round(time.monotonic() - begin, 1)}
        replace_file(run.workdir / FINISHED, (json.dumps(about) + "\n").encode())
        return ""

    def _evaluate_all(self, run: Run) -> None:
        """Makes the missing evaluations of a trained network, of all rows that use it."""
        # Where the other row's folder is depends on the machine.
        workdirs.check(run.workdir, run.config, ("weights.file",) if run.row.start_from else ())
        for row in self.study.rows:
            if self.study.trained(row) is not run.row:
                continue
            for label in self.study.data:
                self._evaluate(row, run, label)

    def _evaluate(self, row: Row, run: Run, label: str) -> None:
        study, section = self.study, dict(self.study.data[label])
        folder = self.evaluation(row, run.repeat, label)
        wanted = {
            "data": section,
            "checkpoint": checkpoints.find(run.workdir, study.checkpoint).name,
            "duration": run.config.duration,
            "symmetries": study.symmetries,
            "patch": study.patch,
            "decoder": None if row.decoder is None else dict(row.decoder),
        }
        text, path = json.dumps(wanted) + "\n", folder / EVALUATED
        if path.is_file() and path.read_text() == text:
            return
        path.unlink(missing_ok=True)
        logger.info("evaluating %r, %s on %s", row.name, run.repeat, label)
        split = section.pop("split", "test")
        evaluate_checkpoint(
            run.workdir,
            study.checkpoint,
            output=folder,
            data=Data(split, section or None),  # that of the training, where nothing is named
            inference=Inference(study.symmetries, study.patch, decoder=row.decoder),
            options=EvaluationOptions(overlays=OVERLAYS),
        )
        replace_file(path, text.encode())
        jax.clear_caches()


def plan(
    study: Study, folder: Path, merged: Sequence[Path] = (), overrides: Mapping[str, str] = {}
) -> Plan:
    """Makes the configurations of all runs, so that a mistake is found before the first one.

    Args:
      study: what is to be done.
      folder: where it is written.
      merged: folders of the same study, such as of other machines, that are only read.
      overrides: values as text by key, of the configurations of all rows.

    Raises:
      FileNotFoundError: there is no such page, or no such folder to merge.
      ValueError: a configuration is wrong.
    """
    for path in merged:
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such folder of a study")
    folders, runs = (folder, *merged), dict[tuple[str, str], Run]()
    for row in study.rows:
        if row.network_of:
            continue
        for repeat, values in study.repeats.items():
            given = {**row.overrides, **values, **overrides}
            if row.start_from:
                given["weights.file"] = str(runs[row.start_from, repeat].workdir)
            try:
                config = pages.load(row.config, given)
            except ValueError as error:
                raise ValueError(f"row {row.name!r} of {study.title!r}: {error}") from error
            workdir = _find(folders, Path(row.folder) / repeat, FINISHED)
            runs[row.name, repeat] = Run(row, repeat, config, workdir)
    return Plan(study, folders, runs)


def _find(folders: Sequence[Path], below: Path, file: str) -> Path:
    """The first folder that holds a file, or else the one where it will be written."""
    found = (folder / below for folder in folders if (folder / below / file).is_file())
    return next(found, folders[0] / below)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
