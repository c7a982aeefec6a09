"""What benchmarks of fine-tuning share: a training, and the table of those that are done."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxnuc import train_and_evaluate
from jaxnuc.config.pages import load


def fine_tune(
    run: Path,
    root: Path,
    part: Mapping[str, Any],
    steps: int,
    seed: int,
    workdir: Path,
    overrides: Mapping[str, str],
) -> dict[str, float]:
    """Trains a run on some images of a data set, as `jaxnuc train --config=finetune` does.

    Args:
      run: workdir of the run.
      root: of the data set.
      part: arguments of `benchmarks.training_part.TrainingPart`.
      steps: of the training; its last network is evaluated on the split `val`.
      seed: of the training.
      workdir: of the training.
      overrides: values of the page as text by key.

    Returns:
      The figures of the evaluation.
    """
    config = load("finetune", {"weights.file": str(run), **overrides})
    config.data.root, config.seed = str(root), seed
    source = {"name": "benchmarks.training_part.TrainingPart", **part}
    config.data.source = ConfigDict(source)
    config.duration = config.evaluation.every = f"{steps} steps"
    return train_and_evaluate(config, workdir)


def done(path: Path) -> list[dict[str, str]]:
    """The lines of a table of trainings, which may not be there yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add(path: Path, columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Adds a line to a table of trainings."""
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns)
        if fresh:
            writer.writeheader()
        writer.writerow(row)
