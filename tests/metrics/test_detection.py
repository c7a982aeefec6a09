"""Detection scores against StarDist's values and the definitions."""

import math

import numpy as np
import pytest

from jaxnuc.metrics import ImagePair
from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.metrics.detection import (
    THRESHOLDS,
    aggregate_detections,
    detections,
)
from jaxnuc.metrics.overlapping import overlapping_table
from jaxnuc.metrics.protocols.dsb2018 import Protocol

RATIOS = (
    "precision",
    "recall",
    "f1",
    "accuracy",
    "mean_true_score",
    "mean_matched_score",
    "panoptic_quality",
)
FIELDS = ("tp", "fp", "fn", "n_true", "n_pred", *RATIOS)
STARDIST = (0.3, 0.5, 0.7, 0.9)
EMPTY = np.zeros((4, 4), int)


def _assert_equal(found, expected):
    for name in FIELDS:
        assert getattr(found, name) == pytest.approx(expected[name], abs=2e-6), name


def test_every_pair_of_the_reference(golden):
    arrays, scalars = golden("metrics")
    for pair, values in scalars["pairs"].items():
        table = contingency_table(arrays[f"{pair}__gt"], arrays[f"{pair}__pred"])
        for found in detections(table, STARDIST, empty="zero"):
            _assert_equal(found, values["stardist"][str(found.threshold)])


@pytest.mark.parametrize("by_image", [False, True])
def test_a_data_set_of_the_reference(golden, by_image):
    arrays, scalars = golden("metrics")
    images = [
        detections(
            contingency_table(arrays[f"{pair}__gt"], arrays[f"{pair}__pred"]), STARDIST, empty="one"
        )
        for pair in scalars["stardist_dataset"]["over"]
    ]
    # The rule of the aggregation counts, not that of the images.
    for found in aggregate_detections(images, by_image=by_image, empty="zero"):
        expected = scalars["stardist_dataset"][f"by_image_{by_image}"][str(found.threshold)]
        _assert_equal(found, expected)


def test_from_the_definition_at_many_thresholds():
    rng = np.random.default_rng(0)
    truth = np.kron(np.arange(36).reshape(6, 6), np.ones((8, 8), int))
    prediction = np.roll(truth, (1, 2), (0, 1)) * (rng.random(truth.shape) < 0.9)
    iou = np.zeros((35, 35))
    for i in range(35):
        for j in range(35):
            a, b = truth == i + 1, prediction == j + 1
            iou[i, j] = (a & b).sum() / (a | b).sum()
    for found in detections(contingency_table(truth, prediction), np.linspace(0.505, 0.995, 50)):
        above = iou >= found.threshold  # unique above 1/2
        assert found.tp == above.sum()
        assert found.iou_sum == pytest.approx(iou[above].sum())
        assert found.accuracy == found.tp / (70 - found.tp)


def test_conventions_by_argument():
    # IoU: (1, 1) 1/2, (1, 2) 1/2.
    table = contingency_table(np.array([[1, 1]]), np.array([[1, 2]]))
    assert [found.tp for found in detections(table, (0.5,))] == [1]
    assert [found.tp for found in detections(table, (0.5,), inclusive=False)] == [0]
    # IoU: (1, 1) 4/9, (1, 2) 2/6, (2, 1) 3/8: above .4, the pair of the greatest total is lost.
    truth = np.array([[1, 1, 1, 1, 1, 1, 2, 2, 2, 2]])
    table = contingency_table(truth, np.array([[2, 2, 1, 1, 1, 1, 1, 1, 1, 0]]))
    assert [found.tp for found in detections(table, (0.4,))] == [1]
    assert [found.tp for found in detections(table, (0.4,), matching="iou")] == [0]


def test_instances_that_overlap_match_one_to_one():
    square = np.ones((2, 2), bool)
    table = overlapping_table([(0, 0, square)], [(0, 0, square), (0, 0, square)], (4, 4))
    (found,) = detections(table, (0.9,))
    assert (found.tp, found.fp, found.fn) == (1, 1, 0)


@pytest.mark.parametrize(
    ("empty", "expected"), [("one", 1.0), ("zero", 0.0), ("skip", math.nan), ("nan", math.nan)]
)
def test_images_without_nuclei(empty, expected):
    nothing = contingency_table(EMPTY, EMPTY)
    (found,) = detections(nothing, (0.5,), empty=empty)
    for name in RATIOS:
        np.testing.assert_equal(getattr(found, name), expected)
    for by_image in (False, True):
        (alone,) = aggregate_detections([(found,)], by_image=by_image, empty=empty)
        np.testing.assert_equal(alone.f1, expected)

    full = contingency_table(np.array([[1]]), np.array([[1]]))
    images = [detections(table, (0.5,), empty=empty) for table in (nothing, full)]
    mean = {"one": 1.0, "zero": 0.5, "skip": 1.0, "nan": math.nan}[empty]
    np.testing.assert_equal(
        aggregate_detections(images, by_image=True, empty=empty)[0].accuracy, mean
    )
    assert aggregate_detections(images, empty=empty)[0].accuracy == 1


@pytest.mark.parametrize("swap", [False, True])
def test_one_side_without_nuclei_scores_zero(swap):
    sides = (EMPTY, EMPTY + 1)[:: -1 if swap else 1]
    (found,) = detections(contingency_table(*sides), (0.5,), empty="one")
    assert (found.tp, found.fp, found.fn) == ((0, 0, 1) if swap else (0, 1, 0))
    assert all(getattr(found, name) == 0 for name in RATIOS)


def test_the_score_of_the_data_science_bowl():
    # IoU 3/4 and 1: 2/2 at the five thresholds below 3/4, 1/3 at the others, 3/4 itself included.
    first = contingency_table(np.array([[1, 1, 1, 1, 2]]), np.array([[1, 1, 1, 0, 2]]))
    second = contingency_table(np.array([[1, 1]]), np.array([[1, 2]]))
    nothing = contingency_table(EMPTY, EMPTY)  # skipped
    for tables, expected in [
        ([first], (5 * 1 + 5 / 3) / 10),
        ([first, second], (5 * 1 + 5 / 3) / 20),
        ([first, nothing], (5 * 1 + 5 / 3) / 10),
        ([nothing], math.nan),
    ]:
        states = [Protocol().state(ImagePair(table)) for table in tables]
        (figure,) = Protocol().figures(states, ())
        assert figure.value == pytest.approx(expected, nan_ok=True)


def test_a_flood_of_nuclei():
    truth = np.zeros((1000, 1000), int)
    truth[::3, ::3] = np.arange(334**2).reshape(334, 334) + 2**40
    prediction = truth.copy()
    prediction[:500] = 0
    found = detections(contingency_table(truth, prediction))
    assert [f.threshold for f in found] == list(THRESHOLDS)
    assert {(f.tp, f.fp, f.fn) for f in found} == {(167 * 334, 0, 167 * 334)}


def test_mistakes_are_named():
    table = contingency_table(EMPTY, EMPTY)
    with pytest.raises(ValueError, match=r"unknown rule for empty images 'on'.*did you mean 'one'"):
        detections(table, empty="on")
    with pytest.raises(ValueError, match="unknown rule"):
        aggregate_detections([detections(table)], empty="all")
    with pytest.raises(ValueError, match="threshold 0 is not an IoU"):
        detections(table, (0,))
    with pytest.raises(ValueError, match="the data set has no images"):
        aggregate_detections([])
    with pytest.raises(ValueError, match=r"thresholds \[0.5\] of the first image, \[0.7\]"):
        aggregate_detections([detections(table, (0.5,)), detections(table, (0.7,))])
