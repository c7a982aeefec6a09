"""Histograms as SVG.

They are written here directly: the page of one image has two of them, and matplotlib takes longer
to draw one than a network takes for a small image.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnuc.outputs.palette import SERIES
from jaxnuc.reports import page
from jaxnuc.reports.page import Html, element

WIDTH, HEIGHT = 360, 202
LEFT, RIGHT, TOP, BOTTOM = 40, 350, 8, 168  # of what is within the axes


@dataclass(frozen=True)
class Histogram:
    """Counts in bins.

    Attributes:
      edges: (n + 1,) of the bins, ascending.
      counts: (n,) of each bin, by the name of what is counted.
      across: what the bins are of, with the unit.
      up: what is counted.
      log: bins are drawn by the logarithms of their edges.
    """

    edges: np.ndarray
    counts: Mapping[str, np.ndarray]
    across: str
    up: str
    log: bool = False

    def svg(self, label: str) -> Html:
        """The histogram within a page, in the colors of the page, light or dark.

        The label is the figure in words, for those who do not see it.
        """
        most = max([1, *(int(np.max(counts)) for counts in self.counts.values())])
        ticks, ticks_up = self._ticks(), _round_values(5, 0, 1.05 * most, integer=True)
        high = max(most, *ticks_up)

        def y(count: float) -> float:
            return round(BOTTOM - (BOTTOM - TOP) * count / high, 2)

        lines = [
            *(_line(LEFT, y(tick), RIGHT, y(tick)) for tick in ticks_up),
            *(_line(x, TOP, x, BOTTOM) for x in self._x(ticks)),
        ]
        text = [
            *(_text(LEFT - 5, y(tick) + 3, _short(tick), "end") for tick in ticks_up),
            *(
                _text(x, BOTTOM + 13, _short(tick))
                for x, tick in zip(self._x(ticks), ticks, strict=True)
            ),
            _text((LEFT + RIGHT) / 2, HEIGHT - 6, self.across),
            _text(0, 0, self.up, transform=f"translate(10 {(TOP + BOTTOM) / 2}) rotate(-90)"),
        ]
        steps = []
        for number, counts in enumerate(self.counts.values()):
            corners = zip(
                np.repeat(self._x(self.edges), 2).tolist(),
                map(y, [0, *np.repeat(counts, 2).tolist(), 0]),
                strict=True,
            )
            color = _color(number)
            path = "M" + "L".join(f"{x} {up}" for x, up in corners)
            steps.append(
                element(
                    "path", d=path, fill=color, fill_opacity=0.22, stroke=color, stroke_width=1.5
                )
            )
        parts = [
            element("g", lines, stroke="var(--line)", stroke_width=0.8),
            *steps,
            _line(LEFT, BOTTOM, RIGHT, BOTTOM, stroke="var(--faint)", stroke_width=0.8),
            element("g", text, fill="var(--faint)", font_size=9),
        ]
        if len(self.counts) > 1:
            parts.append(self._legend())
        shape = f"0 0 {WIDTH} {HEIGHT}"
        return element("svg", parts, viewBox=shape, role="img", aria_label=label)

    def chart(self, caption: str) -> Html:
        """The histogram in a page, with its caption."""
        return page.chart(self.svg(caption), caption)

    def _x(self, values: np.ndarray) -> np.ndarray:
        """Places along the horizontal axis."""
        first, last, values = self.edges[0], self.edges[-1], np.asarray(values, float)
        if self.log:
            first, last, values = math.log(first), math.log(last), np.log(values)
        return np.round(LEFT + (RIGHT - LEFT) * (values - first) / (last - first), 2)

    def _ticks(self) -> np.ndarray:
        """Values at which the horizontal axis is labeled."""
        first, last = float(self.edges[0]), float(self.edges[-1])
        if self.log and last / first >= 10:
            decades = 10.0 ** np.arange(math.floor(math.log10(first)), math.log10(last) + 1)
            steps = (1, 2, 5) if last / first < 1000 else (1,)
            ticks = np.outer(decades, steps).ravel()
        else:
            ticks = _round_values(10, first, last)
        slack = 1e-9 * (last - first)
        inside: np.ndarray = ticks[(ticks >= first - slack) & (ticks <= last + slack)]
        return inside

    def _legend(self) -> Html:
        entries = []
        for number, name in enumerate(self.counts):
            down = TOP + 12 + 13 * number
            entries.append(
                element("rect", x=RIGHT - 16, y=down - 7, width=12, height=7, fill=_color(number))
            )
            entries.append(_text(RIGHT - 20, down, name, "end"))
        return element("g", entries, font_size=9, fill="var(--ink)")


def _round_values(most: int, low: float, high: float, integer: bool = False) -> np.ndarray:
    """Round numbers from `low` to `high`, and perhaps one beyond, `most` steps at most."""
    from matplotlib.ticker import MaxNLocator  # takes half a second to import

    locator = MaxNLocator(most, integer=integer, steps=[1, 2, 5, 10])
    values = np.asarray(locator.tick_values(low, high))
    return values[values >= min(low, 0)]


def _color(number: int) -> str:
    """The color of a series by the name that the page has for it."""
    return f"var(--s{number % len(SERIES)})"


def _line(x1: float, y1: float, x2: float, y2: float, **style: str | float) -> Html:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **style)


def _text(x: float, y: float, text: str, anchor: str = "middle", **more: str) -> Html:
    return element("text", text, x=x, y=y, text_anchor=anchor, **more)


def _short(value: float) -> str:
    """A number with a letter for thousands and millions.

    >>> _short(0.25), _short(1500), _short(2e6)
    ('0.25', '1.5k', '2M')
    """
    if 0 < abs(value) < 1:
        return f"{value:g}"
    return _engineering().format_eng(value).replace("\N{MINUS SIGN}", "-")


@functools.cache  # making it takes longer than to format a number
def _engineering() -> Any:
    from matplotlib.ticker import EngFormatter

    return EngFormatter(sep="")
