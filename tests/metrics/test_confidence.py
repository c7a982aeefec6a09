"""Intervals and tests against closed forms, SciPy and literal enumerations."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnuc.metrics.base import STANDARD, make
from jaxnuc.metrics.confidence import (
    Interval,
    bootstrap_interval,
    compare,
    decimals,
    over_seeds,
)
from jaxnuc.metrics.scores import columns, score
from jaxnuc.metrics.summary import pooled_figures

NAN = math.nan
COUNTS = ("pixel_tp", "pixel_fp", "pixel_fn", "tp", "fp", "fn", "iou_sum")
POOLED = pooled_figures(make(STANDARD))


def counts(n, seed, quality=0.8):
    """Counts per image of a method that finds this share of about 100 nuclei."""
    rng = np.random.default_rng(seed)
    nuclei = rng.integers(20, 200, n)
    tp = rng.binomial(nuclei, quality)
    fn, fp = nuclei - tp, rng.binomial(nuclei, 0.1)
    iou_sum = tp * rng.uniform(0.7, 0.9, n)
    return dict(zip(COUNTS, (50 * tp, 50 * fp, 50 * fn, tp, fp, fn, iou_sum), strict=True))


def pooled_literally(table, images):
    """The pooled figures of these images (with repetitions), written out."""
    pixel_tp, pixel_fp, pixel_fn, tp, fp, fn, iou_sum = (
        sum(float(table[c][i]) for i in images) for c in COUNTS
    )
    return {
        "dice_pooled": 2 * pixel_tp / (2 * pixel_tp + pixel_fp + pixel_fn),
        "iou_pooled": pixel_tp / (pixel_tp + pixel_fp + pixel_fn),
        "dq_pooled": tp / (tp + fp / 2 + fn / 2),
        "sq_pooled": iou_sum / tp,
        "pq_pooled": iou_sum / (tp + fp / 2 + fn / 2),
        "precision_pooled": tp / (tp + fp),
        "recall_pooled": tp / (tp + fn),
    }


# ---- intervals ----


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_mean_of_normal_values_has_the_normal_interval(method):
    x = np.random.default_rng(0).normal(0.7, 0.1, 400)
    found = bootstrap_interval({"x": x}, method=method)["x"]
    expected = scipy.stats.norm.interval(0.95, x.mean(), x.std() / 20)
    assert found.estimate == pytest.approx(x.mean(), rel=1e-14)
    np.testing.assert_allclose(found[1:3], expected, atol=0.03 * (expected[1] - expected[0]))
    assert found.level == 0.95


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_skewed_values_against_scipy(method):
    x = np.random.default_rng(1).exponential(size=25)
    found = bootstrap_interval({"x": x}, level=0.9, method=method, resamples=40_000)["x"]
    expected = scipy.stats.bootstrap(
        (x,),
        np.mean,
        confidence_level=0.9,
        method={"bca": "BCa"}.get(method, method),
        n_resamples=40_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    np.testing.assert_allclose(found[1:3], expected, atol=0.02)


def test_biased_figure_against_scipy():
    """The variance with denominator n: its resamples are too small on average."""
    x = np.random.default_rng(20).normal(size=15)
    variance = lambda s: {"v": s["squares"] / s["ones"] - (s["x"] / s["ones"]) ** 2}
    table = {"x": x, "squares": x**2, "ones": np.ones(15)}
    found = bootstrap_interval(table, variance, resamples=40_000)["v"]
    expected = scipy.stats.bootstrap(
        (x,), np.var, n_resamples=40_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.estimate == pytest.approx(x.var(), rel=1e-12)
    np.testing.assert_allclose(found[1:3], expected, rtol=0.02)


def test_pooled_figures_against_scipy():
    table = counts(20, 2)
    found = bootstrap_interval(table, POOLED, resamples=20_000)
    everything = pooled_literally(table, range(20))
    assert list(found) == list(everything)
    for name, estimate in everything.items():
        assert found[name].estimate == pytest.approx(estimate, rel=1e-12)

    c = [np.asarray(table[name], float) for name in COUNTS]

    def pq(images, axis=-1):
        tp, fp, fn, iou_sum = (x[images].sum(axis) for x in c[3:])
        return iou_sum / (tp + fp / 2 + fn / 2)

    expected = scipy.stats.bootstrap(
        (np.arange(20),), pq, n_resamples=20_000, rng=np.random.default_rng(0), vectorized=True
    ).confidence_interval
    width = expected[1] - expected[0]
    np.testing.assert_allclose(found["pq_pooled"][1:3], expected, atol=0.03 * width)


def test_two_images_by_enumeration():
    """Of two images a resample is (a, a), (a, b), (b, b) with chances 1/4, 1/2, 1/4."""
    wide = bootstrap_interval({"x": [0.0, 1.0]}, level=0.6, method="percentile")["x"]
    narrow = bootstrap_interval({"x": [0.0, 1.0]}, level=0.4, method="percentile")["x"]
    assert wide == (0.5, 0.0, 1.0, 0.6)
    assert narrow == (0.5, 0.5, 0.5, 0.4)


def test_intervals_cover_the_true_mean():
    """200 data sets of 40 images: the true mean is inside in about 95 %."""
    sets = np.random.default_rng(3).normal(0.5, 0.2, (200, 40))
    found = bootstrap_interval({str(i): x for i, x in enumerate(sets)}, resamples=2000)
    covered = sum(i.low <= 0.5 <= i.high for i in found.values())
    low, high = scipy.stats.binom.interval(0.999, 200, 0.94)  # a little less than 95 % at n = 40
    assert low <= covered <= high


def test_groups_are_resampled_whole():
    """Ten copies of each value, one group each: as wide as the interval of the single values."""
    x = np.random.default_rng(4).normal(size=30)
    copies, patients = np.repeat(x, 10), np.repeat([f"p{i}" for i in range(30)], 10)
    single = bootstrap_interval({"x": x})["x"]
    grouped = bootstrap_interval({"x": copies}, groups=patients)["x"]
    ungrouped = bootstrap_interval({"x": copies})["x"]
    np.testing.assert_allclose(grouped, single, rtol=1e-12)
    ratio = (grouped.high - grouped.low) / (ungrouped.high - ungrouped.low)
    assert ratio == pytest.approx(math.sqrt(10), rel=0.08)


def test_mean_over_images_of_unequal_groups():
    """The estimate stays that over images, and the sums of groups go into the interval."""
    found = bootstrap_interval(
        {"x": [1.0, 2.0, 3.0, NAN]}, groups=[0, 0, 1, 1], method="percentile", level=0.9
    )["x"]
    assert found == (2.0, 1.5, 3.0, 0.9)


def test_skipped_images_are_left_out_of_each_mean():
    rng = np.random.default_rng(5)
    x, y = rng.random((2, 30))
    with_nan = np.where(np.arange(30) < 4, NAN, x)
    found = bootstrap_interval({"x": with_nan, "y": y})
    assert found["x"] == bootstrap_interval({"x": x[4:]})["x"]
    assert found["y"] == bootstrap_interval({"y": y})["y"]
    assert list(found) == ["x", "y"]


def test_degenerate_samples():
    table = {"same": [0.1] * 3, "one": [NAN, NAN, 0.3], "none": [NAN] * 3}
    for method in ("bca", "percentile"):
        found = bootstrap_interval(table, method=method)
        assert set(found) == set(table)
        same = found["same"]
        assert same.low == same.high == same.estimate == pytest.approx(0.1, rel=1e-15)
        assert found["one"].estimate == 0.3
        assert np.isnan(found["one"][1:3]).all()
        assert np.isnan(found["none"][:3]).all()
    empty = {name: [0, 0] for name in COUNTS}
    assert all(np.isnan(i[:3]).all() for i in bootstrap_interval(empty, POOLED).values())


def test_constant_values_have_an_interval_of_no_width():
    for n in range(2, 40):
        for i in bootstrap_interval({"x": [0.1] * n, "y": [1 / 3] * n}, resamples=50).values():
            assert i.low == i.high == i.estimate


def test_resamples_that_lack_a_figure_are_left_out():
    """Only one of three images has nuclei: the resamples without it have no pooled figure."""
    table = {name: [4.0, 0.0, 0.0] for name in COUNTS}
    for interval in bootstrap_interval(table, POOLED).values():
        assert interval.low == interval.high == pytest.approx(interval.estimate, rel=1e-12)


def test_order_seed_and_columns():
    table = counts(50, 6)
    patients = np.random.default_rng(6).integers(0, 12, 50)
    order = np.random.default_rng(7).permutation(50)
    shuffled = {name: np.asarray(x)[order] for name, x in table.items()}
    for statistic in ("mean", POOLED):
        for groups in (None, patients):
            once = bootstrap_interval(table, statistic, groups=groups)
            assert once == bootstrap_interval(table, statistic, groups=groups)
            moved = None if groups is None else groups[order]
            assert once == bootstrap_interval(shuffled, statistic, groups=moved)
            other = bootstrap_interval(table, statistic, groups=groups, seed=1)
            assert once != other
            for name, interval in once.items():
                assert interval.estimate == other[name].estimate


@pytest.mark.slow
def test_many_images_in_bounded_memory(monkeypatch):
    """In several blocks the draws are the same."""
    x = np.random.default_rng(8).random(1000)
    once = bootstrap_interval({"x": x}, resamples=100)["x"]
    monkeypatch.setattr("jaxnuc.metrics.confidence._CHUNK", 2500)
    np.testing.assert_allclose(bootstrap_interval({"x": x}, resamples=100)["x"], once, rtol=1e-12)
    monkeypatch.setattr("jaxnuc.metrics.confidence._CHUNK", 10)
    np.testing.assert_allclose(bootstrap_interval({"x": x}, resamples=100)["x"], once, rtol=1e-12)
    large = np.random.default_rng(9).normal(size=100_000)
    assert bootstrap_interval({"x": large}, resamples=20)["x"].low < large.mean()


def test_figures_of_ones_own():
    table = {"part": [1.0, 2.0, 3.0], "whole": [2.0, 2.0, 8.0]}
    ratio = lambda sums: {"share": sums["part"] / sums["whole"]}
    assert bootstrap_interval(table, ratio)["share"].estimate == 0.5
    assert compare(table, table, ratio)["share"].difference == 0


def test_columns_of_scores():
    truth = np.array([[1, 1, 0, 2]])
    scores = [score(truth, p) for p in (truth, truth * 0, truth == 1)]
    assert columns(scores, "values", ["dice"])["dice"].tolist() == [1.0, 0.0, 0.8]
    table = columns(scores, "counts", COUNTS)
    assert table["tp"].tolist() == [2.0, 0.0, 1.0]
    figures = POOLED({name: x.sum() for name, x in table.items()})
    assert figures["dq_pooled"] == 3 / (3 + 3 / 2)
    assert bootstrap_interval(table, POOLED)["dq_pooled"].estimate == figures["dq_pooled"]
    with pytest.raises(ValueError, match="'dice' of values has shape"):
        bootstrap_interval(columns([], "values", ["dice"]))


# ---- comparisons ----


def enumerated(a, b, figure):
    """Every swap of the two methods' images, written out."""
    n = len(a)
    observed = abs(figure(b) - figure(a))
    extreme = 0
    for swap in itertools.product([False, True], repeat=n):
        one = [b[i] if s else a[i] for i, s in enumerate(swap)]
        two = [a[i] if s else b[i] for i, s in enumerate(swap)]
        extreme += abs(figure(two) - figure(one)) >= observed - 1e-12
    return extreme / 2**n


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=7),
    st.sampled_from([1, 10, 1e6, 1e-6]),
)
def test_exact_p_of_means(pairs, scale):
    """Small integers have many ties, which must count as extreme whatever the rounding."""
    a, b = np.array(pairs).T * 0.1 * scale
    found = compare({"x": a}, {"x": b}, resamples=10)["x"]
    whole = np.array(pairs).T
    assert found.p_value == enumerated(*whole.tolist(), lambda x: sum(x) / len(x))
    assert found.difference == pytest.approx(b.mean() - a.mean(), abs=1e-12 * scale)


def test_exact_p_against_scipy():
    a, b = np.random.default_rng(10).normal([[0.0], [0.4]], 1, (2, 12))
    found = compare({"x": a}, {"x": b})["x"]
    expected = scipy.stats.permutation_test(
        (b, a), lambda x, y, axis: x.mean(axis) - y.mean(axis), permutation_type="samples"
    )
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    assert found.difference == pytest.approx(expected.statistic, rel=1e-12)


def test_exact_p_of_pooled_figures():
    """A swap exchanges all counts of an image."""
    a, b = counts(7, 11, 0.75), counts(7, 12, 0.85)
    rows = [list(zip(*(t[c] for c in COUNTS), strict=True)) for t in (a, b)]

    def pq(images):
        *_, tp, fp, fn, iou_sum = np.sum(images, axis=0)
        return iou_sum / (tp + fp / 2 + fn / 2)

    found = compare(a, b, POOLED)["pq_pooled"]
    assert found.p_value == enumerated(*rows, pq)
    assert found.first == pytest.approx(pq(rows[0]), rel=1e-12)
    assert found.second == pytest.approx(pq(rows[1]), rel=1e-12)
    assert found.difference == pytest.approx(found.second - found.first, abs=1e-15)


def test_groups_are_swapped_whole():
    a, b = np.random.default_rng(13).integers(0, 9, (2, 8))
    patients = [0, 0, 1, 2, 2, 2, 3, 3]
    sums = [[int(x[np.array(patients) == p].sum()) for p in range(4)] for x in (a, b)]
    found = compare({"x": a}, {"x": b}, groups=patients)["x"]
    assert found.p_value == enumerated(*sums, lambda x: sum(x) / 8)
    assert found.images == 8


def test_random_swaps_come_close_to_the_exact_p(monkeypatch):
    a, b = np.random.default_rng(14).normal([[0.0], [0.5]], 1, (2, 14))
    exact = compare({"x": a}, {"x": b})["x"].p_value
    monkeypatch.setattr("jaxnuc.metrics.confidence._EXACT", 0)
    random = compare({"x": a}, {"x": b})["x"].p_value
    error = math.sqrt(exact * (1 - exact) / 10_000)
    assert random != exact
    assert abs(random - exact) < 4 * error


def test_p_is_never_zero_and_one_for_identical_methods():
    x = np.random.default_rng(15).random(60)
    clear = compare({"x": x}, {"x": x + 1}, resamples=999)["x"]
    assert clear.p_value == 1 / 1000
    np.testing.assert_allclose([clear.difference, clear.low, clear.high], 1, rtol=1e-12)
    for n in (3, 60):
        same = compare({"x": x[:n]}, {"x": x[:n]})["x"]
        assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    table = counts(30, 16)
    for found in compare(table, table, POOLED).values():
        assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_interval_of_the_difference_is_that_of_the_differences():
    a, b = np.random.default_rng(17).random((2, 200))
    found = compare({"x": a}, {"x": b})["x"]
    expected = bootstrap_interval({"x": b - a})["x"]
    width = expected.high - expected.low
    assert found.difference == pytest.approx(expected.estimate, abs=1e-15)
    np.testing.assert_allclose(found[4:6], expected[1:3], atol=0.04 * width)
    # Much narrower than two intervals apart, where methods rise and fall together.
    together = compare({"x": a}, {"x": a + 0.01 * b})["x"]
    assert together.high - together.low < 0.02 * width


def test_p_values_are_uniform_without_a_difference():
    a, b = np.random.default_rng(18).normal(size=(2, 300, 30))
    found = compare(*({str(i): x for i, x in enumerate(t)} for t in (a, b)), resamples=1000)
    p = [c.p_value for c in found.values()]
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.01


def test_skipped_pairs_are_left_out_and_counted():
    a = {"x": [1.0, NAN, 3.0, 5.0], "y": [1.0, 2.0, 3.0, 4.0]}
    b = {"y": [2.0, 2.0, 3.0, 5.0], "x": [2.0, 2.0, NAN, 5.0]}
    found = compare(a, b)
    assert list(found) == ["x", "y"]
    assert (found["x"].images, found["x"].skipped) == (2, 2)
    assert (found["x"].first, found["x"].second, found["x"].p_value) == (3, 3.5, 1)
    assert (found["y"].images, found["y"].skipped) == (4, 0)
    nothing = compare({"x": [NAN, 1.0]}, {"x": [1.0, NAN]})["x"]
    assert np.isnan(nothing[1:7]).all()
    assert (nothing.images, nothing.skipped) == (0, 2)


def test_images_are_matched_by_name():
    rng = np.random.default_rng(19)
    a, b = {"x": rng.random(40)}, {"x": rng.random(40)}
    names = [f"i{i}" for i in range(40)]
    order = rng.permutation(40)
    expected = compare(a, b)
    shuffled = [names[i] for i in order]
    assert compare(a, {"x": b["x"][order]}, names=(names, shuffled)) == expected
    both = [{"x": t["x"][order]} for t in (a, b)]
    assert compare(*both) == expected
    with pytest.raises(ValueError, match=r"1 \(i0\) only in the first, 1 \(other\) only in the s"):
        compare(a, b, names=(names, ["other", *names[1:]]))
    with pytest.raises(ValueError, match="images are named twice: i1"):
        compare(a, b, names=(names, ["i1", *names[1:]]))
    with pytest.raises(ValueError, match=r"\[40, 1\] names for \[40, 40\] images"):
        compare(a, b, names=(names, ["i1"]))
    with pytest.raises(ValueError, match=r"a has 40 images, b 39"):
        compare(a, {"x": b["x"][1:]})
    with pytest.raises(ValueError, match=r"1 \(x\) only in the first, 1 \(y\) only in the second"):
        compare(a, {"y": b["x"]})


# ---- seeds ----


def test_spread_over_seeds():
    figures = [0.61, 0.65, 0.63, 0.70, NAN]
    found = over_seeds([{"pq": x, "images": 14} for x in figures], level=0.9)
    pq = found["pq"]
    x = np.array(figures[:4])
    interval = scipy.stats.t.interval(0.9, 3, x.mean(), scipy.stats.sem(x))
    np.testing.assert_allclose(pq[:2], [x.mean(), x.std(ddof=1)], rtol=1e-12)
    np.testing.assert_allclose([pq.low, pq.high], interval, rtol=1e-12)
    assert (pq.minimum, pq.maximum, pq.level, pq.runs) == (0.61, 0.70, 0.9, 4)
    assert str(pq) == "0.65 ± 0.04 (4 runs)"
    assert found["images"][:6] == (14, 0, 14, 14, 14, 14)


def test_one_run_has_no_spread():
    found = over_seeds([{"pq": 0.5, "sq": NAN}])
    assert (found["pq"].mean, found["pq"].minimum, found["pq"].runs) == (0.5, 0.5, 1)
    assert np.isnan([found["pq"].std, found["pq"].low, found["pq"].high]).all()
    assert np.isnan(found["sq"][:6]).all()
    assert found["sq"].runs == 0


# ---- form ----


def test_texts():
    assert str(Interval(0.6812, 0.655, 0.7041, 0.95)) == "0.681 [0.655, 0.704]"
    a, b = {"pq": [0.5, 0.6, 0.7]}, {"pq": [0.6, 0.7, 0.8]}
    text = "pq: 0.6000 -> 0.7000, +0.1000 [+0.1000, +0.1000], p = 0.25, 3 images"
    assert str(compare(a, b)["pq"]) == text


@pytest.mark.parametrize(
    ("values", "arguments", "message"),
    [
        ({}, {}, "values has no columns"),
        ({"x": []}, {}, r"'x' of values has shape \(0,\)"),
        ({"x": [[1.0]]}, {}, r"'x' of values has shape \(1, 1\)"),
        ({"x": ["a"]}, {}, "'x' of values is not of numbers"),
        ({"hd": [1.0, math.inf]}, {}, "'hd' of values holds infinities"),
        ({"x": [1.0], "y": [1.0, 2.0]}, {}, "unequal lengths: {'x': 1, 'y': 2}"),
        ({"x": [1.0]}, {"groups": [1, 2]}, r"groups has shape \(2,\) for 1 images"),
        ({"x": [1.0]}, {"statistic": "median"}, "unknown statistic 'median'; known: mean"),
        ({"x": [1.0]}, {"method": "bc"}, "unknown bootstrap method 'bc'; known: bca, percentile"),
        ({"x": [1.0]}, {"level": 95}, r"level 95 is not a confidence in \(0, 1\)"),
        ({"x": [1.0]}, {"resamples": 0}, "0 resamples"),
    ],
)
def test_errors(values, arguments, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, **arguments)


def test_errors_of_seeds():
    with pytest.raises(ValueError, match="no runs"):
        over_seeds([])
    with pytest.raises(ValueError, match=r"the figures are not the same.*\(pq\).*\(sq\)"):
        over_seeds([{"pq": 1}, {"sq": 1}])


@given(st.floats(1e-6, 1e3), st.floats(-1, 1))
def test_figures_are_rounded_to_what_their_interval_supports(half, middle):
    n = decimals(middle - half, middle + half)
    assert 0 <= n <= 4
    if 0 < n < 4:  # of half the width one digit is left, or two up to 35
        assert 3.55 * 0.99 <= half * 10**n <= 35.5 * 1.01
