"""How long to fine-tune, by the number of images.

    python -m benchmarks.finetune_lengths --run=runs/quickstart --root=FOLDER_OF_STAGE1_TRAIN \
        --output=runs/lengths --set=batch_size=4

A run goes on with 5, 12, 50 and 500 training images of a data set (all of them where there are
fewer), as `jaxnuc train --config=finetune` does, once for each length with a schedule of its own.
Each training is evaluated after its last step on the images of the split `val`. The smaller sets
are part of the larger ones. A training that is done is a line of results.csv, and is not repeated.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from benchmarks.fine_tuning import add, done, fine_tune
from jaxnuc.cli.main import CACHE
from jaxnuc.data.splits import open_split
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.prediction import predictor

COLUMNS = ("images", "steps", "seed", "PQ", "AJI")
FIGURES = {"PQ": "pq_image_mean", "AJI": "aji_image_mean"}


def table(rows: list[dict[str, str]], before: dict[str, float]) -> str:
    """PQ in Markdown, a line for each number of images: mean and range over the seeds."""
    lengths = sorted({int(row["steps"]) for row in rows})
    lines = ["| images | " + " | ".join(f"{n} steps" for n in lengths) + " |"]
    lines.append("| --- " * (len(lengths) + 1) + "|")
    for images in sorted({int(row["images"]) for row in rows}):
        cells = []
        for steps in lengths:
            key = (str(images), str(steps))
            values = [float(row["PQ"]) for row in rows if (row["images"], row["steps"]) == key]
            text = f"{np.mean(values):.3f}" if values else ""
            if len(values) > 1:
                text += f" ({min(values):.3f} to {max(values):.3f})"
            cells.append(text)
        lines.append(f"| {images} | " + " | ".join(cells) + " |")
    return "\n".join([f"Before: PQ {before['PQ']:.3f}, AJI {before['AJI']:.3f}", "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="workdir of a run")
    parser.add_argument("--root", type=Path, required=True, help="of the data set")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--source", default="dsb2018", help="name of the data set")
    parser.add_argument("--images", type=int, nargs="+", default=[5, 12, 50, 500])
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of the page finetune")
    options = parser.parse_args()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.expanduser(CACHE))
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "results.csv"
    overrides = dict(item.split("=", 1) for item in options.set)
    every = len(open_split({"name": options.source}, options.root, "train", stream=False))
    for seed in range(options.seeds):
        order = np.random.default_rng(seed).permutation(every)
        for steps in options.steps:
            for count in sorted({min(count, every) for count in options.images}):
                row = {"images": str(count), "steps": str(steps), "seed": str(seed)}
                if any(row.items() <= earlier.items() for earlier in done(path)):
                    continue
                workdir = options.output / f"{count}_images_{steps}_steps_seed_{seed}"
                part = {"source": options.source, "numbers": tuple(order[:count].tolist())}
                figures = fine_tune(
                    options.run, options.root, part, steps, seed, workdir, overrides
                )
                row |= {name: f"{figures[key]:.4f}" for name, key in FIGURES.items()}
                add(path, COLUMNS, row)
    held_out = open_split({"name": options.source}, options.root, "val")
    plain = EvaluationOptions(metrics=("pq", "aji"), progress=False)
    before = evaluate(predictor.load(options.run), held_out, plain)
    print(table(done(path), {name: before[key] for name, key in FIGURES.items()}))


if __name__ == "__main__":
    main()
