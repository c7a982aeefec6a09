"""The curves of a run, drawn from the lines of its `metrics.jsonl`."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any colour vision. Yellow is left out: too pale on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
KEYS = ("step", "epoch", "time", "event")  # what a line holds besides its figures
PANELS = {"losses": 3, "validation": 3, "norms": 1, "learning rate": 1}  # with their heights


def panel(name: str) -> str:
    """The panel of a figure: by what it is called, wherever it was measured.

    >>> [panel(n) for n in ("train/mask/ce", "validation/loss", "validation/pq", "learning_rate")]
    ['losses', 'losses', 'validation', 'learning rate']
    """
    group, last = name.split("/")[0], name.split("/")[-1]
    if last == "learning_rate":
        return "learning rate"
    if last.endswith("_norm"):
        return "norms"
    return "validation" if group == "validation" and "loss" not in last else "losses"


def series(lines: Iterable[Mapping[str, Any]]) -> dict[str, tuple[list[int], list[float]]]:
    """Gathers the lines of a log by name.

    Args:
      lines: one mapping a line: `step` and any figures; null is "not a number".

    Returns:
      name -> (steps, values), names in the order of their first appearance.

    >>> series([{"step": 1, "loss": 2.0}, {"step": 2, "event": "switch"}, {"step": 3, "loss": 1.0}])
    {'loss': ([1, 3], [2.0, 1.0])}
    """
    found: dict[str, tuple[list[int], list[float]]] = {}
    for line in lines:
        for name, value in line.items():
            if name in KEYS:
                continue
            steps, values = found.setdefault(name, ([], []))
            steps.append(line["step"])
            values.append(math.nan if value is None else float(value))
    return found


def draw(lines: Iterable[Mapping[str, Any]]) -> Figure:
    """Draws losses, validation figures, norms and the learning rate over the steps, a panel each.

    The losses are on a logarithmic axis where all of them are positive, and so are the norms. Of
    the validation figures the scores are drawn, not the counts of images. An event, a line
    `{"step": ..., "event": "..."}`, is a dotted mark on every panel, named on the first.

    Args:
      lines: the lines of `metrics.jsonl`, as mappings.

    Returns:
      A figure of 1200 x 1200 pixels, bound to the Agg canvas; pyplot and its backend are not
      touched.
    """
    lines = list(lines)
    figure = Figure(figsize=(12, 12), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = dict(
        zip(
            PANELS,
            figure.subplots(len(PANELS), 1, sharex=True, height_ratios=list(PANELS.values())),
            strict=True,
        )
    )
    lowest = {"losses": math.inf, "norms": math.inf}
    for name, (steps, values) in series(lines).items():
        where = panel(name)
        finite = [value for value in values if math.isfinite(value)]
        if where == "validation" and name.split("/")[-1].startswith("images"):
            continue
        if where in lowest:
            lowest[where] = min([lowest[where], *finite])
        at = axes[where]
        # Dashes tell the validation's losses from the training's, and a colour's second use.
        beside = where == "losses" and not name.startswith("train/") and "/" in name
        at.plot(
            steps,
            values,
            "--" if beside or len(at.lines) >= len(PALETTE) else "-",
            color=PALETTE[len(at.lines) % len(PALETTE)],
            label=name,
            linewidth=1.2,
            marker="." if len(steps) <= 100 else "",  # a lone value has no line to be seen by
        )
    for title, at in axes.items():
        at.set_title(title, loc="left", fontsize=11)
        at.grid(alpha=0.25)
        if 0 < lowest.get(title, 0) < math.inf:
            at.set_yscale("log")
        if at.lines:
            at.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    axes[list(PANELS)[-1]].set_xlabel("step")
    _mark(axes.values(), [(line["step"], line["event"]) for line in lines if "event" in line])
    return figure


def _mark(axes: Iterable[Axes], events: list[tuple[int, str]]) -> None:
    for index, at in enumerate(axes):
        for step, name in events:
            at.axvline(step, color="0.3", linestyle=":", linewidth=1)
            if index == 0:
                place = at.get_xaxis_transform()  # steps across, the panel's height up
                at.text(step, 0.98, f" {name}", transform=place, va="top", fontsize=8, clip_on=True)
