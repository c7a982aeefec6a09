"""Resampling of images: draws, swaps and the figures of each.

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
from scipy.special import ndtr, ndtri

from jaxnuc.registry import unknown

Statistic = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]

_EXACT = 16  # up to so many pairs, every swap is enumerated
_CHUNK = 2**21  # draws held at a time


class _Part(NamedTuple):
    """Figures that see the same images.

    Attributes:
      names: of the F figures.
      units: (U, S, K) float64, the K summands of each image or group for each of S methods.
      figure: (..., K) sums -> (..., F).
      images: how many are used.
    """

    names: list[str]
    units: np.ndarray
    figure: Callable[[np.ndarray], np.ndarray]
    images: int


def parts(
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


def total_of(units: np.ndarray) -> np.ndarray:
    return np.array([math.fsum(column) for column in _flat(units).T]).reshape(units.shape[1:])


def bounds_of(
    units: np.ndarray,
    figure: Callable[[np.ndarray], np.ndarray],
    level: float,
    resamples: int,
    method: str,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(F,) estimates, low and high ends."""
    total = total_of(units)
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


def p_values_of(part: _Part, resamples: int, seed: int) -> np.ndarray:
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


def table_of(values: Mapping[str, ArrayLike], what: str) -> dict[str, np.ndarray]:
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


def check_same(first: Sequence[str], second: Sequence[str], what: str) -> None:
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


def check(level: float, resamples: int = 1, method: str = "bca") -> None:
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not a confidence in (0, 1)")
    if resamples < 1:
        raise ValueError(f"{resamples} resamples; at least 1 is needed, 10,000 are usual")
    if method not in ("bca", "percentile"):
        raise unknown("bootstrap method", method, ["bca", "percentile"])
