"""Figures by class: a hand-made data set whose figures are known in closed form."""

import csv
import io

import numpy as np
import pytest

from jaxnuc.metrics.by_class import ClassFigures, judge_classes

NAMES = ("immune", "tumour", "stroma")


def squares(classes):
    """Separate squares of 16 pixels and their class map."""
    instances = np.zeros((16, 40), np.int32)
    for k in range(len(classes)):
        instances[4:8, 8 * k + 2 : 8 * k + 6] = 3 * k + 1
    return instances, np.concatenate([np.repeat([0, *classes], [1, *[3] * len(classes)])])[
        instances
    ]


@pytest.fixture
def figures():
    images = [
        ([1, 1, 2, 2], [1, 2, 2, 2, 3]),  # one of two immune, both tumour and one more, a stroma
        ([1, -1, 2], [1, 3, 1]),  # the second is not to be judged
        ([2], []),
    ]
    judged = []
    for true, found in images:
        (t, tc), (p, pc) = squares(true), squares(found)
        judged.append(judge_classes(t, p, tc, pc, 3))
    return ClassFigures.of(NAMES, judged)


def test_counts_and_panoptic_quality(figures):
    np.testing.assert_array_equal(figures.counts.tp, [2, 2, 0])
    np.testing.assert_array_equal(figures.counts.fp, [1, 1, 1])
    np.testing.assert_array_equal(figures.counts.fn, [1, 2, 0])
    expected = [2 / (2 + 1 / 2 + 1 / 2), 2 / (2 + 1 / 2 + 1), 0]
    np.testing.assert_allclose(figures.pooled.pq, expected)
    by_image = [np.mean([1 / 1.5, 1 / 1.5]), np.mean([2 / 2.5, 0, 0]), 0]
    np.testing.assert_allclose(figures.image_mean.pq, by_image)
    assert figures.figures()["mpq_pooled"] == pytest.approx(np.mean(expected))
    assert figures.figures()["mpq_image_mean"] == pytest.approx(np.mean(by_image))


def test_classification_by_centroids(figures):
    # found by centroid: 4 + 3 + 0 of 8 nuclei, with one prediction too many
    assert figures.figures()["detection_f1_pooled"] == pytest.approx(14 / (14 + 1 + 1))
    # right: 3 of 4, 1 of 2 that are judged
    assert figures.figures()["class_accuracy_pooled"] == pytest.approx(4 / 6)


def test_rows_are_written_as_they_are(figures):
    rows = list(csv.DictReader(io.StringIO(figures.csv())))
    assert [row["class"] for row in rows] == list(NAMES)
    assert [int(row["true_nuclei"]) for row in rows] == [3, 4, 0]
    assert float(rows[0]["pq_pooled"]) == figures.pooled.pq[0]
    assert figures.json()["tumour"]["predicted_nuclei"] == 3
    assert len(str(figures).splitlines()) == 4


def test_classes_by_instance_are_taken_as_well():
    instances, of_pixels = squares([1, 3])
    a = judge_classes(instances, instances, of_pixels, of_pixels, 3)
    b = judge_classes(instances, instances, np.array([1, 3]), np.array([1, 3]), 3)
    for one, other in zip(a.counts, b.counts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_class_that_there_is_not_is_refused():
    instances, classes = squares([1, 4])
    with pytest.raises(ValueError, match="with 3 classes"):
        judge_classes(instances, instances, classes, classes, 3)
