"""At which size the network sees each image of a prediction."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from jaxnuc.io import image_name
from jaxnuc.prediction.image_task import ImageTask, open_input
from jaxnuc.prediction.options import SUMMARY
from jaxnuc.prediction.partial_results import SETTINGS
from jaxnuc.prediction.predictor import Predictor
from jaxnuc.prediction.settings import fingerprint


def sized(task: ImageTask, predictor: Predictor) -> ImageTask:
    """The task with the diameter by which its image is sized, see `Predictor.diameter_of`.

    An estimate of an earlier run with the same settings is taken as it is, so that it is not made
    twice, and machines whose devices round differently agree.

    Raises:
      ValueError: the image cannot be opened or read.
    """
    trained = predictor.trained_diameter
    if not predictor.sizes or trained is None:
        return task
    diameter = _of_earlier_run(task)
    if diameter is None:
        with open_input(task.path, task.options) as image:
            diameter = predictor.diameter_of(image)
    # Where nothing was found, the image is left as it is.
    return replace(task, diameter=trained if diameter is None else diameter)


def _of_earlier_run(task: ImageTask) -> float | None:
    """The diameter in what an earlier run has left, its summary or settings; None: in neither.

    Whatever else these files may hold is checked where they are read in full.
    """
    if task.options.files.overwrite:
        return None
    name = image_name(task.path)
    folders = [task.output, *map(Path, task.options.processes.merge)]
    for path in (
        task.output / f"{name}{SUMMARY}",
        *(folder / f"{name}.parts" / SETTINGS for folder in folders),
    ):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found: Any = json.loads(path.read_text())
            settings = found.get("settings", found)
            expected = {**task.settings, "file": fingerprint(task.path)}
            if all(settings[key] == value for key, value in expected.items()):
                return float(settings["diameter_px"])
    return None
