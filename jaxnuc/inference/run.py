"""Evaluates what `train.py` left in a workdir, knowing nothing but the workdir."""

import os
from pathlib import Path

from jaxnuc import config as configs
from jaxnuc.data.splits import open_split
from jaxnuc.inference.evaluate import evaluate
from jaxnuc.inference.predictor import load
from jaxnuc.metrics import Summary
from jaxnuc.training import checkpoints


def evaluate_checkpoint(
    workdir: str | os.PathLike[str],
    *,
    split: str = "test",
    checkpoint: str | int = "best",
    output: str | os.PathLike[str] | None = None,
    source: str | None = None,
    root: str | None = None,
    overlays: int = 16,
    workers: int | None = None,
    progress: bool = True,
) -> tuple[Summary, Path]:
    """Restores a checkpoint and evaluates it on a split.

    Args:
      workdir: of the training, or the folder of one checkpoint.
      split: of the data set.
      checkpoint: `"best"`, `"latest"` or a step.
      output: folder for the report; None: `eval_<source>_<split>` in the workdir.
      source: a data set other than the one trained on, by name.
      root: where its files are, if elsewhere than in training.
      overlays: number of pictures.
      workers: processes that decode and score; None: as in the configuration.
      progress: show a progress bar.

    Returns:
      The figures, and the folder of `metrics.json`, `per_image.csv` and `overlays/`.

    Raises:
      FileNotFoundError: no such workdir, checkpoint or data.
      ValueError: a damaged checkpoint, an unknown source or split.
    """
    folder = checkpoints.find(workdir, checkpoint)
    predictor = load(folder)
    config = predictor.config
    section = config.data.source.to_dict() if source is None else {"name": source}
    if root is None:
        root = config.data.root if source in (None, config.data.source.name) else ""
    samples = open_split(section, root, split, mpp=config.data.mpp or None, stream=False)
    target = Path(output) if output else Path(workdir) / f"eval_{samples.name}_{split}"
    figures = evaluate(
        predictor,
        samples,
        conventions=configs.conventions(config),
        workers=config.evaluation.workers if workers is None else workers,
        output=target,
        overlays=overlays,
        progress=progress,
        about={"checkpoint": folder.name},
    )
    return figures, target
