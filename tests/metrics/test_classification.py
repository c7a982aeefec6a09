import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from jaxnuc.metrics.classification import (
    ClassifiedPairs,
    classification_scores,
    match_centroids,
    pairs_by_centroid,
)
from jaxnuc.metrics.protocols.conic import central_counts, counting_r2

SETS = [
    *("normal_only", "radius_only", "with_empty_images", "with_empty_images_types_from_gt"),
    *("not_exhaustive", "not_exhaustive_counted_as_exhaustive"),
]


def golden_pairs(arrays, images, **arguments):
    return [
        pairs_by_centroid(
            *(arrays[f"types__{image}__{part}"] for part in ("gt_xy", "gt_type")),
            *(arrays[f"types__{image}__{part}"] for part in ("pred_xy", "pred_type")),
            **arguments,
        )
        for image in images
    ]


@pytest.mark.parametrize("name", SETS)
def test_scores_are_those_of_the_reference(golden, name):
    arrays, values = golden("metrics")
    case = values["types"][name]
    pairs = golden_pairs(arrays, case["images"], empty_images="reference")
    expected = case["result"]
    scores = classification_scores(
        pairs, [int(c) for c in expected["F_c"]], exhaustive=case["exhaustive"]
    )
    np.testing.assert_allclose(scores.detection_f1, expected["F_d"], rtol=1e-12)
    np.testing.assert_allclose(scores.accuracy, expected["acc_type"], rtol=1e-12)
    np.testing.assert_allclose(scores.class_f1, list(expected["F_c"].values()), rtol=1e-12)


def test_every_case_of_the_reference_is_covered(golden):
    _, values = golden("metrics")
    assert {n for n, case in values["types"].items() if "F_d" in case["result"]} == set(SETS)


def test_where_nothing_matches_the_scores_are_zero_and_not_an_error(golden):
    arrays, _ = golden("metrics")
    pairs = golden_pairs(arrays, ["pred_empty"])
    scores = classification_scores(pairs, [1, 2, 3, 4])
    assert scores.detection_f1 == 0
    assert np.isnan(scores.accuracy)
    present = np.isin([1, 2, 3, 4], arrays["types__pred_empty__gt_type"])
    np.testing.assert_array_equal(scores.class_f1, np.where(present, 0, np.nan))


def test_no_nucleus_is_made_up_for_empty_images(golden):
    arrays, values = golden("metrics")
    images = values["types"]["with_empty_images"]["images"]
    scores = classification_scores(golden_pairs(arrays, images), [1, 2, 3, 4])
    sizes = [len(arrays[f"types__{i}__{side}_type"]) for i in images for side in ("gt", "pred")]
    found = scores.confusion.sum()
    assert scores.detection_f1 == 2 * found / sum(sizes)
    assert found + scores.missed.sum() == sum(sizes[::2])
    assert found + scores.false.sum() == sum(sizes[1::2])
    empty = classification_scores(golden_pairs(arrays, ["both_empty"]), [1])
    assert np.isnan([empty.detection_f1, empty.accuracy, *empty.class_f1]).all()


def slow_scores(images, classes, exhaustive):
    f = []
    for c in classes:
        tp = fp_c = fn_c = fp_d = fn_d = 0
        for image in images:
            for t, p in zip(image.truth, image.prediction, strict=True):
                tp += t == c and p == c
                fp_c += t != c and p == c and (exhaustive or t != -1)
                fn_c += t == c and p != c
            fp_d += sum(p == c for p in image.false)
            fn_d += sum(t == c for t in image.missed)
        wrong = np.dot((2, 2, 1, 1), (fp_c, fn_c, fp_d, fn_d))
        f.append(2 * tp / (2 * tp + wrong) if tp + wrong else np.nan)
    return f


CLASSES = st.lists(st.integers(-1, 3), max_size=8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(CLASSES, CLASSES, CLASSES, CLASSES), min_size=1, max_size=3), st.booleans()
)
def test_pooled_scores_are_those_of_the_slow_version(lists, exhaustive):
    images = []
    for truth, prediction, missed, false in lists:
        n = min(len(truth), len(prediction))
        parts = (truth[:n], prediction[:n], missed, false)
        images.append(ClassifiedPairs(*(np.array(part, np.int64) for part in parts)))
    scores = classification_scores(images, [1, 2, 3], exhaustive=exhaustive)
    expected = slow_scores(images, [1, 2, 3], exhaustive)
    np.testing.assert_allclose(scores.class_f1, expected, rtol=1e-12)
    pairs = [
        (t, p)
        for image in images
        for t, p in zip(image.truth, image.prediction, strict=True)
        if exhaustive or t != -1
    ]
    if pairs:
        assert scores.accuracy == pytest.approx(np.mean([t == p for t, p in pairs]))
    for t, p in itertools.product((1, 2, 3), repeat=2):
        assert scores.confusion[t - 1, p - 1] == pairs.count((t, p))


# --- Matching of centroids


def test_a_far_point_costs_near_ones_their_match():
    # 11 and 37 apart, or 13 and 13: the least total loses the pair within the radius.
    truth, prediction = np.array([[0, 0], [0, 24]]), np.array([[0, 13], [0, 37]])
    assert match_centroids(truth, prediction)[0].tolist() == []
    rows, columns = match_centroids(truth, prediction, radius=13)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [0, 1])


def test_the_radius_case_of_the_reference_loses_pairs(golden):
    arrays, _ = golden("metrics")
    truth, prediction = arrays["types__radius__gt_xy"], arrays["types__radius__pred_xy"]
    assert len(match_centroids(truth, prediction)[0]) == 3


POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=4)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(POINTS, POINTS, st.sampled_from([0, 1, 2, 3.7]))
def test_matching_has_the_least_total_of_all_assignments(truth, prediction, radius):
    truth, prediction = np.array(truth).reshape(-1, 2), np.array(prediction).reshape(-1, 2)
    rows, columns = match_centroids(truth, prediction, radius=99)
    assert len(set(rows)) == len(rows) == len(set(columns)) == min(len(truth), len(prediction))
    assert (np.diff(rows) > 0).all()
    if len(rows):
        distances = cdist(truth, prediction)
        wide = distances if len(truth) <= len(prediction) else distances.T
        orders = itertools.permutations(range(wide.shape[1]), len(wide))
        least = min(wide[np.arange(len(wide)), order].sum() for order in orders)
        assert distances[rows, columns].sum() == pytest.approx(least)
        near = match_centroids(truth, prediction, radius)
        kept = distances[rows, columns] <= radius
        np.testing.assert_array_equal(near, (rows[kept], columns[kept]))


def test_too_many_nuclei_for_all_distances_are_refused():
    points = np.zeros((7000, 2))
    with pytest.raises(ValueError, match=r"7000 true and 7000 predicted.*tile by tile"):
        match_centroids(points, points)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius": -1}, "radius -1"),
        ({"radius": np.nan}, "radius nan"),
        ({"truth": np.ones(3)}, r"truth must be \(N, 2\).*\(3,\)"),
        ({"prediction": np.full((1, 2), np.inf)}, "prediction holds NaN or infinite"),
    ],
)
def test_matching_refuses(arguments, message):
    points = np.zeros((1, 2))
    with pytest.raises(ValueError, match=message):
        match_centroids(**{"truth": points, "prediction": points} | arguments)


def test_classification_refuses():
    points, classes = np.zeros((2, 2)), np.ones(2, int)
    with pytest.raises(ValueError, match=r"prediction has centroids .*\(2, 2\) .* \(1,\)"):
        pairs_by_centroid(points, classes, points, classes[:1])
    with pytest.raises(ValueError, match="truth classes must be integers, got float64"):
        pairs_by_centroid(points, classes * 1.0, points, classes)
    with pytest.raises(ValueError, match="rule for empty images 'skip'"):
        pairs_by_centroid(points, classes, points, classes, empty_images="skip")
    with pytest.raises(ValueError, match="no pairs to score"):
        classification_scores([], [1])
    pairs = pairs_by_centroid(points, classes, points, classes)
    with pytest.raises(ValueError, match=r"classes \[1, 1\] name one twice"):
        classification_scores([pairs], [1, 1])


# --- Counting


def test_nuclei_are_counted_by_their_centroid_in_the_central_part():
    rng = np.random.default_rng(5)
    instances = np.kron(rng.integers(0, 60, (16, 16)), np.ones((16, 16), int))
    instances[:, 31:35] = 61
    instances[15:17, 100:130] = 62  # centroid at row 15.5: the part begins there
    ids = np.unique(instances[instances > 0])
    classes = rng.integers(-1, 4, len(ids))
    expected = np.zeros(3, int)
    for i, c in zip(ids, classes, strict=True):
        row, column = (at.mean() for at in np.nonzero(instances == i))
        if c > 0 and 15.5 <= row < 239.5 and 15.5 <= column < 239.5:
            expected[c - 1] += 1
    assert central_counts(instances, classes, 3).tolist() == expected.tolist()


def test_a_mirrored_image_has_the_same_counts():
    instances = np.zeros((256, 256), np.uint8)
    instances[100, 16], instances[100, 239], instances[100, 15], instances[100, 240] = 1, 2, 3, 4
    classes = np.array([1, 1, 2, 2])
    assert central_counts(instances, classes, 2).tolist() == [2, 0]
    assert central_counts(instances[:, ::-1], classes, 2).tolist() == [2, 0]
    assert central_counts(instances.T, classes, 2).tolist() == [2, 0]


def test_counts_of_small_and_empty_images():
    assert central_counts(np.zeros((0, 5), int), np.zeros(0, int), 2).tolist() == [0, 0]
    assert central_counts(np.ones((3, 3), int), np.array([2]), 2).tolist() == [0, 1]


def test_r2_is_the_squared_correlation_for_a_fitted_line():
    rng = np.random.default_rng(6)
    predicted = rng.uniform(0, 9, (50, 3))
    true = 2 * predicted + rng.normal(0, 3, predicted.shape)
    fits = [
        np.polynomial.Polynomial.fit(p, t, 1)(p) for p, t in zip(predicted.T, true.T, strict=True)
    ]
    found = counting_r2(true, np.stack(fits, axis=1))
    expected = [np.corrcoef(p, t)[0, 1] ** 2 for p, t in zip(predicted.T, true.T, strict=True)]
    np.testing.assert_allclose(found, expected)
    means = np.broadcast_to(true.mean(axis=0), true.shape)
    np.testing.assert_allclose(counting_r2(true, means), 0, atol=1e-12)


def test_r2_is_zero_where_the_true_counts_do_not_vary():
    truth = np.array([[1, 0, 3], [2, 0, 3]])
    prediction = np.array([[1, 0, 3], [2, 0, 4]])
    assert counting_r2(truth, prediction).tolist() == [1, 0, 0]
