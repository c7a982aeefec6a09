"""Evaluates what `train.py` left in a workdir, knowing nothing but the workdir."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import jax

from jaxnuc import config as configs
from jaxnuc.data.sample import Source
from jaxnuc.data.splits import open_split
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.thresholds import optimize_thresholds
from jaxnuc.io.atomic import replace_file
from jaxnuc.metrics import Summary
from jaxnuc.prediction.patched import Patched
from jaxnuc.prediction.patches import OVERLAP
from jaxnuc.prediction.predictor import load
from jaxnuc.run import checkpoints
from jaxnuc.run.log import LOG, read_log


def evaluate_checkpoint(
    workdir: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    split: str = "test",
    checkpoint: str | int = "best",
    output: str | os.PathLike[str] | None = None,
    source: str | None = None,
    root: str | None = None,
    overlays: int = 16,
    workers: int | None = None,
    symmetries: int = 1,
    patch: int | None = None,
    overlap: int = OVERLAP,
    progress: bool = True,
) -> tuple[Summary, Path]:
    """Restores a checkpoint, or an ensemble of several, and evaluates it on a split.

    Args:
      workdir: of the training, or the folder of one checkpoint; several are an ensemble, see
        `jaxnuc.load`.
      split: of the data set.
      checkpoint: `"best"`, `"latest"` or a step.
      output: folder for the report; None: `eval_<source>_<split>` in the workdir, which
        an ensemble has not.
      source: a data set other than the one trained on, by name.
      root: where its files are, if elsewhere than in training.
      overlays: number of pictures.
      workers: processes that decode and score; None: as in the configuration.
      symmetries: 8 averages maps over the symmetries of the square, 4 over the quarter turns, 1
        takes the image as it is.
      patch: side of what the network sees at once, a multiple of 64; None: the whole image.
      overlap: of neighbouring patches in pixels, a multiple of 32.
      progress: show a progress bar.

    Returns:
      The figures, and the folder of `metrics.json`, `report.html` and the other files.

    Raises:
      FileNotFoundError: no such workdir, checkpoint or data.
      ValueError: a damaged checkpoint, an unknown source or split, other symmetries or patches,
        an ensemble that does not fit together or has no `output`.
    """
    if symmetries not in (1, 4, 8):
        raise ValueError(f"symmetries={symmetries}; known: 1, 4, 8")
    workdirs = [workdir] if isinstance(workdir, str | os.PathLike) else list(workdir)
    if len(workdirs) > 1 and output is None:
        raise ValueError(
            f"an ensemble of {len(workdirs)} workdirs has no folder of its own; give an output"
        )
    folders = [checkpoints.find(each, checkpoint) for each in workdirs]
    predictor = load(folders, symmetries=range(symmetries))
    config = predictor.config
    section = config.data.source.to_dict() if source is None else {"name": source}
    if root is None:
        root = config.data.root if source in (None, config.data.source.name) else ""
    samples = open_split(section, root, split, mpp=config.data.mpp or None, stream=False)
    target = Path(output) if output else Path(workdirs[0]) / f"eval_{samples.name}_{split}"
    log = Path(workdirs[0]) / LOG
    figures = evaluate(
        predictor if patch is None else Patched(predictor, patch, overlap),
        samples,
        conventions=configs.conventions(config),
        workers=config.evaluation.workers if workers is None else workers,
        output=target,
        overlays=overlays,
        progress=progress,
        boundary=True,
        training=read_log(log) if len(folders) == 1 and log.is_file() else (),
        about={
            "split": split,
            "checkpoint": [str(f) for f in folders] if len(folders) > 1 else folders[0].name,
            "symmetries": symmetries,
            "patch": None if patch is None else {"side": patch, "overlap": overlap},
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
    """Chooses a checkpoint's thresholds on the split "val" and stores them with it.

    `load` takes them from there. Where a training has several processes, all of them call this, and
    the first one stores.

    Args:
      workdir: of the training, or the folder of one checkpoint.
      checkpoint: `"best"`, `"latest"` or a step.
      source: the split; None: opened as the checkpoint's configuration says.

    Returns:
      The thresholds.

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
