"""Charts of training runs and reports: matplotlib figures, as PNG for files, as SVG for pages.

matplotlib takes a second to import, and is imported when something is drawn.
"""

import io
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnuc.metrics.confidence import decimals
from jaxnuc.outputs.palette import LIGHT, SERIES
from jaxnuc.reports import page
from jaxnuc.reports.page import Html, element

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The keys of a line of a log that are no figures.
KEYS = ("step", "epoch", "time", "event", "noticed")
PANELS = {"losses": 3, "validation": 3, "norms": 1, "learning rate": 1}  # with their heights
MOST_POINTS = 400  # of a curve: a picture shows no more
# Drawn of a validation beside the monitors, as far as there are colors; the rest is in tables.
COMPANY = ("dice", "aji", "pq", "dq", "sq", "precision", "recall")
LINES: Any = ("-", "-.", ":")
DASHED: Any = ("--", (0, (8, 2)), (0, (2, 1)))  # none of the lines above
_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": LIGHT["line"],
    "axes.grid": True,
    "axes.labelcolor": LIGHT["faint"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": LIGHT["paper"],
    "font.size": 9,
    "grid.color": LIGHT["line"],
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "savefig.facecolor": "auto",
    "svg.fonttype": "none",  # text stays text
    "text.color": LIGHT["ink"],
    "text.parse_math": False,  # names may have dollars in them
    "xtick.bottom": False,
    "xtick.color": LIGHT["faint"],
    "ytick.color": LIGHT["faint"],
    "ytick.left": False,
}


@contextmanager
def _styled() -> Iterator[None]:
    """Draws in the style of this module; a decorator too."""
    import matplotlib
    from cycler import cycler

    cycle: Any = {"axes.prop_cycle": cycler(linestyle=LINES) * cycler(color=SERIES)}
    with matplotlib.rc_context(_STYLE | cycle):
        yield


def _figure(size: tuple[float, float], **arguments: Any) -> "Figure":
    """An empty figure of (width, height) in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, **arguments)


def panel(name: str) -> str:
    """The panel of a figure, by its name.

    >>> [panel(n) for n in ("train/mask/ce", "validation/loss", "validation/pq", "learning_rate")]
    ['losses', 'losses', 'validation', 'learning rate']
    >>> panel("validation/loss/mask/dice"), panel("validation/dice_pooled")
    ('losses', 'validation')
    """
    group, last = name.split("/")[0], name.split("/")[-1]
    if last == "learning_rate":
        return "learning rate"
    if last.endswith("_norm"):
        return "norms"
    return "validation" if group == "validation" and "/loss" not in name else "losses"


def series(lines: Iterable[Mapping[str, Any]]) -> dict[str, tuple[list[int], list[float]]]:
    """Steps and values by name, of lines with `step` and any figures; null is "not a number".

    What an event was decided by is no curve.

    >>> series([{"step": 1, "loss": 2.0}, {"step": 2, "event": "switch", "rate": 0.5}])
    {'loss': ([1], [2.0])}
    """
    found: dict[str, tuple[list[int], list[float]]] = {}
    for line in lines:
        if "event" in line:
            continue
        for name, value in line.items():
            if name in KEYS:
                continue
            steps, values = found.setdefault(name, ([], []))
            steps.append(line["step"])
            values.append(math.nan if value is None else float(value))
    return found


@_styled()
def curves(
    lines: Iterable[Mapping[str, Any]],
    monitors: Collection[str] = (),
    size: tuple[float, float] = (12, 12),
) -> "Figure":
    """Draws losses, validation figures, norms and the learning rate over the steps, a panel each.

    The losses are on a logarithmic axis where all of them are positive, and so are the norms. Of
    the validation, the figures of `validation_curves` are drawn. Of a long curve, each point is the
    mean of several. An event, a line `{"step": ..., "event": "..."}`, is a dotted mark on every
    panel, named on the first.

    Args:
      lines: of `metrics.jsonl`, as mappings.
      monitors: the figures that decide what is best, such as `"pq_image_mean"`: bold.
      size: (width, height) in inches of 100 pixels.
    """
    lines = list(lines)
    figure = _figure(size, dpi=100)
    # Fixed margins: finding those that fit would take as long as all the drawing.
    width, height = size
    margins = {"left": 0.7 / width, "right": 1 - 2.8 / width, "bottom": 0.5 / height}
    plots = figure.subplots(
        len(PANELS),
        1,
        sharex=True,
        height_ratios=list(PANELS.values()),
        gridspec_kw={**margins, "top": 1 - 0.3 / height, "hspace": 0.25},
    )
    axes = dict(zip(PANELS, plots, strict=True))
    found = series(lines)
    bold = {f"validation/{monitor}" for monitor in monitors}
    drawn = [name for name in found if panel(name) != "validation" and not _is_part(name)]
    drawn += validation_curves(found, monitors)
    colors = cycle_of(name.partition("/")[2] for name in drawn if panel(name) == "losses")
    lowest = {"losses": math.inf, "norms": math.inf}
    for name in drawn:
        steps, values = found[name]
        where = panel(name)
        if where in lowest:
            finite = [value for value in values if math.isfinite(value)]
            lowest[where] = min([lowest[where], *finite])
        style: dict[str, Any] = {"linewidth": 2.4} if name in bold else {}
        # A single value has no line to be seen by.
        style["marker"] = "." if len(steps) <= 100 else ""
        if where == "losses":  # of training and validation the same color, the latter dashed
            number, turn = colors[name.partition("/")[2]]
            style["color"] = SERIES[number]
            style["linestyle"] = (DASHED if name.startswith("validation/") else LINES)[turn]
        axes[where].plot(*_thinned(steps, values), label=name, **style)
    for title, at in axes.items():
        at.set_title(title)
        if 0 < lowest.get(title, 0) < math.inf:
            at.set_yscale("log")
            at.yaxis.set_major_formatter("{x:g}")
            at.yaxis.set_minor_formatter("")
        if at.lines:
            at.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    plots[-1].set_xlabel("step")
    events = [line for line in lines if "event" in line]
    for at in plots:
        for line in events:
            at.axvline(line["step"], color=LIGHT["faint"], linestyle=":", linewidth=1)
    across = plots[0].get_xaxis_transform()  # steps across, the height of the panel up
    for index, line in enumerate(events):
        height = 0.98 - 0.06 * (index % 4)  # names of marks that are close stand below each other
        text = f" {line['event']}"
        plots[0].text(line["step"], height, text, transform=across, va="top", clip_on=True)
    return figure


def cycle_of(names: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The color of each name, and its line, as numbers: lines change when colors begin anew.

    >>> cycle_of([*"abcdefgh", "a"])["h"]
    (0, 1)
    """
    places = enumerate(dict.fromkeys(names))
    return {name: (i % len(SERIES), i // len(SERIES) % len(LINES)) for i, name in places}


def validation_curves(names: Iterable[str], monitors: Collection[str] = ()) -> list[str]:
    """Those of these figures that are drawn in the panel of the validation: a color each.

    The monitors come first, then means over images of `COMPANY`, then the others. Counts of images
    and the scores of one data set of a mixture (unless monitored) are no curves.

    >>> names = ["validation/iou_pooled", "validation/dice_image_mean", "validation/images"]
    >>> validation_curves([*names, "validation/pq_pooled", "train/loss"], ["pq_pooled"])
    ['validation/pq_pooled', 'validation/dice_image_mean', 'validation/iou_pooled']
    """
    first = [f"validation/{name}" for name in monitors]
    first += [f"validation/{name}_image_mean" for name in COMPANY]
    place = {name: index for index, name in enumerate(first)}
    own = {f"validation/{name}" for name in monitors}
    found = []
    for name in names:
        _, *path = name.split("/")
        if panel(name) != "validation" or path[-1].startswith("images"):
            continue
        if name in own or len(path) == 1:
            found.append(name)
    return sorted(found, key=lambda name: place.get(name, len(place)))[: len(SERIES)]


@_styled()
def reliability(
    calibration: Mapping[str, Any],
    score: str = "score",
    right: str = "matched share of the nuclei (precision)",
    interval: tuple[float, float] | None = None,
) -> "Figure":
    """Draws the reliability diagram, and below it how many nuclei each bin holds.

    A bar is as high as the share of its bin that is right; an outline reaches from there to the
    mean score of the bin. Where the bars meet the diagonal, scores are probabilities.

    Args:
      calibration: from `Calibration.json`.
      score: name of the scores.
      right: name of the share of the nuclei that are right.
      interval: confidence interval of the expected calibration error.

    References:
      Guo et al., On Calibration of Modern Neural Networks, 2017, figure 1.
    """
    figure = _figure((7, 8.5), dpi=100, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    bins = [each for each in calibration["bins"] if each["count"]]
    low, high, count, mean, precision = (
        np.array([each[name] for each in bins], float)
        for name in ("low", "high", "count", "mean_score", "precision")
    )
    middle, width = (low + high) / 2, high - low
    bars = {"color": SERIES[5], "alpha": 0.6, "edgecolor": LIGHT["paper"], "label": "right"}
    above.bar(middle, precision, width, **bars)
    gap = {"fill": False, "edgecolor": SERIES[1], "label": f"gap to the mean {score}"}
    above.bar(middle, mean - precision, 0.7 * width, bottom=precision, **gap)
    above.plot([0, 1], [0, 1], "--", color=LIGHT["ink"], label="calibrated")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel=right)
    n = 3 if interval is None else decimals(*interval)
    error = f"ECE {calibration['expected_error']:.{n}f}"
    if interval is not None:
        error += f" [{interval[0]:.{n}f}, {interval[1]:.{n}f}]"
    others = f"MCE {calibration['maximum_error']:.3f}, Brier {calibration['brier']:.3f}"
    above.set_title(f"{error}, {others}, {int(count.sum())} nuclei")
    above.legend(loc="best")
    drawn = below.bar(middle, count, width, color=LIGHT["faint"], edgecolor=LIGHT["paper"])
    below.bar_label(drawn, fmt="%d", fontsize=8, padding=2)
    below.margins(y=0.2)
    below.set(xlabel=score, ylabel="nuclei", xticks=np.linspace(0, 1, 11))
    return figure


@_styled()
def intervals(rows: Mapping[str, tuple[float, float, float]], across: str) -> "Figure":
    """Draws a point and a line for each row, from above to below.

    Args:
      rows: value, low and high end by name.
      across: what the values are.
    """
    figure = _figure((7, 0.7 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    value, low, high = np.array([*rows.values()]).T
    places = np.arange(len(rows))
    axes.hlines(places, low, high, color=SERIES[0], linewidth=1.5)
    axes.plot(value, places, "o", color=SERIES[0])
    axes.set(xlabel=across, yticks=places, yticklabels=[*rows], ylim=(len(rows) - 0.5, -0.5))
    return figure


@_styled()
def png(figure: "Figure") -> bytes:
    """A figure as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    return picture.getvalue()


@_styled()
def svg(figure: "Figure", label: str) -> Html:
    """A figure as SVG within a page, in the colors of the page, light or dark.

    The label is the figure in words, for those who do not see it.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": label}):  # identifiers that no other figure has
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})
    _, _, drawn = text.getvalue().partition("<g ")
    drawn = "<g " + drawn.removesuffix("</svg>\n")
    # A page needs no clipping, since nothing is drawn beyond the axes, and no names of groups.
    unneeded = r' id="[a-z]+[\d._a-z]*_\d+"| clip-path="[^"]*"|<clipPath.*?</clipPath>'
    drawn = re.sub(unneeded, "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"\s*\n\s*", " ", drawn)
    for name, color in LIGHT.items():
        drawn = drawn.replace(color, f"var(--{name})")
    width, height = (72 * side for side in figure.get_size_inches())
    shape = f"0 0 {width:g} {height:g}"
    return element("svg", Html(drawn), viewBox=shape, role="img", aria_label=label)


def chart(figure: "Figure", caption: str) -> Html:
    """A figure of this module in a page, with its caption."""
    return page.chart(svg(figure, caption), caption)


def _is_part(name: str) -> bool:
    """Whether this is a part of the validation's loss on one data set of a mixture."""
    group, *path = name.split("/")
    return group == "validation" and path[0] != "loss" and path[1:] not in ([], ["loss"])


def _thinned(steps: list[int], values: list[float]) -> np.ndarray:
    """(2, n) steps and values, or means of several of them each: at most `MOST_POINTS`."""
    points = np.array([steps, values], float)
    if len(steps) <= MOST_POINTS:
        return points
    points = points[:, np.isfinite(values)]
    parts = np.array_split(points, min(MOST_POINTS, points.shape[1]), axis=1)
    return np.stack([part.mean(axis=1) for part in parts], axis=1)
