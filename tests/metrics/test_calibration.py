"""Calibration against a literal loop, closed forms and simulations whose truth is known."""

import csv
import io
import math

import numpy as np
import pytest

from jaxnuc.metrics import (
    Calibration,
    Classes,
    Conventions,
    ImagePair,
    Scored,
    Scores,
    match,
    score,
    score_image,
    summarize,
)
from jaxnuc.metrics.base import make
from jaxnuc.metrics.calibration import calibration_counts


def simulated(rng, images=40, nuclei=250, right=lambda scores: scores):
    """Nuclei of which a share `right(score)` is matched."""
    found = []
    for _ in range(images):
        scores = rng.random(nuclei)
        found.append(Scored(scores, rng.random(nuclei) < right(scores)))
    return found


def literally(images, bins):
    """Counts, mean scores, precisions, ECE, MCE and Brier score, nucleus by nucleus."""
    inside = [[] for _ in range(bins)]
    for image in images:
        for s, m in zip(image.scores.tolist(), image.right.tolist(), strict=True):
            b = next(b for b in range(bins) if s <= (b + 1) / bins)
            inside[b].append((s, m))
    everything = [pair for pairs in inside for pair in pairs]
    counts = [len(pairs) for pairs in inside]
    means = [sum(s for s, _ in p) / len(p) if p else math.nan for p in inside]
    precisions = [sum(m for _, m in p) / len(p) if p else math.nan for p in inside]
    gaps = [abs(p - s) for p, s in zip(precisions, means, strict=True)]
    ece = sum(n / len(everything) * g for n, g in zip(counts, gaps, strict=True) if n)
    brier = sum((s - m) ** 2 for s, m in everything) / len(everything)
    return counts, means, precisions, ece, max(g for g in gaps if g == g), brier


@pytest.mark.parametrize("bins", [1, 7, 10])
def test_figures_are_those_of_a_loop(bins):
    rng = np.random.default_rng(bins)
    images = [*simulated(rng, 5, 30, np.square), Scored(np.zeros(0), np.zeros(0, bool))]
    # Scores at edges and ends, and bins that stay empty.
    edges = np.arange(bins + 1) / bins
    images += [Scored(edges, rng.random(bins + 1) < 0.5)]
    images = [Scored(s[s < 0.75], m[s < 0.75]) for s, m in images]
    images += [Scored(np.ones(1), np.ones(1, bool))]
    found = Calibration.of(images, bins)
    counts, means, precisions, *figures = literally(images, bins)
    assert found.counts.tolist() == counts
    assert bins < 10 or 0 in counts
    np.testing.assert_allclose(found.mean_scores, means, rtol=1e-12)
    np.testing.assert_allclose(found.precisions, precisions, rtol=1e-12)
    np.testing.assert_allclose(
        [found.expected_error, found.maximum_error, found.brier], figures, rtol=1e-12
    )


def test_overconfident_scores_have_their_closed_form():
    images = [Scored(np.full(10, 0.9), np.arange(10) % 2 == 0)] * 3
    found = Calibration.of(images)
    assert found.expected_error == pytest.approx(0.4)
    assert found.maximum_error == pytest.approx(0.4)
    assert found.brier == pytest.approx((0.9**2 + 0.1**2) / 2)
    assert found.counts.tolist() == [0] * 8 + [30, 0]  # an edge belongs to the bin below
    sure = Calibration.of([Scored(np.array([1.0, 0.0]), np.array([True, False]))])
    assert (sure.expected_error, sure.maximum_error, sure.brier) == (0, 0, 0)


def test_scores_that_are_probabilities_are_calibrated():
    found = Calibration.of(simulated(np.random.default_rng(0)))
    assert found.expected_error < 0.02
    assert found.brier == pytest.approx(1 / 6, abs=0.005)  # the mean of s (1 - s)
    # P(matched) = s^2 instead of s: the mean of s - s^2 is 1/6 as well.
    found = Calibration.of(simulated(np.random.default_rng(0), right=np.square))
    assert found.expected_error == pytest.approx(1 / 6, abs=0.01)


def test_the_interval_holds_the_true_error():
    # Always 0.8 where 0.6 is right: the error is 0.2, its standard error that of a proportion.
    rng = np.random.default_rng(1)
    images = [Scored(np.full(25, 0.8), rng.random(25) < 0.6) for _ in range(64)]
    (metric,) = make(["calibration_error"])
    counts = [calibration_counts(image, metric.prefix) for image in images]
    scores = [Scores({}, c, 25, 25, (metric,)) for c in counts]
    summary = summarize(scores, level=0.95)
    interval = summary.intervals["calibration_error_pooled"]
    assert interval.low < 0.2 < interval.high
    width = 2 * 1.96 * math.sqrt(0.6 * 0.4 / (25 * 64))
    assert interval.high - interval.low == pytest.approx(width, rel=0.3)
    assert interval.estimate == pytest.approx(Calibration.of(images).expected_error)
    assert summary["calibration_error_pooled"] == interval.estimate


def random_maps(rng):
    truth = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((8, 8), int)).astype(np.int32)
    truth[rng.random(truth.shape) < 0.2] = 0
    prediction = np.roll(truth, rng.integers(0, 4), axis=1)
    prediction[prediction == 5] = 0  # an id that no pixel has
    return truth, prediction


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_what_is_right_is_what_panoptic_quality_matches(seed, threshold):
    rng = np.random.default_rng(seed)
    truth, prediction = random_maps(rng)
    scores = rng.random(16).astype(np.float32)
    found = Scored.of(ImagePair.of(truth, prediction, Conventions(threshold), scores=scores))
    ids = np.setdiff1d(prediction, [0])
    np.testing.assert_array_equal(found.scores, scores[ids - 1])
    true_ids = match(truth, prediction, threshold).prediction
    np.testing.assert_array_equal(found.right, np.isin(ids, true_ids))
    precision = score(truth, prediction, threshold=threshold).precision
    assert found.right.mean() == pytest.approx(precision)


@pytest.mark.parametrize("seed", range(4))
def test_classes_are_those_of_matched_nuclei_one_by_one(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = random_maps(rng)
    true_classes = rng.permutation([-1, 0] * 2 + [1, 2] * 6)  # of ids 1..16, which are all there
    classes, probabilities = rng.permutation([0] * 2 + [1, 2] * 7), rng.random((16, 3))
    given = Classes(("a", "b"), true_classes, classes, probabilities)
    found = Scored.of_classes(ImagePair.of(truth, prediction, Conventions(0.2), classes=given))
    expected = []
    pairs = match(truth, prediction, 0.2)
    for true_id, predicted_id in zip(pairs.truth, pairs.prediction, strict=True):
        true, predicted = true_classes[true_id - 1], classes[predicted_id - 1]
        if true > 0 and predicted > 0:
            expected.append((probabilities[predicted_id - 1, predicted], true == predicted))
    assert 3 < len(expected) < len(pairs.truth)
    assert sorted(zip(*found, strict=True)) == sorted(expected)


def test_ignored_regions_are_left_out():
    truth, prediction = np.array([[1, 1, 0, 0, 0, 0]]), np.array([[1, 1, 0, 2, 2, 3]])
    ignore = np.array([[0, 0, 0, 1, 1, 0]], bool)
    image = ImagePair.of(truth, prediction, ignore=ignore, scores=[0.9, 0.8, 0.3])
    found = Scored.of(image)
    assert found.scores.tolist() == [0.9, 0.3]
    assert found.right.tolist() == [True, False]


def test_without_nuclei_nothing_is_a_number():
    image = ImagePair.of(np.ones((2, 2), int), np.zeros((2, 2), int), scores=[])
    found = Calibration.of([Scored.of(image)] * 2)
    assert math.isnan(found.expected_error)
    assert math.isnan(found.brier)
    assert math.isnan(found.maximum_error)
    assert found.counts.tolist() == [0] * 10
    metrics = make(["calibration_error", "brier"])
    summary = summarize([score_image(image, metrics)] * 2, level=0.95)
    assert math.isnan(summary["brier_pooled"])
    assert not summary.intervals


def test_the_bins_are_written():
    found = Calibration.of(simulated(np.random.default_rng(2), 3, 20), 5)
    read = list(csv.DictReader(io.StringIO(found.csv())))
    assert [float(row["low"]) for row in read] == [0, 0.2, 0.4, 0.6, 0.8]
    assert [int(row["count"]) for row in read] == found.counts.tolist()
    np.testing.assert_array_equal([float(row["precision"]) for row in read], found.precisions)
    assert found.json()["bins"] == found.rows()
    assert found.json()["expected_error"] == found.expected_error


def test_what_is_no_probability_is_refused():
    for value in (1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"scores reach from .* in \[0, 1\]"):
            Calibration.of([Scored(np.array([0.5, value]), np.array([True, True]))])
    with pytest.raises(ValueError, match="no images"):
        Calibration.of([])
    with pytest.raises(ValueError, match="bins is 0"):
        Calibration.of([Scored(np.zeros(1), np.zeros(1, bool))], 0)
    with pytest.raises(ValueError, match=r"shape \(2,\) and matches of shape \(1,\)"):
        Calibration.of([Scored(np.zeros(2), np.zeros(1, bool))])
    with pytest.raises(ValueError, match=r"shape \(1,\), but predicted ids reach 2"):
        ImagePair.of(np.array([[1, 2]]), np.array([[1, 2]]), scores=[0.5])
