"""Matches against reference values and by hand."""

import numpy as np
import pytest

from jaxnuc.metrics import match


# Without the pair "ties": there, two assignments have the greatest total.
@pytest.mark.parametrize(
    "pair",
    [
        "touching_perturbed",
        "ids_with_gaps_uint16",
        "iou_exact_thresholds",
        "assignment_needed",
        "border_cut_gaps",
        "multi_component_and_nested",
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
    assert ranks.tolist() == scalars["pairs"][pair]["hovernet"][key]["pairs"]
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


def test_a_threshold_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"threshold 1.0 is not an IoU in \[0, 1\)"):
        match(np.eye(2, dtype=int), np.eye(2, dtype=int), 1.0)
