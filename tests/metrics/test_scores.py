"""The scores against reference values, literal definitions and closed forms."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxnuc.metrics import STANDARD, Scores, score, summarize
from jaxnuc.metrics.base import make

PAIRS = [
    "identical",
    "touching_perturbed",
    "ids_with_gaps_uint16",
    "gt_empty",
    "pred_empty",
    "both_empty",
    "one_pixel_objects",
    "iou_exact_thresholds",
    "split_and_merge",
    "ties",
    "assignment_needed",
    "border_cut_gaps",
    "gt_without_background",
    "multi_component_and_nested",
    "disjoint",
    "single_nested",
    "large_1000_about_900",
]


def metrics_of(scores):
    return np.array(list(scores.values.values()))


def numbers(scores):
    return [*scores.values.values(), *scores.counts.values()]


def random_pair(seed, shape=(30, 34), n=12):
    """Blobs cut from a grid, then shifted and disturbed; splits, merges, gaps in the ids."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    truth = (rows // 6) * 6 + columns // 6 + 1
    truth[rng.random(shape) < 0.1] = 0
    truth[np.isin(truth, rng.choice(36, 8))] = 0
    prediction = np.roll(truth, rng.integers(-2, 3, 2), (0, 1))
    prediction = np.where(rng.random(shape) < 0.15, np.roll(prediction, 3, 1), prediction)
    prediction[np.isin(prediction, rng.choice(36, n))] = 7
    return truth, prediction * 3


# ---- reference values ----


@pytest.mark.parametrize("pair", PAIRS)
def test_reference_values(golden, pair):
    arrays, scalars = golden("metrics")
    expected = scalars["pairs"][pair]
    truth, prediction = arrays[f"{pair}__gt"], arrays[f"{pair}__pred"]
    scores = score(truth, prediction)

    counts = {"tp": scores.pixel_tp, "fp": scores.pixel_fp, "fn": scores.pixel_fn}
    assert counts | {"tn": truth.size - sum(counts.values())} == expected["pixels"]
    assert list(truth.shape) == expected["shape"]
    if pair == "both_empty":  # the reference raises or divides by 0
        assert np.isnan(metrics_of(scores)).all()
        return
    if pair == "gt_without_background":  # the reference cannot relabel it
        overlap = ((truth > 0) & (prediction > 0)).sum()
        assert scores.dice == 2 * overlap / ((truth > 0).sum() + (prediction > 0).sum())
        np.testing.assert_allclose(metrics_of(scores), literal(truth, prediction), rtol=1e-12)
        return

    reference = expected["hovernet"]
    assert scores.dice == pytest.approx(reference["dice_1"], rel=1e-12)
    assert scores.aji_plus == pytest.approx(reference["aji_plus"], rel=1e-12)
    if pair == "pred_empty":  # the reference raises
        assert scores.aji == 0
    else:
        assert scores.aji == pytest.approx(reference["aji"], rel=1e-12)
    for name in ("dice_2", "fast_dice_2"):
        if isinstance(value := reference.get(name), float):
            assert scores.dice2 == pytest.approx(value, rel=1e-12)
        elif value is not None:  # the reference divides by 0 where nothing overlaps
            assert scores.dice2 == 0
    for threshold, key in [(0.5, "pq"), (0.7, "pq_match_iou_0.7"), (0.3, "pq_match_iou_0.3")]:
        scores = score(truth, prediction, threshold)
        for name in ("tp", "fp", "fn"):
            assert getattr(scores, name) == reference[key][name]
        assert scores.tp + scores.fn == reference["n_true"]
        assert scores.tp + scores.fp == reference["n_pred"]
        assert scores.dq == pytest.approx(reference[key]["dq"], rel=1e-12)
        share = scores.tp / (scores.tp + 1e-6)  # as the reference divides
        assert scores.sq * share == pytest.approx(reference[key]["sq"], rel=1e-12)
        assert scores.pq * share == pytest.approx(reference[key]["pq"], rel=1e-12)


def test_reference_means_over_images(golden):
    arrays, scalars = golden("metrics")
    expected = scalars["hovernet_dataset_mean"]
    figures = summarize(
        [score(arrays[f"{pair}__gt"], arrays[f"{pair}__pred"]) for pair in expected["over"]]
    )
    for name in ("aji", "aji_plus", "dq", "sq", "pq"):
        assert figures[f"{name}_image_mean"] == pytest.approx(expected[name], rel=1e-6)
    assert figures["dice_image_mean"] == pytest.approx(expected["dice_1"], rel=1e-12)


@pytest.mark.parametrize("key", ["pooled_pixels", "pooled_pixels_subset"])
def test_reference_pooled_pixels(golden, key):
    arrays, scalars = golden("metrics")
    expected = scalars[key]
    over = PAIRS if expected["over"] == "all pairs" else expected["over"]
    scores = [score(arrays[f"{p}__gt"], arrays[f"{p}__pred"]) for p in over]
    for name in ("tp", "fp", "fn"):
        assert sum(getattr(s, f"pixel_{name}") for s in scores) == expected["counts"][name]
    figures = summarize(scores)
    assert figures["dice_pooled"] == pytest.approx(expected["dice"], rel=1e-12)
    assert figures["iou_pooled"] == pytest.approx(expected["iou"], rel=1e-12)
    assert figures["images"] == len(over)
    assert figures["images_skipped"] == over.count("both_empty")


def test_reference_pooled_instances(golden):
    # CoNIC pools the instances of a class over all images before it divides.
    arrays, scalars = golden("metrics")
    truth, prediction = arrays["conic__gt"], arrays["conic__pred"]
    for label, expected in enumerate(scalars["conic"]["pq_plus_per_class"], start=1):
        maps = [np.where(m[..., 1] == label, m[..., 0], 0) for m in (truth, prediction)]
        figures = summarize([score(t, p) for t, p in zip(*maps, strict=True)])
        assert figures["pq_pooled"] == pytest.approx(expected, rel=1e-6)


# ---- literal definitions ----


def literal(truth, prediction, threshold=0.5):
    """Dense and slow, from the definitions, for maps that both hold instances."""
    a, b = truth > 0, prediction > 0
    dice = 2 * (a & b).sum() / (a.sum() + b.sum())
    iou = (a & b).sum() / (a | b).sum()
    truths = [truth == i for i in np.unique(truth) if i]
    predictions = [prediction == i for i in np.unique(prediction) if i]
    table = np.array([[(t & p).sum() / (t | p).sum() for p in predictions] for t in truths])

    def aggregated(pairs):
        shared = sum((truths[i] & predictions[j]).sum() for i, j in pairs)
        union = sum((truths[i] | predictions[j]).sum() for i, j in pairs)
        union += sum(t.sum() for i, t in enumerate(truths) if i not in {i for i, _ in pairs})
        union += sum(p.sum() for j, p in enumerate(predictions) if j not in {j for _, j in pairs})
        return shared / union

    greedy = [(i, int(row.argmax())) for i, row in enumerate(table) if row.max() > 0]
    optimal = [(i, j) for i, j in enumerate(best_assignment(table)) if j >= 0]
    candidates = optimal if threshold < 0.5 else list(np.ndindex(table.shape))
    matched = [table[pair] for pair in candidates if table[pair] > threshold]
    tp, fp, fn = len(matched), len(predictions) - len(matched), len(truths) - len(matched)
    dq = tp / (tp + 0.5 * fp + 0.5 * fn)
    sq = sum(matched) / tp if tp else 0

    pairs = [(t, p) for t, p in itertools.product(truths, predictions) if (t & p).any()]
    dice2 = sum(2 * (t & p).sum() for t, p in pairs) / sum(t.sum() + p.sum() for t, p in pairs)
    areas = [truths[i].sum() + predictions[j].sum() for i, j in greedy]
    areas += [t.sum() for i, t in enumerate(truths) if i not in {i for i, _ in greedy}]
    areas += [p.sum() for j, p in enumerate(predictions) if j not in {j for _, j in greedy}]
    shared = sum((truths[i] & predictions[j]).sum() for i, j in greedy)
    return np.array(
        [
            *(dice, iou, aggregated(greedy), aggregated(optimal), dq, sq, dq * sq),
            *(tp / len(predictions), tp / len(truths), dice2, 2 * shared / sum(areas)),
        ]
    )


def best_assignment(table):
    """Every truth's prediction (-1: none) in the greatest total, by dynamic programming.

    The state is the set of predictions in use; only overlapping pairs are tried.
    """
    states = {frozenset(): (0.0, ())}
    for row in table:
        following = {}
        for used, (total, chosen) in states.items():
            for j in [-1, *np.flatnonzero(row)]:
                if j in used:
                    continue
                key = used if j < 0 else used | {j}
                value = (total + (row[j] if j >= 0 else 0), (*chosen, int(j)))
                if key not in following or value[0] > following[key][0]:
                    following[key] = value
        states = following
    return max(states.values())[1]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_literal_definitions(seed, threshold):
    # Few instances with random areas: totals are never tied, and the literal version ends.
    rng = np.random.default_rng(seed)
    truth = rng.choice(7, (9, 14), p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05])
    moved = np.where(rng.random(truth.shape) < 0.4, rng.integers(0, 7, truth.shape), truth)
    scores = score(truth, moved, threshold)
    np.testing.assert_allclose(metrics_of(scores), literal(truth, moved, threshold), rtol=1e-12)


# ---- properties ----


@pytest.mark.parametrize("seed", range(5))
def test_ids_do_not_matter(seed):
    truth, prediction = random_pair(seed)
    scores = metrics_of(score(truth, prediction, 0.3))
    # Ascending new ids keep the order that decides ties: not one bit may change.
    rng = np.random.default_rng(seed)
    new_ids = np.sort(rng.choice(2**62, 200, replace=False)) + 2**62
    new_ids[0] = 0
    for dtype in (np.int64, np.uint64):
        renamed = new_ids.astype(dtype)
        again = score(renamed[truth], renamed[prediction], 0.3)
        np.testing.assert_array_equal(metrics_of(again), scores)


@pytest.mark.parametrize("seed", range(5))
def test_symmetric_where_the_definition_is(seed):
    truth, prediction = random_pair(seed)
    there, back = score(truth, prediction), score(prediction, truth)
    for name in ("dice", "iou", "dq", "sq", "pq", "tp"):
        assert getattr(there, name) == pytest.approx(getattr(back, name), rel=1e-12)
    assert (there.fp, there.fn) == (back.fn, back.fp)
    assert there.iou == pytest.approx(there.dice / (2 - there.dice), rel=1e-12)


@pytest.mark.parametrize("threshold", [0, 0.3, 0.5, 0.99])
def test_identical_maps_score_exactly_one(threshold):
    truth, _ = random_pair(0)
    assert (metrics_of(score(truth, truth, threshold)) == 1).all()


def test_many_instances_need_no_dense_matrix():
    # 110,889 instances, 100 GB as a dense matrix. The prediction moves squares of 3x3 pixels down
    # by one row; as each loses its last row, none reaches the next one.
    n = 333
    truth = np.kron(np.arange(1, n * n + 1).reshape(n, n), np.ones((3, 3), np.int64))
    truth[2::3] = 0
    prediction = np.roll(truth, 1, 0)
    scores = score(truth, prediction, 0.2)
    assert scores.tp == n * n
    # 2x3 pixels each, moved by one: 3 of 9 shared.
    for value in (scores.aji, scores.aji_plus, scores.pq, scores.sq):
        assert value == pytest.approx(1 / 3, rel=1e-12)
    assert scores.dice == 1 / 2


def test_one_chain_of_competing_instances():
    # Every instance overlaps four others, so that the whole image is one assignment problem.
    n = 60
    truth = np.kron(np.arange(1, n * n + 1).reshape(n, n), np.ones((3, 3), np.int64))
    prediction = np.roll(truth, (1, 1), (0, 1))
    scores = score(truth, prediction, 0.25)
    for value in (scores.aji, scores.aji_plus, scores.pq):
        assert value == pytest.approx(4 / 14, rel=1e-12)
    assert score(truth, prediction).pq == 0


def test_a_prediction_taken_twice_counts_twice_in_aji_only():
    truth = np.array([[1, 1, 1, 1, 2, 2, 2, 2]])
    scores = score(truth, np.ones_like(truth))
    assert scores.aji == 8 / 16
    assert scores.aji_plus == 4 / 12


@pytest.mark.parametrize(("small", "large", "aji"), [(1, 2, 2 / (6 + 10)), (2, 1, 4 / (12 + 2))])
def test_aji_gives_a_tie_to_the_lowest_id(small, large, aji):
    # The truth of 6 pixels shares 2 of 6 with the small prediction, 4 of 12 with the large one.
    truth = np.array([[1] * 6 + [0] * 6])
    prediction = np.array([[small] * 2 + [large] * 10])
    assert score(truth, prediction).aji == aji


@pytest.mark.parametrize(
    ("empty", "value"), [("skip", math.nan), ("nan", math.nan), ("one", 1.0), ("zero", 0.0)]
)
def test_empty_images(empty, value):
    nothing, something = np.zeros((4, 5), int), np.eye(4, 5, dtype=int)
    both = score(nothing, nothing, empty=empty)
    np.testing.assert_array_equal(metrics_of(both), [value] * len(STANDARD))
    for truth, prediction in itertools.permutations([nothing, something]):
        one_sided = score(truth, prediction, empty=empty)
        np.testing.assert_array_equal(metrics_of(one_sided), [0] * len(STANDARD))
        assert (one_sided.tp, one_sided.fp + one_sided.fn) == (0, 1)

    figures = summarize([both, score(something, something, empty=empty)])
    mean = 1 if empty == "skip" else (value + 1) / 2
    np.testing.assert_equal(figures["dice_image_mean"], mean)
    assert figures["images_skipped"] == (empty == "skip")
    assert figures["pq_pooled"] == figures["iou_pooled"] == 1


def test_summary_of_nothing_but_empty_images_is_nan():
    summary = summarize([score(np.zeros((2, 2), int), np.zeros((2, 2), int))], level=0.95)
    assert not summary.intervals
    figures = dict(summary)
    assert figures.pop("images") == figures.pop("images_skipped") == 1
    assert len(figures) == len(STANDARD) + 7
    assert all(math.isnan(value) for value in figures.values())


def test_groups_of_nothing_but_empty_images_have_no_intervals():
    nothing = score(np.zeros((3, 3), int), np.zeros((3, 3), int))
    summary = summarize([nothing, nothing], ["breast", "colon"], level=0.95)
    assert math.isnan(summary["pq_group_mean"])
    assert not summary.intervals


def of_counts(*counts):
    """Scores whose metrics are 0.1, 0.2, ... and whose counts are given."""
    names = ("pixel_tp", "pixel_fp", "pixel_fn", "tp", "fp", "fn", "iou_sum")
    named = dict(zip(names, counts, strict=True))
    values = {name: k / 10 for k, name in enumerate(STANDARD, 1)}
    return Scores(values, named, named["tp"] + named["fn"], 1, make(STANDARD))


def test_pooled_figures_come_from_the_sums():
    figures = summarize([of_counts(10, 0, 20, 1, 0, 0, 0.8), of_counts(30, 0, 0, 3, 3, 3, 1.8)])
    assert figures["dice_pooled"] == 80 / 100
    assert figures["iou_pooled"] == 40 / 60
    assert figures["dq_pooled"] == 4 / 7
    assert figures["sq_pooled"] == pytest.approx(2.6 / 4)
    assert figures["pq_pooled"] == pytest.approx(2.6 / 7)
    assert figures["precision_pooled"] == figures["recall_pooled"] == 4 / 7


def squares(n):
    """n of nine squares in one image."""
    labels = np.zeros((12, 12), int)
    for i in range(n):
        labels[4 * (i // 3) + 1 : 4 * (i // 3) + 4, 4 * (i % 3) + 1 : 4 * (i % 3) + 4] = i + 1
    return labels


def test_group_means_weigh_groups_and_not_images():
    found = {"breast": [8, 8, 8], "colon": [4], "skin": [0]}
    scores, groups = [], []
    for tissue, counts in found.items():
        for n in counts:
            truth = squares(8 if tissue != "skin" else 0)  # skin is empty on both sides: left out
            scores.append(score(truth, squares(n)))
            groups.append(tissue)
    figures = summarize(scores, groups, level=0.9)
    assert figures["recall_image_mean"] == (1 + 1 + 1 + 0.5) / 4
    assert figures["recall_group_mean"] == (1 + 0.5) / 2
    low, high = figures.intervals["recall_group_mean"][1:3]
    assert 0.5 <= low <= figures["recall_group_mean"] <= high <= 1
    with pytest.raises(ValueError, match="2 groups for 5 images"):
        summarize(scores, ["breast", "colon"])


def test_intervals_hold_their_figures_and_do_not_depend_on_the_order():
    scores = [score(squares(9), squares(n)) for n in (9, 8, 7, 9, 3, 5, 9, 6)]
    summary = summarize(scores, level=0.95)
    assert set(summary.intervals) == set(summary) - {"images", "images_skipped"}
    for name, interval in summary.intervals.items():
        assert interval.low <= summary[name] <= interval.high
        assert interval.estimate == pytest.approx(summary[name], rel=1e-12)
    again = summarize(scores[::-1], level=0.95)
    assert dict(again) == pytest.approx(dict(summary), rel=1e-12)
    for name, interval in again.intervals.items():
        assert interval == pytest.approx(summary.intervals[name], rel=1e-12)


def test_scores_of_different_conventions_are_not_summed_up():
    maps = (squares(3), squares(2))
    with pytest.raises(ValueError, match=r"IoU > 0\.5.*IoU >= 0\.5"):
        summarize([score(*maps), score(*maps, inclusive=True)])


def test_records_print_as_tables_with_their_conventions():
    scores = score(squares(3), squares(2), 0.3, "one", matching="count", border=2, tolerance=1)
    text = str(scores)
    assert "recall         1.0000" in text  # nothing is left: all squares are near the border
    assert "match: one to one, IoU > 0.3" in text
    assert "most pairs" in text
    assert "within 2 px of it left out" in text
    assert "pixels within 1 px" in text
    lines = str(summarize([score(squares(3), squares(2))] * 3, level=0.95)).splitlines()
    assert lines[0].split() == ["image", "mean", "pooled"]
    pq = next(line for line in lines if line.startswith("pq"))
    assert pq.split() == ["pq", *["0.8000", "[0.8000,", "0.8000]"] * 2]
    assert any(line.startswith("aggregation") or line.startswith("match") for line in lines)


# ---- properties ----

maps = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(*[arrays(np.int64, shape, elements=st.integers(0, 4))] * 2)
)
many = settings(max_examples=150, deadline=None, derandomize=True)


@pytest.mark.slow
@many
@given(maps)
def test_bounds_and_identities(pair):
    scores = score(*pair, empty="zero")
    for value in metrics_of(scores):
        assert 0 <= value <= 1
    assert scores.pq == pytest.approx(scores.dq * scores.sq, abs=1e-15)
    assert scores.iou == pytest.approx(scores.dice / (2 - scores.dice), abs=1e-15)
    assert scores.aji <= scores.iou + 1e-15
    assert scores.aji_plus <= scores.iou + 1e-15
    assert scores.dq <= min(2 * scores.precision, 2 * scores.recall) + 1e-15
    assert np.array_equal(metrics_of(score(pair[0], pair[0], empty="one")), np.ones(len(STANDARD)))


@pytest.mark.slow
@many
@given(maps, st.sampled_from([0.2, 0.5, 0.75]))
def test_flips_and_translation_change_nothing(pair, threshold):
    expected = numbers(score(*pair, threshold))
    transposed = [m.T for m in pair]
    flipped = [m[::-1, ::-1] for m in pair]
    moved = [np.pad(m, ((2, 1), (0, 3))) for m in pair]
    for other in (transposed, flipped, moved):
        np.testing.assert_allclose(numbers(score(*other, threshold)), expected, rtol=1e-12)


@pytest.mark.slow
@many
@given(maps, st.permutations(range(1, 5)), st.permutations(range(1, 5)))
def test_renaming_changes_nothing_that_is_not_tied(pair, new_truth, new_prediction):
    names = [np.array([0, *order]) ** 9 * 10**9 for order in (new_truth, new_prediction)]
    renamed = [n[m] for n, m in zip(names, pair, strict=True)]
    before, after = score(*pair), score(*renamed)
    for name in ("dice", "iou", "dq", "sq", "pq", "precision", "recall", "dice2"):
        left, right = getattr(before, name), getattr(after, name)
        assert left == pytest.approx(right, rel=1e-12, nan_ok=True)


@pytest.mark.slow
@many
@given(st.lists(maps, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_images_changes_nothing(images, random):
    scores = [score(*pair) for pair in images]
    before = summarize(scores)
    random.shuffle(scores)
    assert dict(summarize(scores)) == pytest.approx(dict(before), rel=1e-12, nan_ok=True)
    dice, iou = before["dice_pooled"], before["iou_pooled"]
    assert iou == pytest.approx(dice / (2 - dice), rel=1e-12, nan_ok=True)


@pytest.mark.slow
@many
@given(maps, st.integers(1, 8))
def test_chunks_of_an_image_pool_to_the_whole_in_pixels(pair, label_set):
    pieces = [part for part in zip(*(np.split(m, [label_set]) for m in pair), strict=True)]
    whole = summarize([score(*pair)])
    parts = summarize([score(*piece) for piece in pieces])
    for name in ("dice_pooled", "iou_pooled"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-12, nan_ok=True)


def test_one_nucleus_over_the_whole_image():
    everything = np.ones((300, 300), np.uint8)
    assert (metrics_of(score(everything, everything)) == 1).all()
    half = everything.copy()
    half[150:] = 0
    scores = score(everything, half)
    assert (scores.iou, scores.aji, scores.tp) == (0.5, 0.5, 0)
    assert score(everything, half, inclusive=True).pq == 0.5


def test_unknown_choices_are_refused():
    labels = np.ones((2, 2), int)
    with pytest.raises(
        ValueError, match=r"'skp'; known: nan, one, skip, zero; did you mean 'skip'"
    ):
        score(labels, labels, empty="skp")
    for threshold in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"not an IoU in \[0, 1\)"):
            score(labels, labels, threshold)
    with pytest.raises(ValueError, match="no scores"):
        summarize([])
