"""How sure a figure is: bootstrap intervals, paired permutation tests, the spread over seeds.

SciPy's `bootstrap` and `permutation_test` hand resampled observations to a statistic. Every figure
here, pooled or mean, is a function of sums over images, so that the resampled sums of all columns
are one matrix product (how often each image was drawn, times the values), in bounded memory.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtrit

from jaxnuc.metrics.rows import html_table
from jaxnuc.registry import unknown

Statistic = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]

_MOST_DECIMALS = 4
_EXACT = 16  # up to so many pairs, every swap is enumerated
_CHUNK = 2**21  # draws held at a time


def decimals(low: float, high: float) -> int:
    """Decimals that an interval supports: those of half its width, rounded to one or two digits.

    Two are kept where they are at most 35, as the tables of the Particle Data Group do. At most
    four, also where there is no interval.

    Reference: Particle Data Group, "Review of Particle Physics", section "Rounding".

    >>> decimals(0.655, 0.704), decimals(0.61, 0.70), decimals(0.2, 0.9), decimals(0.5, 0.5)
    (3, 2, 2, 4)
    """
    half = (high - low) / 2
    if not 0 < half < math.inf:
        return _MOST_DECIMALS
    exponent = math.floor(math.log10(half))
    two = half / 10**exponent < 3.55
    return min(max(two - exponent, 0), _MOST_DECIMALS)


class Interval(NamedTuple):
    """A figure and the confidence interval around it: prints as `0.681 [0.655, 0.704]`.

    It is rounded to what the interval supports, see `decimals`.
    """

    estimate: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.estimate:.{decimals(self.low, self.high)}f} {self.ends()}"

    def ends(self) -> str:
        """The interval alone: `[0.655, 0.704]`."""
        n = decimals(self.low, self.high)
        return f"[{self.low:.{n}f}, {self.high:.{n}f}]"


class Comparison(NamedTuple):
    """A figure of two methods on the same images.

    Attributes:
      metric: name of the figure.
      first, second: the figure of either method, over the images that both have a value for.
      difference: second - first.
      low, high: confidence interval of the difference.
      p_value: two-sided, that of the hypothesis that the methods are exchangeable on each image;
        not corrected for testing several metrics (`scipy.stats.false_discovery_control`).
      images: pairs that were used.
      skipped: pairs that were left out because a value of either method is NaN.
      level: of the interval.
      higher_is_better: the direction of the figure.
    """

    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    images: int
    skipped: int
    level: float
    higher_is_better: bool = True

    def __str__(self) -> str:
        remark = "" if self.higher_is_better else " (lower is better)"
        first, second, difference = self.figures()
        return (
            f"{self.metric}{remark}: {first} -> {second}, {difference}, p = {self.p_value:.2g}, "
            f"{self.images} images"
        )

    def figures(self) -> tuple[str, str, str]:
        """Both figures, and their difference with its interval, rounded to what that supports."""
        n = decimals(self.low, self.high)
        difference = round(self.difference, n) + 0.0  # no -0.00
        interval = f"{difference:+.{n}f} [{self.low:+.{n}f}, {self.high:+.{n}f}]"
        return f"{self.first:.{n}f}", f"{self.second:.{n}f}", interval


class Comparisons(dict[str, Comparison]):
    """Comparisons of two methods by the name of the figure; in a notebook, a table."""

    def _repr_html_(self) -> str:
        rows = [
            [
                each.metric + ("" if each.higher_is_better else " (lower is better)"),
                *each.figures(),
                f"{each.p_value:.2g}",
                str(each.images),
            ]
            for each in self.values()
        ]
        return html_table([["", "first", "second", "difference", "p", "images"], *rows])


class Spread(NamedTuple):
    """A figure over runs that differ in their seed: prints as `0.681 ± 0.012 (5 runs)`.

    Attributes:
      mean: over the runs.
      std: sample standard deviation (ddof 1), of a run, not of the mean.
      minimum, maximum: of the runs.
      low, high: Student's t interval of the mean.
      level: of the interval.
      runs: how many have the figure (are not NaN).
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    low: float
    high: float
    level: float
    runs: int

    def __str__(self) -> str:
        return f"{self.text()} ({self.runs} runs)"

    def text(self) -> str:
        """Mean and standard deviation, rounded to one or two digits of it: see `decimals`."""
        n = decimals(-self.std, self.std)
        return f"{self.mean:.{n}f} ± {self.std:.{n}f}"


def bootstrap_interval(
    values: Mapping[str, ArrayLike],
    statistic: str | Statistic = "mean",
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    method: str = "bca",
    seed: int = 0,
) -> dict[str, Interval]:
    """Bootstrap confidence intervals of figures over images, by name.

    All figures see the same resampled images. The result does not depend on the order of the
    images. The interval of one image (or group) is NaN.

    Args:
      values: columns (images,) by name, such as those of `jaxnuc.metrics.scores.columns`.
      statistic: `"mean"` of each column over images, or a function of the columns' sums over
        images, `{name: (...)} -> {figure: (...)}`, such as `jaxnuc.metrics.summary.pooled_figures`
        makes. The mean leaves out images with NaN in that column.
      groups: (images,) the patient, slide or tissue of each image. Whole groups are resampled
        then, as images of one patient are not independent; the figure is still one over images.
      level: confidence, in (0, 1).
      resamples: how many.
      method: `"bca"`, bias-corrected and accelerated, or `"percentile"`, too narrow for few images.
      seed: of the random draws.

    Raises:
      ValueError: columns or groups have unequal lengths, there is no image, a value is infinite,
        or an argument is out of range or unknown.

    Example:
      >>> print(bootstrap_interval({"pq": [0.61, 0.70, 0.66, 0.74, 0.69]})["pq"])
      0.68 [0.64, 0.71]

    References:
      Efron, Better Bootstrap Confidence Intervals, 1987. Field and Welsh, Bootstrapping Clustered
      Data, 2007.
    """
    _check(level, resamples, method)
    intervals = {}
    for part in _parts([_table(values, "values")], statistic, groups):
        figure = lambda sums, part=part: part.figure(sums[..., 0, :])
        bounds = _bounds(part.units, figure, level, resamples, method, seed)
        for name, estimate, low, high in zip(part.names, *bounds, strict=True):
            intervals[name] = Interval(float(estimate), float(low), float(high), level)
    return {name: intervals[name] for name in (values if statistic == "mean" else intervals)}


def compare(
    a: Mapping[str, ArrayLike],
    b: Mapping[str, ArrayLike],
    statistic: str | Statistic = "mean",
    *,
    names: tuple[Sequence[str], Sequence[str]] | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Compares the figures of two methods, by name, on the same images, image by image.

    The interval is that of the difference (BCa), both methods seeing the same resampled images. The
    p-value is that of the permutation test which swaps the two methods' values on images at
    random: exact, by all swaps, up to 16 images (or groups); else by `resamples` swaps and
    (1 + as extreme) / (1 + swaps), which is never 0. Neither depends on the order of the images.

    Args:
      a: columns (images,) of the first method, by name.
      b: the same columns of the second method.
      statistic: as in `bootstrap_interval`. A mean leaves out pairs with NaN in either.
      names: the names of the images of `a` and of `b`; `b` is put into the order of `a`. None:
        both are in one order.
      groups: (images,) in the order of `a`; whole groups are resampled, and swapped.
      level: confidence of the interval, in (0, 1).
      resamples: of the interval, and of the test.
      seed: of the random draws.

    Raises:
      ValueError: the columns or the images are not the same, or as in `bootstrap_interval`.

    Example:
      >>> a = {"pq": [0.503, 0.617, 0.571, 0.664, 0.529]}
      >>> b = {"pq": [0.522, 0.661, 0.583, 0.698, 0.526]}
      >>> print(compare(a, b)["pq"])
      pq: 0.577 -> 0.598, +0.021 [+0.006, +0.035], p = 0.12, 5 images

    References:
      Good, Permutation, Parametric, and Bootstrap Tests of Hypotheses, 2005. Phipson and Smyth,
      Permutation P-values Should Never Be Zero, 2010.
    """
    _check(level, resamples)
    first, second = _table(a, "a"), _table(b, "b")
    _check_same(list(first), list(second), "columns")
    second = {name: second[name] for name in first}
    lengths = [len(next(iter(table.values()))) for table in (first, second)]
    if names is not None:
        if [len(n) for n in names] != lengths:
            raise ValueError(f"{[len(n) for n in names]} names for {lengths} images of a and b")
        _check_same(names[0], names[1], "images")
        place = {name: i for i, name in enumerate(names[1])}
        order = [place[name] for name in names[0]]
        second = {name: column[order] for name, column in second.items()}
    elif lengths[0] != lengths[1]:
        raise ValueError(f"a has {lengths[0]} images, b {lengths[1]}; give the names of both")

    comparisons = {}
    for part in _parts([first, second], statistic, groups):
        figure = lambda sums, part=part: part.figure(sums[..., 1, :]) - part.figure(sums[..., 0, :])
        bounds = _bounds(part.units, figure, level, resamples, "bca", seed)
        either = part.figure(_total(part.units))
        p_values = _p_values(part, resamples, seed)
        skipped = lengths[0] - part.images
        for name, *row in zip(part.names, *either, *bounds, p_values, strict=True):
            one, two, difference, low, high, p = map(float, row)
            comparisons[name] = Comparison(
                name, one, two, difference, low, high, p, part.images, skipped, level
            )
    return {name: comparisons[name] for name in (a if statistic == "mean" else comparisons)}


def over_seeds(runs: Sequence[Mapping[str, float]], level: float = 0.95) -> dict[str, Spread]:
    """Mean and spread of every figure over runs that differ in their seed.

    Runs in which a figure is NaN are left out of it. Of one run, `std`, `low` and `high` are NaN.

    Args:
      runs: the figures of each run, such as `jaxnuc.metrics.summarize` returns.
      level: confidence of the interval of the mean, in (0, 1).

    Raises:
      ValueError: there are no runs, they have different figures, or a figure is infinite.

    Example:
      >>> print(over_seeds([{"pq": 0.61}, {"pq": 0.65}, {"pq": 0.63}])["pq"])
      0.630 ± 0.020 (3 runs)
    """
    _check(level)
    if not runs:
        raise ValueError("no runs; there is nothing to estimate from no run")
    for run in runs[1:]:
        _check_same(list(runs[0]), list(run), "figures")
    spreads = {}
    table = _table({name: [run[name] for run in runs] for name in runs[0]}, "runs")
    for name, column in table.items():
        x = np.sort(column[~np.isnan(column)])
        n = len(x)
        mean = math.fsum(x) / n if n else math.nan
        std = float(x.std(ddof=1)) if n > 1 else math.nan
        margin = stdtrit(n - 1, (1 + level) / 2) * std / math.sqrt(n) if n > 1 else math.nan
        ends = (float(x[0]), float(x[-1])) if n else (math.nan, math.nan)
        spreads[name] = Spread(mean, std, *ends, mean - margin, mean + margin, level, n)
    return spreads


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for testing several hypotheses, so that any false one has the level.

    NaN, a test that could not be made, stays NaN and does not count.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    References:
      Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    corrected = [math.nan] * len(p_values)
    made = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for rank, (p, i) in enumerate(made):
        largest = max(largest, min(1.0, p * (len(made) - rank)))
        corrected[i] = largest
    return corrected


class _Part(NamedTuple):
    """F figures that see the same images."""

    names: list[str]
    units: np.ndarray  # (U, S, K): the K summands of each image or group for each of S methods
    figure: Callable[[np.ndarray], np.ndarray]  # (..., K) sums -> (..., F)
    images: int


def _parts(
    tables: Sequence[Mapping[str, np.ndarray]], statistic: str | Statistic, groups: ArrayLike | None
) -> Iterator[_Part]:
    names = list(tables[0])
    data = np.stack([np.stack(list(table.values()), -1) for table in tables], 1)
    group = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if group is not None and group.shape != data.shape[:1]:
        raise ValueError(f"groups has shape {group.shape} for {len(data)} images; give one of each")
    if statistic == "mean":
        # Columns that lack the same images are resampled together.
        patterns, which = np.unique(np.isnan(data).any(1), axis=1, return_inverse=True)
        for i, missing in enumerate(patterns.T):
            own = np.flatnonzero(which == i)
            summands = np.ones((np.count_nonzero(~missing), len(tables), len(own) + 1))
            summands[..., :-1] = data[~missing][..., own]
            units = _units(summands, None if group is None else group[~missing])
            yield _Part([names[c] for c in own], units, _mean, len(summands))
        return
    if isinstance(statistic, str):
        raise unknown("statistic", statistic, ["mean"])

    def named(sums: np.ndarray) -> Mapping[str, np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return statistic(dict(zip(names, np.moveaxis(sums, -1, 0), strict=True)))

    figure = lambda sums: np.stack([np.asarray(f, float) for f in named(sums).values()], -1)
    yield _Part(list(named(data[0])), _units(data, group), figure, len(data))


def _mean(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return sums[..., :-1] / sums[..., -1:]


def _units(rows: np.ndarray, group: np.ndarray | None) -> np.ndarray:
    """(U, S, K) sums of each group, or the rows, in an order that depends on their values alone."""
    order = np.lexsort(_flat(rows).T)
    rows = rows[order]
    if group is None:
        return rows
    group = np.unique(group[order], return_inverse=True)[1]
    units = np.zeros((group.max(initial=-1) + 1, *rows.shape[1:]))
    np.add.at(units, group, rows)
    return _units(units, None)


def _flat(units: np.ndarray) -> np.ndarray:
    return units.reshape(len(units), math.prod(units.shape[1:]))


def _total(units: np.ndarray) -> np.ndarray:
    return np.array([math.fsum(column) for column in _flat(units).T]).reshape(units.shape[1:])


def _bounds(
    units: np.ndarray,
    figure: Callable[[np.ndarray], np.ndarray],
    level: float,
    resamples: int,
    method: str,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(F,) estimates, low and high ends."""
    total = _total(units)
    estimates = figure(total)
    ends = np.full((2, len(estimates)), np.nan)
    if len(units) < 2:
        return estimates, ends[0], ends[1]
    drawn = figure(_resampled_sums(units, resamples, np.random.default_rng(seed)))
    # What differs by rounding alone is equal, so that constant values have an interval of no width.
    drawn = np.where(np.isclose(drawn, estimates, rtol=1e-12, atol=0), estimates, drawn)
    leave_one_out = figure(total - units)
    for f, estimate in enumerate(estimates):
        sample = drawn[~np.isnan(drawn[:, f]), f]  # some resamples may lack what a figure needs
        if np.isnan(estimate) or not sample.size:
            continue
        z = ndtri([(1 - level) / 2, (1 + level) / 2])
        if method == "bca":
            z = _corrected(z, sample, estimate, leave_one_out[:, f])
        ends[:, f] = np.quantile(sample, ndtr(z))
    return estimates, ends[0], ends[1]


def _corrected(
    z: np.ndarray, sample: np.ndarray, estimate: float, leave_one_out: np.ndarray
) -> np.ndarray:
    """Efron 1987, Eq. 2.3: normal quantiles moved for bias and for skewness."""
    below = np.count_nonzero(sample < estimate) + np.count_nonzero(sample == estimate) / 2
    bias = ndtri(np.clip(below / len(sample), 1 / (len(sample) + 1), 1 - 1 / (len(sample) + 1)))
    d = leave_one_out[~np.isnan(leave_one_out)]
    d = d.mean() - d if d.size else np.zeros(1)
    scale = np.abs(d).max()
    d = d / scale if scale > 1e-12 * abs(estimate) else np.zeros(1)
    skewness = (d**3).sum() / (6 * max((d**2).sum(), 1) ** 1.5)
    return bias + (bias + z) / np.maximum(1 - skewness * (bias + z), 1e-6)


def _resampled_sums(units: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(resamples, S, K): the sums over as many units as there are, drawn with replacement."""
    n_units = len(units)
    flat = _flat(units)
    sums = np.empty((resamples, flat.shape[1]))
    step = max(1, _CHUNK // n_units)
    for start in range(0, resamples, step):
        n = min(step, resamples - start)
        drawn = rng.integers(n_units, size=(n, n_units)) + n_units * np.arange(n)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=n * n_units).reshape(n, n_units)
        sums[start : start + n] = counts @ flat
    return sums.reshape(resamples, *units.shape[1:])


def _p_values(part: _Part, resamples: int, seed: int) -> np.ndarray:
    """(F,) two-sided p-values of the paired swap test."""
    n_units = len(part.units)
    half = (part.units[:, 1] - part.units[:, 0]) / 2
    middle = part.units.sum((0, 1)) / 2
    exact = n_units <= _EXACT
    if exact:
        # To swap every pair only turns the sign of the difference, so the first one never is.
        codes = np.arange(2 ** max(n_units - 1, 0))[:, None]
        signs = 1 - 2 * (codes >> np.arange(n_units) & 1)
        moved = signs @ half
    else:
        rng, step = np.random.default_rng(seed), max(1, _CHUNK // n_units)
        sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
        random = ((2 * rng.integers(2, size=(n, n_units)) - 1) @ half for n in sizes)
        moved = np.concatenate([half.sum(0, keepdims=True), *random])
    # The first row is the observation; a figure that a swap leaves undefined counts as extreme.
    first, second = part.figure(middle - moved), part.figure(middle + moved)
    difference = np.abs(second - first)
    rounding = 1e-12 * np.nanmax(np.abs(np.stack([first, second])), axis=(0, 1), initial=0)
    extreme = ~(difference < difference[0] - rounding)
    return np.where(np.isnan(difference[0]), np.nan, extreme.mean(0))


def _table(values: Mapping[str, ArrayLike], what: str) -> dict[str, np.ndarray]:
    table = {}
    for name, value in values.items():
        try:
            column = np.asarray(value, float)
        except (TypeError, ValueError) as error:
            raise ValueError(f"column {name!r} of {what} is not of numbers: {error}") from None
        if column.ndim != 1 or not column.size:
            raise ValueError(f"column {name!r} of {what} has shape {column.shape}, not (images,)")
        if np.isinf(column).any():
            raise ValueError(
                f"column {name!r} of {what} holds infinities, of which there is no mean; "
                "set NaN to leave those images out, or a penalty"
            )
        table[name] = column
    if lengths := {name: len(column) for name, column in table.items()}:
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of {what} have unequal lengths: {lengths}")
        return table
    raise ValueError(f"{what} has no columns")


def _check_same(first: Sequence[str], second: Sequence[str], what: str) -> None:
    for names in (first, second):
        if twice := [name for name, n in Counter(names).items() if n > 1]:
            raise ValueError(f"{what} are named twice: {', '.join(twice[:5])}")
    only = [sorted(set(x) - set(y)) for x, y in ((first, second), (second, first))]
    if any(only):
        lists = [f"{len(o)} ({', '.join(o[:5])}{', ...' * (len(o) > 5)})" for o in only]
        raise ValueError(
            f"the {what} are not the same: {lists[0]} only in the first, {lists[1]} only in the "
            "second; compare what both have"
        )


def _check(level: float, resamples: int = 1, method: str = "bca") -> None:
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not a confidence in (0, 1)")
    if resamples < 1:
        raise ValueError(f"{resamples} resamples; at least 1 is needed, 10,000 are usual")
    if method not in ("bca", "percentile"):
        raise unknown("bootstrap method", method, ["bca", "percentile"])
