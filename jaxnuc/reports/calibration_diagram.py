"""The reliability diagram: how the scores of nuclei agree with the share of them that is right."""

import io
import os
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxnuc.io.atomic import replace_file
from jaxnuc.metrics.calibration import ERROR, Calibration

# Of Okabe and Ito's palette, told apart with any colour vision; the last a tint of the second.
PRECISION, GAP, PALE = "#56B4E9", "#D55E00", "#FBE3D3"


def draw(
    calibration: Calibration,
    score: str = "score",
    right: str = "matched share of the nuclei (precision)",
) -> Figure:
    """Draws what is right against the score, bin by bin, and below how many nuclei each bin holds.

    A bar stands at the share of its bin that is right; the hatched part reaches from there to the
    bin's mean score. Where the bars meet the diagonal, scores are what they say.

    Args:
      calibration: of a data set.
      score: name of the scores.
      right: what the share of its nuclei that are right is called.

    Returns:
      A figure of 700 x 850 pixels, bound to the Agg canvas; pyplot and its backend are not touched.

    References:
      Guo et al., On Calibration of Modern Neural Networks, 2017, figure 1.
    """
    figure = Figure(figsize=(7, 8.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    used = calibration.counts > 0
    middles, widths = (
        (calibration.edges[1:] + calibration.edges[:-1]) / 2,
        np.diff(calibration.edges),
    )
    x, width = middles[used], widths[used]
    precision, mean = calibration.precisions[used], calibration.mean_scores[used]

    above.bar(x, precision, width, color=PRECISION, edgecolor="white", label="right")
    above.bar(
        x,
        mean - precision,
        0.7 * width,
        bottom=precision,
        color=PALE,
        edgecolor=GAP,
        hatch="///",
        label=f"gap to the mean {score}",
    )
    above.plot([0, 1], [0, 1], "--", color="0.2", linewidth=1.2, label="calibrated")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel=right)
    above.set_title(_title(calibration), loc="left", fontsize=11)
    above.legend(loc="best", fontsize=9)

    bars = below.bar(x, calibration.counts[used], width, color="0.6", edgecolor="white")
    below.bar_label(bars, fontsize=8, padding=2)
    below.margins(y=0.2)
    below.set(xlabel=score, ylabel="nuclei", xticks=np.linspace(0, 1, 11))
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    return figure


def write(path: str | os.PathLike[str], calibration: Calibration, *names: str) -> None:
    """Writes the diagram, with the names as in `draw`, as PNG, whole or not at all."""
    picture = io.BytesIO()
    draw(calibration, *names).canvas.print_png(picture)  # type: ignore[attr-defined]
    replace_file(Path(path), picture.getvalue())


def _title(calibration: Calibration) -> str:
    error = f"ECE {calibration.expected_error:.3f}"
    if ERROR in calibration.intervals:
        interval = calibration.intervals[ERROR]
        error += f" [{interval.low:.3f}, {interval.high:.3f}]"
    more = f"MCE {calibration.maximum_error:.3f}, Brier {calibration.brier:.3f}"
    return f"{error}, {more}, {calibration.counts.sum()} nuclei"
