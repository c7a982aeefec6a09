"""Draws one figure of several trainings over their steps, with their events: a picture for docs/.

    python -m benchmarks.training_curves --figure=train/mask/dice --window=50 \\
        --output=docs/images/lion_then_sgd.png \\
        "Lion=runs/study/Lion_Dice/seed_0" "Lion to SGD=runs/study/Lion_to_SGD_Dice/seed_0"

Each point is the mean over a window of steps, since batches differ more than trainings.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from jaxnuc.outputs.palette import SERIES
from jaxnuc.reports import plots
from jaxnuc.run.log import LOG, read_log


def draw(runs: dict[str, Path], name: str, window: int) -> Figure:
    """The means of a figure over windows of steps, a line for each run."""
    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    for (title, folder), color in zip(runs.items(), SERIES, strict=False):
        lines = read_log(folder / LOG)
        steps, values = map(np.array, plots.series(lines)[name])
        groups = (steps - 1) // window
        means = [values[groups == g].mean() for g in np.unique(groups)]
        axes.plot((np.unique(groups) + 0.5) * window, means, ".-", color=color, label=title)
        for line in lines:
            if "event" in line:
                axes.axvline(line["step"], color=color, linestyle=":", linewidth=1)
                place = axes.get_xaxis_transform()
                text = f" {line['event']}"
                axes.text(line["step"], 0.98, text, transform=place, va="top", color=color)
    axes.set(xlabel="step", ylabel=f"{name}, mean of {window} steps", ylim=(0, None))
    axes.legend(loc="lower left")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="TITLE=FOLDER")
    parser.add_argument("--figure", default="train/loss")
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    runs = {title: Path(path) for title, _, path in (run.partition("=") for run in given.runs)}
    given.output.write_bytes(plots.png(draw(runs, given.figure, given.window)))


if __name__ == "__main__":
    main()
