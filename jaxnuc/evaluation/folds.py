"""Evaluates the trainings of all folds, each on its own, and summarizes them."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnuc.data.splitting import SplitBy
from jaxnuc.evaluation.checkpoint import AS_CONFIGURED, PLAIN, Data, Inference, evaluate_checkpoint
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.io.atomic import replace_file
from jaxnuc.metrics import Summary
from jaxnuc.metrics.confidence import Spread, over_seeds
from jaxnuc.metrics.evaluation import Evaluation
from jaxnuc.metrics.rows import aligned, cell, csv_text
from jaxnuc.run import checkpoints

logger = logging.getLogger(__name__)

TABLE = "folds.csv"


@dataclass(frozen=True)
class Folds:
    """The figures of all folds; printed, a table.

    Attributes:
      folds: by the name of the fold, such as `"0/5"`.
      spread: of each figure over the folds.
      pooled: over the images of all folds, each scored by the network that has not seen it.
    """

    folds: Mapping[str, Summary]
    spread: Mapping[str, Spread]
    pooled: Summary

    def rows(self) -> list[dict[str, str | float]]:
        """A row for each figure: of each fold, mean and standard deviation, and pooled."""
        return [
            {"figure": name}
            | {fold: figures[name] for fold, figures in self.folds.items()}
            | {"mean": spread.mean, "std": spread.std, "pooled": self.pooled[name]}
            for name, spread in self.spread.items()
        ]

    def __str__(self) -> str:
        rows = self.rows()
        cells = [[cell(value) for value in row.values()] for row in rows]
        return f"{aligned([[*rows[0]], *cells])}\n{self.pooled.conventions}"


def evaluate_folds(
    workdirs: Sequence[str | os.PathLike[str]],
    checkpoint: str | int = "best",
    *,
    output: str | os.PathLike[str],
    root: str | None = None,
    inference: Inference = PLAIN,
    options: EvaluationOptions = AS_CONFIGURED,
) -> Folds:
    """Evaluates the trainings of all folds, each on the images of its own split `"test"`.

    Args:
      workdirs: of the trainings, one for each fold, in any order.
      checkpoint: `"best"`, `"latest"` or a step.
      output: gets a folder for each fold, as `evaluate_checkpoint` writes it, and what
        `summarize_folds` writes.
      root: where the files are; None: as in the trainings.
      inference: how the nuclei are computed.
      options: what is computed; None in it: as in the configuration of the training.

    Raises:
      FileNotFoundError: no such workdir, checkpoint or data.
      ValueError: the trainings are not those of all folds, or see `evaluate_checkpoint`.
    """
    numbers: dict[int, str | os.PathLike[str]] = {}
    counts = set()
    configs = {}
    for workdir in workdirs:
        config = checkpoints.read_config(checkpoints.find(workdir, checkpoint))
        configs[str(workdir)] = config
        part = SplitBy.of(config["data"]["source"].get("split_by", {})).part
        if part is None:
            raise ValueError(f"{workdir}: trained without folds; train it with --fold=i/k")
        counts.add(part[1])
        if numbers.setdefault(part[0], workdir) != workdir:
            raise ValueError(
                f"{numbers[part[0]]} and {workdir} are both of fold {part[0]}/{part[1]}; leave one "
                "out"
            )
    if len(counts) != 1 or len(numbers) != max(counts):
        given = ", ".join(map(str, sorted(numbers)))
        raise ValueError(
            f"folds {given} of {' and '.join(map(str, sorted(counts)))}: give a workdir for each "
            "of the folds of one split"
        )
    _check_alike(configs)
    folders = {}
    for number, workdir in sorted(numbers.items()):
        folder = folders[f"{number}/{len(numbers)}"] = Path(output) / f"fold_{number}"
        data = Data("test", root=root)
        evaluate_checkpoint(
            workdir, checkpoint, output=folder, data=data, inference=inference, options=options
        )
    return summarize_folds(folders, output, options.level)


def _check_alike(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses trainings whose folds are not of one split, and warns of other differences."""
    (first, ours), *others = configs.items()
    for workdir, theirs in others:
        one, other = (_of_split(each["data"]["source"]) for each in (ours, theirs))
        for key in sorted(one | other):
            if one.get(key) != other.get(key):
                raise ValueError(
                    f"{first} was trained with {key}={one.get(key)!r} of data.source, {workdir} "
                    f"with {other.get(key)!r}: these are folds of different splits; train all "
                    "with the same arguments"
                )
        differing = [key for key in ours if key != "data" and ours[key] != theirs.get(key)]
        if differing:
            logger.warning("%s and %s differ in %s", first, workdir, ", ".join(differing))


def _of_split(source: Mapping[str, Any]) -> dict[str, Any]:
    """What all folds of a split have in common in the section of their data."""
    by = {f"split_by.{key}": value for key, value in source["split_by"].items() if key != "fold"}
    return {**{key: value for key, value in source.items() if key != "split_by"}, **by}


def summarize_folds(
    folders: Mapping[str, Path], output: str | os.PathLike[str], level: float = 0.95
) -> Folds:
    """Summarizes the evaluations of folds.

    Args:
      folders: of the evaluations, by the name of the fold.
      output: gets `folds.csv`, a line for each figure, and `metrics.json`, `per_image.csv` and
        `counts.csv` of all images together.
      level: of the confidence intervals in `metrics.json`.

    Raises:
      ValueError: an image is in two folds, or the evaluations have different conventions.
    """
    runs = {fold: Evaluation.read(folder) for fold, folder in folders.items()}
    first: dict[str, str] = {}
    for fold, run in runs.items():
        for name in run.names:
            if name in first:
                raise ValueError(
                    f"image {name!r} is in the folds {first[name]} and {fold}: they are not of one "
                    "split; train them with the same groups and seed"
                )
            first[name] = fold
    together = Evaluation.over_runs(list(runs.values()))
    pooled = together.summary(level=level)
    summaries = {fold: run.summary() for fold, run in runs.items()}
    shared = [
        name
        for name, value in pooled.items()
        if not isinstance(value, int) and all(name in each for each in summaries.values())
    ]
    spread = over_seeds([{name: each[name] for name in shared} for each in summaries.values()])
    found = Folds(summaries, spread, pooled)
    Path(output).mkdir(parents=True, exist_ok=True)
    together.write(Path(output), pooled, {"split": "test", "folds": list(folders)})
    replace_file(Path(output) / TABLE, csv_text(found.rows()).encode())
    return found
