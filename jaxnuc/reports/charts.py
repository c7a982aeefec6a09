"""Charts as SVG, which take the colours of the page that they stand on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jaxnuc.reports.page import Html, element

WIDTH, HEIGHT = 480, 270
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 12, 44  # around the plot
COLOURS = 7  # that the style has; then dashes
MOST_POINTS = 400  # of a curve: more cannot be told apart


@dataclass(frozen=True)
class Axis:
    """From figures to places along an axis.

    Attributes:
      low: first figure.
      high: last figure, above the first.
      start: place of the first, in units of the chart.
      stop: place of the last.
      log: whether the axis is logarithmic; both figures are positive then.
      whole: whether only whole figures are named along it.
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False
    whole: bool = False

    def __call__(self, figure: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, figure = math.log(low), math.log(high), math.log(figure)
        return round(self.start + (figure - low) / (high - low) * (self.stop - self.start), 2)

    def ticks(self) -> list[float]:
        """Round figures along the axis.

        >>> Axis(0, 1, 0, 100).ticks(), Axis(15, 700, 0, 100, log=True).ticks()
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [20.0, 50.0, 100.0, 200.0, 500.0])
        """
        if self.log and self.high / self.low >= 5:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1, 2, 5) if last - first <= 3 else (1,)
            every = 1 + (last - first) // 8
            found = [k * 10.0**e for e in range(first, last + 1, every) for k in steps]
        else:
            raw = (self.high - self.low) / 5
            size = 10.0 ** math.floor(math.log10(raw))
            step = next(k * size for k in (1, 2, 5, 10) if k * size >= raw * 0.999)
            count = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            found = [float(f"{k * step:.10g}") for k in range(count[0], count[1] + 1)]
        found = [x for x in found if self.low * (1 - 1e-9) <= x <= self.high * (1 + 1e-9)]
        return [x for x in found if x == round(x)] if self.whole else found


def short(figure: float) -> str:
    """A figure as it stands at an axis, where there is room for few digits.

    >>> short(0.25), short(2_500), short(250_000), short(3e7)
    ('0.25', '2500', '250k', '30M')
    """
    if abs(figure) < 10_000:
        return f"{figure:.10g}"
    size, sign = next((s, t) for s, t in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(figure) >= s)
    return f"{figure / size:.10g}{sign}"


def histogram(
    edges: np.ndarray,
    counts: Mapping[str, np.ndarray],
    across: str,
    up: str,
    *,
    log: bool = False,
) -> Html:
    """Counts as steps, one outline for each series.

    Args:
      edges: (n + 1,) of the bins, ascending.
      counts: (n,) of each series by its name.
      across: what the bins are of, with the unit.
      up: what is counted.
      log: whether the bins lie on a logarithmic axis.
    """
    most = max(1, max(int(found.max(initial=0)) for found in counts.values()))
    x = Axis(float(edges[0]), float(edges[-1]), LEFT, WIDTH - RIGHT, log)
    y = Axis(0, most * 1.05, HEIGHT - BOTTOM, TOP, whole=True)
    drawn = []
    for rank, found in enumerate(counts.values()):
        path = [f"M{x(edges[0])},{y(0)}"]
        for low, high, n in zip(edges[:-1], edges[1:], found, strict=True):
            path.append(f"L{x(low)},{y(n)}L{x(high)},{y(n)}")
        path.append(f"L{x(edges[-1])},{y(0)}Z")
        drawn.append(element("path", d="".join(path), class_=f"area s{rank}"))
    said = "; ".join(f"{name}: {int(found.sum())} {up}" for name, found in counts.items())
    return _chart(x, y, drawn, across, up, f"Histogram. {said}", list(counts))


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    across: str,
    *,
    log: bool = False,
    marks: Sequence[float] = (),
) -> Html:
    """Lines through points; longer ones are drawn with each point the mean of several.

    Args:
      series: places and figures by name; what is not finite is left out.
      across: what the places are, which begin at 0.
      log: whether the figures are on a logarithmic axis; those that are not positive are left out.
      marks: places of upright lines.

    Raises:
      ValueError: there is no point at all.
    """
    points = {name: _thinned(*pair, log) for name, pair in series.items()}
    everything = np.concatenate(list(points.values()) or [np.zeros((0, 2))])
    if not len(everything):
        raise ValueError(f"nothing to draw in {', '.join(series) or 'no series'}")
    (_, low), (right, high) = everything.min(axis=0), everything.max(axis=0)
    right = max(right, 1)
    if log:
        low, high = low / 1.1, high * 1.1
    else:
        room = (high - low or abs(high) or 1.0) * 0.05
        low, high = low - room, high + room
    x = Axis(0, float(right), LEFT, WIDTH - RIGHT)
    y = Axis(float(low), float(high), HEIGHT - BOTTOM, TOP, log)
    drawn = [
        element("path", d=f"M{x(at)},{TOP}V{HEIGHT - BOTTOM}", class_="mark")
        for at in marks
        if at <= right
    ]
    styles = [
        f"s{rank % COLOURS}" + (" dashed" if rank >= COLOURS else "") for rank in range(len(points))
    ]
    for style, found in zip(styles, points.values(), strict=True):
        places = [f"{x(a)},{y(b)}" for a, b in found.tolist()]
        if len(places) == 1:  # a lone point has no line to be seen by
            at, height = places[0].split(",")
            drawn.append(element("circle", cx=at, cy=height, r=3, class_=style))
        elif places:
            drawn.append(element("polyline", points=" ".join(places), class_=f"curve {style}"))
    said = f"Curves over {across}: {', '.join(points)}"
    return _chart(x, y, drawn, across, "", said, list(points), styles)


def reliability(bins: Sequence[tuple[float, float, int]], said: str, score: str = "score") -> Html:
    """How often predictions of each score are right, against the score itself.

    Args:
      bins: mean score, share that is right and number of the predictions of each.
      said: the diagram in words.
      score: name of the scores.
    """
    x, y = Axis(0, 1, LEFT, WIDTH - RIGHT), Axis(0, 1, HEIGHT - BOTTOM, TOP)
    most = max(n for _, _, n in bins)
    drawn = [element("path", d=f"M{x(0)},{y(0)}L{x(1)},{y(1)}", class_="mark")]
    line = " ".join(f"{x(mean)},{y(share)}" for mean, share, _ in bins)
    drawn.append(element("polyline", points=line, class_="curve s0"))
    for mean, share, n in bins:
        tip = element("title", f"{score} {mean:.2f}: {share:.2f} of {n} right")
        size = round(2.5 + 6 * math.sqrt(n / most), 2)
        drawn.append(element("circle", tip, cx=x(mean), cy=y(share), r=size, class_="area s0"))
    return _chart(x, y, drawn, score, "share that is right", said, [])


def colour_bar(colours: np.ndarray, high: float, unit: str) -> Html:
    """A scale of colours (n, 3 or more) uint8 at equal distances from 0 to `high`."""
    x = Axis(0, high, 12, WIDTH - 40)
    width = (WIDTH - 52) / len(colours)
    parts = []
    for rank, (red, green, blue, *_) in enumerate(colours.tolist()):
        place: dict[str, str | float] = {"x": round(12 + rank * width, 2), "y": 4}
        size: dict[str, str | float] = {"width": round(width + 0.5, 2), "height": 14}
        parts.append(
            element(
                "rect",
                fill=f"rgb({red},{green},{blue})",
                shape_rendering="crispEdges",
                **place,
                **size,
            )
        )
    for tick in x.ticks():
        parts.append(element("text", f"{tick:,.10g}", x=x(tick), y=34, text_anchor="middle"))
    label = f"Colours from 0 to {high:.3g} {unit}"
    return element("svg", parts, viewBox=f"0 0 {WIDTH} 40", role="img", aria_label=label)


def swatch(*colour: int) -> Html:
    """A patch of a colour (red, green, blue)."""
    style = f"background: rgb({', '.join(map(str, colour))})"
    return element("span", class_="swatch", style=style, aria_hidden="true")


def key(entries: Sequence[tuple[Html, str]]) -> Html:
    """What signs mean: (sign, text)."""
    return element("ul", (element("li", sign, text) for sign, text in entries), class_="key")


def _chart(
    x: Axis,
    y: Axis,
    drawn: Sequence[Html],
    across: str,
    up: str,
    said: str,
    names: Sequence[str],
    styles: Sequence[str] | None = None,
) -> Html:
    """What is drawn between its axes, and below it the names of the series where there are more."""
    parts: list[Html] = []
    for tick in y.ticks():
        parts.append(element("path", d=f"M{LEFT},{y(tick)}H{WIDTH - RIGHT}", class_="grid"))
        place: dict[str, str | float] = {"x": LEFT - 7, "y": y(tick) + 4, "text_anchor": "end"}
        parts.append(element("text", short(tick), **place))
    for tick in x.ticks():
        place = {"x": x(tick), "y": HEIGHT - BOTTOM + 18, "text_anchor": "middle"}
        parts.append(element("text", short(tick), **place))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(element("text", across, x=middle, y=HEIGHT - 6, text_anchor="middle"))
    if up:
        turn = f"rotate(-90) translate({-(TOP + HEIGHT - BOTTOM) / 2} 13)"
        parts.append(element("text", up, transform=turn, text_anchor="middle"))
    shape = f"0 0 {WIDTH} {HEIGHT}"
    chart = element("svg", parts, drawn, viewBox=shape, role="img", aria_label=said)
    if len(names) < 2:
        return chart
    styles = styles or [f"s{rank}" for rank in range(len(names))]
    line: dict[str, str | float] = {"x1": 0, "y1": 6, "x2": 22, "y2": 6}
    signs = (
        element(
            "svg",
            element("line", class_=f"curve {style}", **line),
            viewBox="0 0 22 12",
            aria_hidden="true",
            class_="sign",
        )
        for style in styles
    )
    return Html(chart + key(list(zip(signs, names, strict=True))))


def _thinned(places: Sequence[float], figures: Sequence[float], log: bool) -> np.ndarray:
    """(n, 2) points that can be drawn, at most `MOST_POINTS`."""
    points = np.stack([np.asarray(places, float), np.asarray(figures, float)], axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    if log:
        points = points[points[:, 1] > 0]
    if len(points) <= MOST_POINTS:
        return points
    return np.stack([part.mean(axis=0) for part in np.array_split(points, MOST_POINTS)])
