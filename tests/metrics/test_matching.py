"""Matches against reference values and by hand."""

import numpy as np
import pytest

from jaxnuc.metrics import contingency_table, match
from jaxnuc.metrics.matching import pairs_above


@pytest.mark.parametrize(
    "pair",
    [
        "touching_perturbed",
        "ids_with_gaps_uint16",
        "gt_empty",
        "pred_empty",
        "one_pixel_objects",
        "iou_exact_thresholds",
        "split_and_merge",
        "ties",
        "assignment_needed",
        "border_cut_gaps",
        "multi_component_and_nested",
        "disjoint",
        "single_nested",
    ],
)
@pytest.mark.parametrize(
    ("threshold", "key"), [(0.5, "pq"), (0.7, "pq_match_iou_0.7"), (0.3, "pq_match_iou_0.3")]
)
def test_reference_pairs(golden, pair, threshold, key):
    arrays, scalars = golden("metrics")
    truth, prediction = arrays[f"{pair}__gt"], arrays[f"{pair}__pred"]
    found = match(truth, prediction, threshold)

    truth_ids, prediction_ids = (np.setdiff1d(labels, [0]) for labels in (truth, prediction))
    ranks = np.stack(
        [
            np.searchsorted(truth_ids, found.truth) + 1,
            np.searchsorted(prediction_ids, found.prediction) + 1,
        ],
        axis=1,
    )
    expected = scalars["pairs"][pair]["hovernet"][key]["pairs"]
    if (pair, threshold) == ("ties", 0.3):  # two assignments have the greatest total
        assert (ranks.tolist(), expected) == ([[1, 1], [3, 3]], [[1, 1], [2, 3]])
    else:
        assert ranks.tolist() == expected
    np.testing.assert_array_equal(found.missed, np.setdiff1d(truth_ids, found.truth))
    np.testing.assert_array_equal(found.false, np.setdiff1d(prediction_ids, found.prediction))
    assert (found.iou > threshold).all()


def test_the_greatest_total_beats_the_greatest_pair():
    # IoU: (1, 1) 4/9, (1, 2) 2/6, (2, 1) 3/8. The pair of the greatest IoU excludes the others.
    truth = np.array([[1, 1, 1, 1, 1, 1, 2, 2, 2, 2]])
    prediction = np.array([[2, 2, 1, 1, 1, 1, 1, 1, 1, 0]])
    found = match(truth, prediction, threshold=0)
    assert found.truth.tolist() == [1, 2]
    assert found.prediction.tolist() == [2, 1]
    np.testing.assert_allclose(found.iou, [2 / 6, 3 / 8])


def test_ids_keep_their_dtype_and_value():
    truth = np.array([[0, 2**63, 2**63]], np.uint64)
    found = match(truth, np.array([[1, 0, 0]], np.int32))
    assert found.missed.tolist() == [2**63]
    assert found.false.tolist() == [1]
    assert found.truth.size == found.prediction.size == found.iou.size == 0


def test_exactly_the_threshold_is_no_match():
    truth = np.array([[1, 1]])
    assert match(truth, np.array([[1, 0]]), 0.5).missed.tolist() == [1]
    assert match(truth, np.array([[1, 0]]), 0.49).truth.tolist() == [1]


def test_exactly_the_threshold_is_a_match_where_that_is_asked_for():
    truth = np.array([[1, 1]])
    assert match(truth, np.array([[1, 0]]), 0.5, inclusive=True).truth.tolist() == [1]
    assert match(truth, truth, 1.0, inclusive=True).iou.tolist() == [1.0]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize(
    "pair", ["touching_perturbed", "iou_exact_thresholds", "split_and_merge", "assignment_needed"]
)
def test_reference_matches_by_number(golden, pair, threshold):
    arrays, scalars = golden("metrics")
    expected = scalars["pairs"][pair]["stardist"][f"{threshold}"]
    maps = (arrays[f"{pair}__gt"], arrays[f"{pair}__pred"])
    found = match(*maps, threshold, inclusive=True, matching="count")
    counts = (len(found.truth), len(found.false), len(found.missed))
    assert counts == (expected["tp"], expected["fp"], expected["fn"])
    mean = found.iou.mean() if found.iou.size else 0
    assert mean == pytest.approx(expected["mean_matched_score"], rel=2e-6)


def assignments(pairs):
    """All sets of pairs that share no row and no column."""
    if not pairs:
        yield []
        return
    first, *rest = pairs
    yield from assignments(rest)
    free = [p for p in rest if p[0] != first[0] and p[1] != first[1]]
    yield from ([first, *others] for others in assignments(free))


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.25, 0.5])
@pytest.mark.parametrize("seed", range(8))
def test_both_matchings_equal_the_best_of_all_assignments(seed, threshold, inclusive):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, (5, 6))
    prediction = np.where(rng.random(truth.shape) < 0.4, rng.integers(0, 4, truth.shape), truth)
    table = contingency_table(truth, prediction)
    iou = {(r, c): x for r, c, x in zip(table.rows, table.columns, table.iou, strict=True)}
    reach = lambda pair: iou[pair] >= threshold if inclusive else iou[pair] > threshold
    sum_of = lambda chosen: sum(iou[pair] for pair in chosen)

    candidates = list(iou) if threshold < 0.5 else [pair for pair in iou if reach(pair)]
    every = list(assignments(candidates))
    count = lambda chosen: sum(map(reach, chosen))
    most = max(every, key=lambda chosen: (count(chosen), sum_of(chosen)))
    for matching, best in (("iou", max(every, key=sum_of)), ("count", most)):
        pairs = pairs_above(table, threshold, inclusive=inclusive, matching=matching)
        found = zip(table.rows[pairs], table.columns[pairs], strict=True)
        assert sorted(found) == sorted(filter(reach, best))


def test_the_number_comes_first_only_where_that_is_asked_for():
    # IoU: (1, 1) 6/8, (1, 2) 1/8, (2, 1) 1/8; the first alone is more than the other two.
    truth = np.array([[1, 1, 1, 1, 1, 1, 1, 2, 0]])
    prediction = np.array([[2, 1, 1, 1, 1, 1, 1, 1, 2]])
    by_iou, by_count = (match(truth, prediction, 0.1, matching=m) for m in ("iou", "count"))
    assert (by_iou.truth.tolist(), by_iou.prediction.tolist()) == ([1], [1])
    assert (by_count.truth.tolist(), by_count.prediction.tolist()) == ([1, 2], [2, 1])


def test_an_unknown_matching_is_refused():
    with pytest.raises(ValueError, match="unknown matching 'hungarian'; known: count, iou"):
        match(np.eye(2, dtype=int), np.eye(2, dtype=int), matching="hungarian")


def test_a_threshold_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"threshold 1.0 is not an IoU in \[0, 1\)"):
        match(np.eye(2, dtype=int), np.eye(2, dtype=int), 1.0)
    with pytest.raises(ValueError, match=r"threshold 0 is not an IoU in \(0, 1\] for >="):
        match(np.eye(2, dtype=int), np.eye(2, dtype=int), 0, inclusive=True)
