"""Evaluates what a training left in a workdir, knowing nothing but the workdir."""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax

from jaxnuc.data.sample import Source
from jaxnuc.data.splits import open_split
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.evaluation.scoring import Segment
from jaxnuc.evaluation.thresholds import optimize_thresholds
from jaxnuc.io.atomic import replace_file
from jaxnuc.metrics import Summary
from jaxnuc.prediction.patches import OVERLAP
from jaxnuc.prediction.predictor import load
from jaxnuc.prediction.segment import PatchwisePredictor
from jaxnuc.run import checkpoints
from jaxnuc.run.log import LOG, read_log

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """On what is evaluated: a split, perhaps of another source than that of the training.

    Attributes:
      source: its name; None: that of the training.
      root: where its files are; None: as in the training.
    """

    split: str = "test"
    source: str | None = None
    root: str | None = None


@dataclass(frozen=True)
class Inference:
    """How the maps of an image are computed.

    Attributes:
      symmetries: test-time augmentation: 8 averages maps over the symmetries of the square, 4 over
        the quarter turns, 1 takes the image as it is.
      patch: side of what the network sees at once, a multiple of 64; None: the whole image.
      overlap: of neighboring patches in pixels, a multiple of 32.

    Raises:
      ValueError: other symmetries.
    """

    symmetries: int = 1
    patch: int | None = None
    overlap: int = OVERLAP

    def __post_init__(self) -> None:
        if self.symmetries not in (1, 4, 8):
            raise ValueError(f"symmetries={self.symmetries}; known: 1, 4, 8")


TEST, PLAIN, AS_CONFIGURED = Data(), Inference(), EvaluationOptions()


def evaluate_checkpoint(
    workdir: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    checkpoint: str | int = "best",
    *,
    output: str | os.PathLike[str] | None = None,
    data: Data = TEST,
    inference: Inference = PLAIN,
    options: EvaluationOptions = AS_CONFIGURED,
) -> tuple[Summary, Path]:
    """Restores a checkpoint, or an ensemble of several, and evaluates it on a split.

    Args:
      workdir: of the training, or the folder of one checkpoint; several are an ensemble, see
        `jaxnuc.load`.
      checkpoint: `"best"`, `"latest"` or a step.
      output: folder for the report; None: `eval_<source>_<split>` in the workdir, which
        an ensemble has not.
      data: on what is evaluated.
      inference: how the maps are computed.
      options: what is computed; None in it: as in the configuration of the training.

    Returns:
      The figures, and the folder of `metrics.json`, `report.html` and the other files.

    Raises:
      FileNotFoundError: no such workdir, checkpoint or data.
      ValueError: a damaged checkpoint, an unknown source, split, metric or protocol, other patches,
        an ensemble that does not fit together or has no `output`.
    """
    # The networks.
    workdirs = [workdir] if isinstance(workdir, str | os.PathLike) else list(workdir)
    if len(workdirs) > 1 and output is None:
        raise ValueError(
            f"an ensemble of {len(workdirs)} workdirs has no folder of its own; give an output"
        )
    folders = [checkpoints.find(each, checkpoint) for each in workdirs]
    predictor = load(folders, symmetries=range(inference.symmetries))
    config, patch = predictor.config, inference.patch

    # The data.
    section = config.data.source.to_dict() if data.source is None else {"name": data.source}
    root = data.root
    if root is None:
        root = config.data.root if data.source in (None, config.data.source.name) else ""
    samples = open_split(section, root, data.split, mpp=config.data.mpp or None, stream=False)

    # The evaluation.
    target = Path(output or Path(workdirs[0]) / f"eval_{samples.name}_{data.split}")
    logger.info("images of %s, %s: %d; output %s", samples.name, data.split, len(samples), target)
    logger.info("the network is compiled for each size of image")
    log = Path(workdirs[0]) / LOG
    segment: Segment = predictor
    if patch is not None:
        segment = PatchwisePredictor(predictor, patch, inference.overlap)
    figures = evaluate(
        segment,
        samples,
        options.completed(config),
        output=target,
        training=read_log(log) if len(folders) == 1 and log.is_file() else (),
        about={
            "split": data.split,
            "checkpoint": [str(f) for f in folders] if len(folders) > 1 else folders[0].name,
            "symmetries": inference.symmetries,
            "patch": None if patch is None else {"side": patch, "overlap": inference.overlap},
            "thresholds": checkpoints.read_thresholds(folders[0]) or None,
        },
    )
    return figures, target


def optimize_checkpoint(
    workdir: str | os.PathLike[str],
    checkpoint: str | int = "best",
    *,
    source: Source | None = None,
) -> dict[str, float]:
    """Chooses a checkpoint's thresholds on the split "val" and stores them with it, for `load`.

    Where a training has several processes, all of them call this, and the first one stores.

    Args:
      workdir: of the training, or the folder of one checkpoint.
      checkpoint: `"best"`, `"latest"` or a step.
      source: the split; None: opened as the checkpoint's configuration says.

    Raises:
      FileNotFoundError: no such workdir, checkpoint or data.
      ValueError: the representation has no thresholds to choose.
    """
    folder = checkpoints.find(workdir, checkpoint)
    predictor = load(folder)
    if source is None:
        data = predictor.config.data
        source = open_split(data.source, data.root, "val", mpp=data.mpp or None, stream=False)
    samples = map(source.__getitem__, range(len(source)))
    pairs = ((predictor.maps(s.image), s.instances) for s in samples)
    found = optimize_thresholds(pairs, predictor.representation)
    text = json.dumps({"thresholds": found.thresholds, "accuracy": found.figure}, indent=2)
    if jax.process_index() == 0:
        replace_file(folder / checkpoints.THRESHOLDS, (text + "\n").encode())
    return found.thresholds
