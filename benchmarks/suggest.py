"""What suggestions are worth: fine-tuning on suggested crops against random ones.

    python -m benchmarks.suggest --run=runs/first --root=consep_train.zip --output=runs/suggest \\
        --steps=300

Each repetition draws a pool of crops from the training images. The run suggests a few of them, as
`jaxnuc suggest` does, as many others are drawn at random, and the run is fine-tuned on either with
the same seed. Both are evaluated after the last step on the images of the split `val`, which are no
part of the pool. A training that is done is a line of results.csv, and is not done again.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import ttest_rel

from benchmarks.fine_tuning import add, done, fine_tune
from benchmarks.training_part import TrainingPart
from jaxnuc.cli.main import CACHE
from jaxnuc.data.splits import open_split
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.prediction import predictor
from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.suggest import Request, suggest

CHOICES = ("random", "suggested")
FIGURES = {"PQ": "pq_image_mean", "mPQ": "mpq_image_mean"}
COLUMNS = ("repetition", "choice", *FIGURES, "crops")


def chosen(
    options: argparse.Namespace, crops: TrainingPart, repetition: int, folder: Path
) -> dict[str, list[int]]:
    """The numbers of the crops that are suggested, and of as many random ones of the same pool."""
    rng = np.random.default_rng(repetition)
    pool = rng.choice(len(crops), min(options.pool, len(crops)), replace=False)
    (folder / "pool").mkdir()
    for number in pool.tolist():
        Image.fromarray(crops[number].image).save(folder / "pool" / f"{number}.png")
    network = predictor.load(options.run, symmetries=range(8))
    request = Request(region=0, count=options.count)
    settings = DEFAULT.replace(
        patch=512, report=False, stains=False, mpp=options.mpp, workers=options.workers
    )
    found = suggest([folder / "pool"], network, folder / "suggested", request, settings)
    suggested = [int(each.image) for each in found.suggested]
    drawn = rng.choice(pool, len(suggested), replace=False).tolist()
    return {"random": drawn, "suggested": suggested}


def table(rows: Sequence[dict[str, str]], before: float) -> str:
    """A Markdown table of means and standard deviations, and a paired t-test."""
    lines = ["| fine-tuned on | repetitions | " + " | ".join(FIGURES) + " |", "| --- " * 4 + "|"]
    lines.append(f"| nothing | | {before:.4f} | |")
    values: dict[str, list[np.ndarray]] = {choice: [] for choice in CHOICES}
    whole = {row["repetition"] for row in rows if row["choice"] == CHOICES[-1]}
    for choice in CHOICES:
        of_choice = [row for row in rows if row["choice"] == choice and row["repetition"] in whole]
        of_choice.sort(key=lambda row: int(row["repetition"]))
        values[choice] = [np.array([float(row[name]) for row in of_choice]) for name in FIGURES]
        lines.append(f"| {choice} crops | {len(of_choice)} | {cells(values[choice])} |")
    pairs = list(zip(values["suggested"], values["random"], strict=True))
    lines.append(f"| difference | {len(whole)} | {cells([one - two for one, two in pairs])} |")
    if len(whole) > 1:
        tests = [f"{ttest_rel(one, two).pvalue:.3f}" for one, two in pairs]
        lines.append(f"| p, paired t-test | | {' | '.join(tests)} |")
    return "\n".join(lines)


def cells(columns: Sequence[np.ndarray]) -> str:
    """Mean and standard deviation of each column."""
    spread = [f" ± {column.std(ddof=1):.4f}" if len(column) > 1 else "" for column in columns]
    means = [f"{column.mean():.4f}" for column in columns]
    return " | ".join(mean + sd for mean, sd in zip(means, spread, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="workdir of a run")
    parser.add_argument("--root", type=Path, required=True, help="of the data set")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--source", default="consep", help="name of the data set")
    parser.add_argument("--classes", default="groups", help="name of the section classes, or none")
    parser.add_argument("--side", type=int, default=256, help="of the crops, pixels")
    parser.add_argument("--mpp", type=float, help="microns per pixel, where the run resamples")
    parser.add_argument("--pool", type=int, default=60, help="crops to choose from")
    parser.add_argument("--count", type=int, default=6, help="crops to train on")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--workers", type=int, help="processes that decode")
    options = parser.parse_args()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.expanduser(CACHE))
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "results.csv"
    crops = TrainingPart(str(options.root), "train", options.source, options.side)
    for repetition in range(options.repetitions):
        earlier = [row["choice"] for row in done(path) if row["repetition"] == str(repetition)]
        left = [choice for choice in CHOICES if choice not in earlier]
        if not left:
            continue
        with tempfile.TemporaryDirectory() as folder:
            numbers = chosen(options, crops, repetition, Path(folder))
        for choice in left:
            workdir = options.output / f"{repetition}_{choice}"
            part = {
                "source": options.source,
                "side": options.side,
                "numbers": tuple(numbers[choice]),
            }
            classes = {"classes": options.classes}
            figures = fine_tune(
                options.run, options.root, part, options.steps, repetition, workdir, classes
            )
            row = {"repetition": repetition, "choice": choice, "crops": numbers[choice]}
            row |= {name: figures.get(key, float("nan")) for name, key in FIGURES.items()}
            add(path, COLUMNS, row)
            shutil.rmtree(workdir)
    held_out = open_split({"name": options.source}, options.root, "val")
    plain = EvaluationOptions(metrics=("pq",), progress=False)
    before = evaluate(predictor.load(options.run), held_out, plain)[FIGURES["PQ"]]
    print(table(done(path), before))


if __name__ == "__main__":
    main()
