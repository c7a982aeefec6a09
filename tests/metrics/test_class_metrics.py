"""Metrics of classes: a hand-made data set whose figures are known in closed form."""

import csv
import io

import numpy as np
import pytest

from jaxnuc.metrics import Classes, Evaluation, ImagePair, score_image
from jaxnuc.metrics.base import make

NAMES = ("immune", "tumor", "stroma")
METRICS = make(["mpq", "detection_f1", "class_accuracy", "class_f1"])


def squares(classes):
    """Separate squares of 16 pixels with gaps in their ids, and their class map."""
    instances = np.zeros((16, 40), np.int32)
    for k in range(len(classes)):
        instances[4:8, 8 * k + 2 : 8 * k + 6] = 3 * k + 1
    return instances, np.repeat([0, *classes], [1, *[3] * len(classes)])[instances]


def pair(true, found):
    (truth, true_map), (prediction, _) = squares(true), squares(found)
    of_ids = np.repeat(np.array(found, int), 3)  # of the ids 1..N
    return ImagePair.of(truth, prediction, classes=Classes(NAMES, true_map, of_ids))


@pytest.fixture
def evaluation():
    images = [
        ([1, 1, 2, 2], [1, 2, 2, 2, 3]),  # one of two immune, both tumor and one more, a stroma
        ([1, -1, 2], [1, 3, 1]),  # the second is ignored
        ([2], []),
    ]
    scores = [score_image(pair(*image), METRICS) for image in images]
    return Evaluation(["a", "b", "c"], scores, [{}] * 3)


def test_panoptic_quality(evaluation):
    counts, rows = evaluation.counts(), evaluation.by_class()
    for name, expected in {"tp": [2, 2, 0], "fp": [1, 1, 1], "fn": [1, 2, 0]}.items():
        assert [counts[f"class_{name}/{c}"] for c in NAMES] == expected
    expected = [2 / (2 + 1 / 2 + 1 / 2), 2 / (2 + 1 / 2 + 1), 0]
    assert [row["pq_pooled"] for row in rows] == pytest.approx(expected)
    by_image = [np.mean([1 / 1.5, 1 / 1.5]), np.mean([2 / 2.5, 0, 0]), 0]
    assert [row["pq_image_mean"] for row in rows] == pytest.approx(by_image)
    summary = evaluation.summary(level=0.95)
    assert summary["mpq_pooled"] == pytest.approx(np.mean(expected))
    assert summary["mpq_image_mean"] == pytest.approx(np.mean(by_image))
    interval = summary.intervals["mpq_pooled"]
    assert interval.estimate == pytest.approx(np.mean(expected))
    assert interval.low <= interval.estimate <= interval.high


def test_classification_by_centroids(evaluation):
    summary = evaluation.summary()
    # found by centroid: 4 + 3 + 0 of 8 nuclei, with one prediction too many
    assert summary["detection_f1_pooled"] == pytest.approx(14 / (14 + 1 + 1))
    # right: 3 of 4, 1 of 2 whose class is known
    assert summary["class_accuracy_pooled"] == pytest.approx(4 / 6)
    # 2 TP / (2 TP + 2 FPc + 2 FNc + FPd + FNd); pairs with the ignored nucleus are no errors
    f1 = [4 / (4 + 2 + 2), 4 / (4 + 2 + 2 + 1), 0]
    assert [row["class_f1_pooled"] for row in evaluation.by_class()] == pytest.approx(f1)
    assert summary["class_f1_pooled"] == pytest.approx(np.mean(f1))


def test_rows_are_written_as_they_are(evaluation):
    summary = evaluation.summary()
    rows = list(csv.DictReader(io.StringIO(summary.classes_csv())))
    assert [row["class"] for row in rows] == list(NAMES)
    assert [int(row["true_nuclei"]) for row in rows] == [3, 4, 0]
    assert int(rows[1]["predicted_nuclei"]) == 3
    assert float(rows[0]["pq_pooled"]) == summary.classes[0]["pq_pooled"]
    assert "tumor" in str(summary)


def test_true_classes_by_nucleus_are_taken_as_well():
    instances, of_pixels = squares([1, 3])
    of_ids = np.array([1, 1, 1, 3])
    images = [
        ImagePair.of(instances, instances, classes=Classes(NAMES, true, of_ids))
        for true in (of_pixels, np.array([1, 3]))
    ]
    assert score_image(images[0], METRICS) == score_image(images[1], METRICS)


def test_a_class_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="with 3 classes"):
        pair([1, 4], [1, 1])
    instances, classes = squares([1, 2])
    with pytest.raises(ValueError, match="predicted ids reach 4"):
        ImagePair.of(instances, instances, classes=Classes(NAMES, classes, np.array([1, 2])))
