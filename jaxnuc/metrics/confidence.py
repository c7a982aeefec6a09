"""How sure a figure is: bootstrap intervals, paired permutation tests, the spread over seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from jaxnuc.metrics._resampling import (
    Statistic,
    bounds_of,
    check,
    check_same,
    p_values_of,
    parts,
    table_of,
    total_of,
)


class Interval(NamedTuple):
    """A figure and the confidence interval around it: prints as `0.681 [0.655, 0.704]`."""

    estimate: float
    low: float
    high: float
    level: float

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


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
        return (
            f"{self.metric}{remark}: {self.first:.3f} -> {self.second:.3f}, {self.difference:+.3f} "
            f"[{self.low:+.3f}, {self.high:+.3f}], p = {self.p_value:.2g}, {self.images} images"
        )


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
        return f"{self.mean:.3f} ± {self.std:.3f} ({self.runs} runs)"


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
    """Bootstrap confidence intervals over images.

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

    Returns:
      The interval of each figure.

    Raises:
      ValueError: columns or groups have unequal lengths, there is no image, a value is infinite,
        or an argument is out of range or unknown.

    Example:
      >>> print(bootstrap_interval({"pq": [0.61, 0.70, 0.66, 0.74, 0.69]})["pq"])
      0.680 [0.638, 0.714]

    References:
      Efron, Better Bootstrap Confidence Intervals, 1987. Field and Welsh, Bootstrapping Clustered
      Data, 2007.
    """
    check(level, resamples, method)
    intervals = {}
    for part in parts([table_of(values, "values")], statistic, groups):
        figure = lambda sums, part=part: part.figure(sums[..., 0, :])
        bounds = bounds_of(part.units, figure, level, resamples, method, seed)
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
    """Compares two methods on the same images, image by image.

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

    Returns:
      The comparison of each figure.

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
    check(level, resamples)
    first, second = table_of(a, "a"), table_of(b, "b")
    check_same(list(first), list(second), "columns")
    second = {name: second[name] for name in first}
    lengths = [len(next(iter(table.values()))) for table in (first, second)]
    if names is not None:
        if [len(n) for n in names] != lengths:
            raise ValueError(f"{[len(n) for n in names]} names for {lengths} images of a and b")
        check_same(names[0], names[1], "images")
        place = {name: i for i, name in enumerate(names[1])}
        order = [place[name] for name in names[0]]
        second = {name: column[order] for name, column in second.items()}
    elif lengths[0] != lengths[1]:
        raise ValueError(f"a has {lengths[0]} images, b {lengths[1]}; give the names of both")

    comparisons = {}
    for part in parts([first, second], statistic, groups):
        figure = lambda sums, part=part: part.figure(sums[..., 1, :]) - part.figure(sums[..., 0, :])
        bounds = bounds_of(part.units, figure, level, resamples, "bca", seed)
        either = part.figure(total_of(part.units))
        p_values = p_values_of(part, resamples, seed)
        skipped = lengths[0] - part.images
        for name, *row in zip(part.names, *either, *bounds, p_values, strict=True):
            one, two, difference, low, high, p = map(float, row)
            comparisons[name] = Comparison(
                name, one, two, difference, low, high, p, part.images, skipped, level
            )
    return {name: comparisons[name] for name in (a if statistic == "mean" else comparisons)}


def over_seeds(runs: Sequence[Mapping[str, float]], level: float = 0.95) -> dict[str, Spread]:
    """Mean and spread of every figure over runs that differ in their seed.

    Args:
      runs: the figures of each run, such as `jaxnuc.metrics.summarize` returns.
      level: confidence of the interval of the mean, in (0, 1).

    Returns:
      The spread of each figure over the runs in which it is not NaN. Of one run, `std`, `low` and
      `high` are NaN.

    Raises:
      ValueError: there are no runs, they have different figures, or a figure is infinite.

    Example:
      >>> print(over_seeds([{"pq": 0.61}, {"pq": 0.65}, {"pq": 0.63}])["pq"])
      0.630 ± 0.020 (3 runs)
    """
    check(level)
    if not runs:
        raise ValueError("no runs; there is nothing to estimate from no run")
    for run in runs[1:]:
        check_same(list(runs[0]), list(run), "figures")
    spreads = {}
    for name, column in table_of(
        {name: [run[name] for run in runs] for name in runs[0]}, ""
    ).items():
        x = np.sort(column[~np.isnan(column)])
        n = len(x)
        mean = math.fsum(x) / n if n else math.nan
        std = float(x.std(ddof=1)) if n > 1 else math.nan
        margin = stdtrit(n - 1, (1 + level) / 2) * std / math.sqrt(n) if n > 1 else math.nan
        ends = (float(x[0]), float(x[-1])) if n else (math.nan, math.nan)
        spreads[name] = Spread(mean, std, *ends, mean - margin, mean + margin, level, n)
    return spreads
