"""Networks for the models that come with the library: accuracy against time, under one budget.

    python -m benchmarks.candidates --budget 300 --workdir runs/candidates \\
        --picture docs/images/candidates.png

Each candidate is trained as `configs/models/fluorescence.py` says, for as many steps as it makes in
the budget (seconds; the time of a step is measured first), and then finds the nuclei of the
validation images at the size that it estimates. Prints a table in Markdown: PQ with its interval,
and milliseconds a megapixel from an image to its label map. `--seeds` trains the shipped one with
several seeds. A candidate whose run is finished is not trained again.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from benchmarks.example_batch import example_batch
from benchmarks.models import CHANGES, OVERLAP, PATCH, evaluate
from jaxnuc import build, optim
from jaxnuc.config.pages import load as load_page
from jaxnuc.data.splits import open_split
from jaxnuc.durations import TrainingLength
from jaxnuc.outputs.palette import SERIES
from jaxnuc.prediction.predictor import load
from jaxnuc.prediction.segment import PatchwisePredictor, SizedPredictor
from jaxnuc.reports import plots
from jaxnuc.run.log import LOG, read_log
from jaxnuc.training import state
from jaxnuc.training.loop import train_and_evaluate
from jaxnuc.training.step import make_train_step

PAGE = "models/fluorescence"
SHIPPED = "4 levels, 16 channels"
STARS = "stardist(n_rays=32, grid=2)"
CANDIDATES: dict[str, dict[str, str]] = {
    "4 levels, 8 channels": {"model.base_filters": "8"},
    SHIPPED: {},
    "4 levels, 32 channels": {"model.base_filters": "32"},
    "5 levels, 16 channels": {"model.layers": "5"},
    "StarDist, 16 channels": {
        "model": "stardist(variant='small', grid=2, batch_norm=True)",
        "representation": STARS,
    },
}
SOURCE = {"name": "dsb2018", "modality": "fluorescence"}
SIDE = 128


@dataclass
class Result:
    """What became of a candidate.

    Attributes:
      parameters: how many.
      steps: of the training.
      seconds: the training took, its compilation and evaluation left out.
      pq: image mean, low and high end of its interval.
      ms: from an image to its label map, a megapixel.
    """

    parameters: int
    steps: int
    seconds: float
    pq: tuple[float, float, float]
    ms: float


def step_seconds(overrides: Mapping[str, str], repeats: int = 9) -> tuple[float, int]:
    """Median seconds of a training step, and the number of parameters."""
    config = load_page(PAGE, overrides)
    bridge = build.make_representation(config)
    model = build.make_model(config, bridge)
    optimizer = optim.make(
        {"name": "adamw", "learning_rate": 1e-3}, lambda step: 1e-3, TrainingLength(1)
    )
    current = state.create(model, optimizer, seed=0)
    batch = example_batch(bridge, config.batch_size, SIDE)
    step = jax.jit(make_train_step(model, bridge, optimizer), donate_argnums=0)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        current, metrics = step(current, batch, jax.random.key(0))
        jax.block_until_ready(metrics)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:])), sum(x.size for x in jax.tree.leaves(current.params))


def train(overrides: Mapping[str, str], budget: float, workdir: Path) -> Result:
    kept = workdir / "result.json"
    if kept.exists():
        return Result(**json.loads(kept.read_text()))
    seconds, parameters = step_seconds(overrides)
    steps = round(budget / seconds)
    train_and_evaluate(load_page(f"{PAGE}:steps={steps}", overrides), workdir)
    lines = [line for line in read_log(workdir / LOG) if "train/loss" in line]
    first, last = lines[0], lines[-1]
    took = (last["time"] - first["time"]) / (last["step"] - first["step"]) * steps

    segment = SizedPredictor(PatchwisePredictor(load(workdir, "latest"), PATCH, OVERLAP))
    source = open_split(SOURCE, "", "val")
    figures = evaluate(segment, source, CHANGES["as they are"], len(source))
    found = figures.intervals["pq_image_mean"]
    images = [source[k].image for k in range(24)]
    start = time.perf_counter()
    for image in images:
        segment(image)
    elapsed = time.perf_counter() - start
    megapixels = sum(image.shape[0] * image.shape[1] for image in images) / 1e6
    pq = figures["pq_image_mean"], found.low, found.high
    result = Result(parameters, steps, took, pq, 1e3 * elapsed / megapixels)
    kept.write_text(json.dumps(asdict(result)))
    return result


def draw(results: Mapping[str, Result]) -> Figure:
    figure = Figure(figsize=(7, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    for (name, found), color in zip(results.items(), SERIES, strict=False):
        value, low, high = found.pq
        axes.vlines(found.ms, low, high, color=color, linewidth=1.5)
        axes.plot(found.ms, value, "o", color=color)
        text: Any = {"textcoords": "offset points", "xytext": (6, 4), "color": color}
        axes.annotate(name, (found.ms, value), **text)
    axes.set(
        xlabel="milliseconds a megapixel, from an image to its label map, 2 cores",
        ylabel="PQ of validation images",
        xlim=(0, 1.35 * max(found.ms for found in results.values())),
    )
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=300, help="seconds of training")
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    given = parser.parse_args()
    print("| network | parameters | steps | training, s | PQ | ms a megapixel |")
    print("| --- | ---: | ---: | ---: | --- | ---: |")
    cases = {name: (name, overrides) for name, overrides in CANDIDATES.items()}
    cases |= {f"{SHIPPED}, seed {k}": (f"seed {k}", {"seed": str(k)}) for k in given.seeds}
    results = {}
    for name, (folder, overrides) in cases.items():
        place = given.workdir / folder.replace(", ", "_").replace(" ", "_")
        results[name] = found = train(overrides, given.budget, place)
        value, low, high = found.pq
        print(
            f"| {name} | {found.parameters:,} | {found.steps} | {found.seconds:.0f} | {value:.3f} "
            f"[{low:.3f}, {high:.3f}] | {found.ms:.0f} |",
            flush=True,
        )
    if given.picture:
        candidates = {name: results[name] for name in CANDIDATES}
        given.picture.write_bytes(plots.png(draw(candidates)))


if __name__ == "__main__":
    main()
