"""The figures of a study: over runs, over images, and against its baseline."""

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from jaxnuc.build import make_model, make_representation
from jaxnuc.io.text_files import read_json
from jaxnuc.metrics.confidence import Comparison, Interval, Spread, holm, over_seeds
from jaxnuc.metrics.evaluation import Evaluation
from jaxnuc.models.cost import Cost, cost
from jaxnuc.run import checkpoints
from jaxnuc.run.log import LOG, read_log
from jaxnuc.studies.runs import FINISHED, Plan
from jaxnuc.studies.study import Row


@dataclass(frozen=True)
class Figure:
    """One figure of a row on a data set.

    Attributes:
      spread: over the runs.
      interval: over the images, of the means over the runs; None for a single image.
      comparison: with the baseline, on the images and repeats that both have; None for the baseline
        itself, and where they have none in common. `first` is the baseline.
      p_value: of the comparison, by Holm corrected for the rows that are compared with the
        baseline; NaN without a comparison.
    """

    spread: Spread
    interval: Interval | None
    comparison: Comparison | None = None
    p_value: float = math.nan


@dataclass(frozen=True)
class Trainings:
    """What the trainings of a row took.

    Attributes:
      runs: how many are finished.
      cost: of the network; None before the first training is finished.
      step: seconds of a training step, the median over the logs.
      seconds: of a training, the mean over the runs; of one that was interrupted, of its last part.
    """

    runs: int = 0
    cost: Cost | None = None
    step: float = math.nan
    seconds: float = math.nan


@dataclass(frozen=True)
class RowResults:
    """What came of a row.

    Attributes:
      row: the row.
      trainings: that gave its networks.
      figures: by data set and name, of those that were evaluated.
    """

    row: Row
    trainings: Trainings
    figures: Mapping[str, Mapping[str, Figure]]


def collect(plan: Plan, level: float = 0.95) -> list[RowResults]:
    """Reads the evaluations of a study, as far as it is done.

    Raises:
      ValueError: evaluations of one data set differ in images or conventions.
    """
    study = plan.study
    figures: dict[str, dict[str, dict[str, Figure]]] = {row.name: {} for row in study.rows}
    for label in study.data:
        evaluations = {
            row.name: {r: Evaluation.read(f) for r, f in plan.evaluations(row, label)}
            for row in study.rows
        }
        for name, found in _of_data_set(plan, evaluations, level).items():
            figures[name][label] = found
    trained = {row.name: _trainings(plan, row) for row in study.rows if row.config}
    return [
        RowResults(row, trained[study.trained(row).name], figures[row.name]) for row in study.rows
    ]


def _of_data_set(
    plan: Plan, evaluations: Mapping[str, Mapping[str, Evaluation]], level: float
) -> dict[str, dict[str, Figure]]:
    """The figures on one data set, by row and name; `evaluations` are by row and repeat."""
    study, found = plan.study, dict[str, dict[str, Figure]]()
    baseline = evaluations[study.baseline]
    for name, runs in evaluations.items():
        if not runs:
            continue
        summaries = [each.summary() for each in runs.values()]
        figures = [f for f in study.figures if all(f in summary for summary in summaries)]
        wanted = [{f: summary[f] for f in figures} for summary in summaries]
        spreads = over_seeds(wanted, level) if figures else {}
        intervals = Evaluation.over_runs([*runs.values()]).summary(level=level).intervals
        compared: Mapping[str, Comparison] = {}
        if common := [r for r in runs if r in baseline and name != study.baseline]:
            first = Evaluation.over_runs([baseline[r] for r in common])
            second = Evaluation.over_runs([runs[r] for r in common])
            compared = first.compare(second, level=level)
        found[name] = {f: Figure(spreads[f], intervals.get(f), compared.get(f)) for f in figures}
    for figure in study.figures:
        rows = {n: c for n, f in found.items() if figure in f and (c := f[figure].comparison)}
        p_values = holm([comparison.p_value for comparison in rows.values()])
        for name, p_value in zip(rows, p_values, strict=True):
            found[name][figure] = replace(found[name][figure], p_value=p_value)
    return found


def _trainings(plan: Plan, row: Row) -> Trainings:
    runs = [plan.runs[row.name, repeat] for repeat in plan.study.repeats]
    runs = [run for run in runs if run.finished]
    if not runs:
        return Trainings()
    folder = checkpoints.find(runs[0].workdir, "latest")
    representation = make_representation(runs[0].config, checkpoints.read_label_sets(folder))
    step = [s for run in runs for s in _steps(read_log(run.workdir / LOG))]
    seconds = [read_json(run.workdir / FINISHED)["seconds"] for run in runs]
    return Trainings(
        len(runs),
        cost(make_model(runs[0].config, representation)),
        statistics.median(step) if step else math.nan,
        statistics.fmean(seconds),
    )


def _steps(lines: list[dict]) -> Iterator[float]:
    """Seconds of a step between two lines of a log."""
    lines = [line for line in lines if "train/loss" in line]
    for before, after in itertools.pairwise(lines):
        if after["step"] > before["step"]:
            yield (after["time"] - before["time"]) / (after["step"] - before["step"])
