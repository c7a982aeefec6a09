"""Networks for the models that come with the library: accuracy against time, under one budget.

    python -m benchmarks.candidates --budget 300 --workdir runs/candidates \\
        --picture docs/images/candidates.png

Each candidate is trained as `configs/models/fluorescence.py` says, for as many steps as fit in the
budget (seconds). The time of a step is measured first, of all candidates in turn, so that what else
the machine does during the trainings changes nothing. Then each finds the nuclei of the validation
images at the size that it estimates, and at the end all are timed in turn on images as they are.
Prints a table in Markdown: PQ with its interval, and milliseconds a megapixel from an image to its
label map. What is finished is not done again.
"""

import argparse
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.models import CHANGES, OVERLAP, PATCH, evaluate
from benchmarks.timing import Call, medians
from benchmarks.training_step import TrainingStep
from jaxnuc import build
from jaxnuc.config.pages import load as load_page
from jaxnuc.data.splits import open_split
from jaxnuc.metrics import Evaluation
from jaxnuc.metrics.confidence import Interval
from jaxnuc.metrics.evaluation import FIGURES
from jaxnuc.outputs.palette import SERIES
from jaxnuc.prediction.predictor import load
from jaxnuc.prediction.segment import PatchwisePredictor, SizedPredictor
from jaxnuc.reports import plots
from jaxnuc.training.loop import train_and_evaluate

PAGE = "models/fluorescence"
STARS = "stardist(n_rays=32, grid=2)"
CANDIDATES: dict[str, dict[str, str]] = {
    "4 levels, 8 channels": {"model.base_filters": "8"},
    "4 levels, 16 channels": {},
    "4 levels, 32 channels": {"model.base_filters": "32"},
    "5 levels, 16 channels": {"model.layers": "5"},
    "StarDist, 16 channels": {
        "model": "stardist(variant='small', grid=2, batch_norm=True)",
        "representation": STARS,
    },
}
SOURCE = {"name": "dsb2018", "modality": "fluorescence"}
SIDE = 128
Overrides = Mapping[str, str]


@dataclass
class Plan:
    """What a candidate is to do.

    Attributes:
      parameters: how many it has.
      step_ms: median time of a training step.
      steps: that fit in the budget.
    """

    parameters: int
    step_ms: float
    steps: int


@dataclass
class Result:
    """How good and how fast a candidate became.

    Attributes:
      plan: of its training.
      pq: image mean with its interval.
      ms: median time from an image to its label map, a megapixel.
    """

    plan: Plan
    pq: Interval
    ms: float


def plans(cases: Mapping[str, Overrides], budget: float, repeats: int = 9) -> dict[str, Plan]:
    """As many steps for each candidate as fit in the budget (seconds), timed in turn."""
    calls: dict[str, Call] = {}
    parameters = {}
    for name, overrides in cases.items():
        calls[name], parameters[name] = step_of(overrides)
    times = medians(calls, repeats)
    return {
        name: Plan(parameters[name], 1e3 * each, round(budget / each))
        for name, each in times.items()
    }


def step_of(overrides: Overrides) -> tuple[Call, int]:
    """A training step that can be called again and again, and the number of parameters."""
    config = load_page(PAGE, overrides)
    bridge = build.make_representation(config)
    model = build.make_model(config, bridge)
    network = TrainingStep(model, bridge, config.batch_size, SIDE)
    return network.train, network.parameters


def validated(overrides: Overrides, steps: int, workdir: Path) -> Evaluation:
    """Of the validation images by a network that is trained here, if that is not yet done."""
    kept = workdir / "validation"
    if (kept / FIGURES).exists():
        return Evaluation.read(kept)
    at_end = {"evaluation.every": f"{steps} steps"}
    train_and_evaluate(load_page(f"{PAGE}:steps={steps}", {**overrides, **at_end}), workdir)
    segment = SizedPredictor(PatchwisePredictor(load(workdir, "latest"), PATCH, OVERLAP))
    source = open_split(SOURCE, "", "val")
    found = evaluate(segment, source, CHANGES["as they are"], len(source))
    kept.mkdir(exist_ok=True)
    found.write(kept, found.summary(level=0.95), {"steps": steps, **overrides})
    return found


def folder(below: Path, name: str) -> Path:
    """Where a network of this name is trained."""
    return below / re.sub(r"\W+", "_", name)


def speeds(workdirs: Mapping[str, Path], count: int = 6) -> dict[str, float]:
    """Median milliseconds a megapixel of trained candidates, images seen at the size they have."""
    source = open_split(SOURCE, "", "val")
    images = [source[k].image for k in range(count)]
    pixels = sum(image.shape[0] * image.shape[1] for image in images)

    def through_images(workdir: Path) -> Call:
        segment = PatchwisePredictor(load(workdir, "latest", diameter="off"), PATCH, OVERLAP)

        def call() -> None:
            for image in images:
                segment(image)

        return call

    times = medians({name: through_images(each) for name, each in workdirs.items()}, repeats=3)
    return {name: 1e9 * each / pixels for name, each in times.items()}


def draw(results: Mapping[str, Result]) -> Figure:
    figure = Figure(figsize=(7, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    for (name, found), color in zip(results.items(), SERIES, strict=False):
        axes.vlines(found.ms, found.pq.low, found.pq.high, color=color, linewidth=1.5)
        axes.plot(found.ms, found.pq.estimate, "o", color=color, label=name)
    axes.set(
        xlabel="milliseconds a megapixel, from an image to its label map, 2 CPU cores",
        ylabel="PQ of validation images",
        xlim=(0, 1.35 * max(found.ms for found in results.values())),
    )
    axes.legend(loc="lower right", frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=300, help="seconds of training")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    workdirs = {name: folder(given.workdir, name) for name in CANDIDATES}
    given.workdir.mkdir(parents=True, exist_ok=True)
    kept = given.workdir / "plans.json"
    if not kept.exists():
        planned = plans(CANDIDATES, given.budget)
        kept.write_text(json.dumps({name: asdict(each) for name, each in planned.items()}))
    planned = {name: Plan(**each) for name, each in json.loads(kept.read_text()).items()}
    pq = {}
    for name, overrides in CANDIDATES.items():
        evaluation = validated(overrides, planned[name].steps, workdirs[name])
        pq[name] = evaluation.summary(level=0.95).intervals["pq_image_mean"]
        print(f"{name}: PQ {pq[name]} after {planned[name].steps} steps", flush=True)
    times = speeds(workdirs)
    results = {name: Result(planned[name], pq[name], times[name]) for name in CANDIDATES}
    print("| network | parameters | ms a step | steps | PQ | ms a megapixel |")
    print("| --- | ---: | ---: | ---: | --- | ---: |")
    for name, found in results.items():
        print(
            f"| {name} | {found.plan.parameters:,} | {found.plan.step_ms:.0f} | "
            f"{found.plan.steps} | {found.pq} | {found.ms:.0f} |"
        )
    if given.picture:
        given.picture.write_bytes(plots.png(draw(results)))


if __name__ == "__main__":
    main()
