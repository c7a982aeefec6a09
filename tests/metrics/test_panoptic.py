import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxnuc.labels import label_set
from jaxnuc.metrics.class_counts import ClassCounts, binary_counts, class_counts, instance_classes
from jaxnuc.metrics.conventions import Conventions
from jaxnuc.metrics.panoptic import mean, pooled_pq, qualities


def slow_counts(truth, prediction, truth_classes, prediction_classes, n_classes, threshold=0.5):
    """Masks, loops and sets: void pixels leave the predictions, then pairs, then left-overs."""
    true = dict(zip(np.unique(truth[truth > 0]), truth_classes, strict=True))
    predicted = dict(zip(np.unique(prediction[prediction > 0]), prediction_classes, strict=True))
    void = np.isin(truth, [i for i, c in true.items() if c == -1]) & (truth > 0)
    counts = [[0, 0, 0, 0.0] for _ in range(n_classes)]
    for k in range(1, n_classes + 1):
        missed = {i for i, c in true.items() if c == k}
        false = {j for j, c in predicted.items() if c == k}
        for i in sorted(missed):
            for j in sorted(false):
                a, b = truth == i, (prediction == j) & ~void
                iou = (a & b).sum() / (a | b).sum()
                if iou > threshold:
                    missed.discard(i)
                    false.discard(j)
                    counts[k - 1][0] += 1
                    counts[k - 1][3] += iou
        false = {j for j in false if 2 * void[prediction == j].sum() <= (prediction == j).sum()}
        counts[k - 1][1:3] = len(false), len(missed)
    return np.array(counts)


def as_array(counts: ClassCounts) -> np.ndarray:
    return np.stack(counts, axis=-1)


def random_case(draw_or_rng, shape=(12, 14), ids=9):
    rng = draw_or_rng
    truth = np.kron(rng.integers(0, ids, (4, 5)), np.ones((3, 3), int))[: shape[0], : shape[1]]
    prediction = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, ids, truth.shape))
    return truth, prediction


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.6, 0.75]))
def test_counts_are_those_of_the_slow_version(seed, threshold):
    rng = np.random.default_rng(seed)
    truth, prediction = random_case(rng)
    true = rng.integers(-1, 3, np.unique(truth[truth > 0]).size)
    predicted = rng.integers(-1, 3, np.unique(prediction[prediction > 0]).size)
    counts = class_counts(truth, prediction, true, predicted, 2, Conventions(threshold))
    expected = slow_counts(truth, prediction, true, predicted, 2, threshold)
    np.testing.assert_allclose(as_array(counts), expected, rtol=1e-12)


def test_one_class_gives_the_pq_of_the_reference(golden):
    maps, values = golden("metrics")
    for name, pair in values["pairs"].items():
        expected = pair["hovernet"].get("pq", {}) if "hovernet" in pair else {}
        if "tp" not in expected:
            continue
        counts = binary_counts(maps[f"{name}__gt"], maps[f"{name}__pred"])
        assert [int(c[0]) for c in counts[:3]] == [expected[k] for k in ("tp", "fp", "fn")], name
        share = expected["tp"] / (expected["tp"] + 1e-6)  # as the reference divides
        np.testing.assert_allclose(qualities(counts)[2][0] * share, expected["pq"], rtol=1e-12)


def test_one_class_gives_the_figures_of_conic(golden):
    maps, values = golden("metrics")
    references = {name: pair.get("conic_pq", {}) for name, pair in values["pairs"].items()}
    compared = {name: expected for name, expected in references.items() if "tp" in expected}
    # The reference cannot relabel one pair, and was not run on the other.
    assert set(references) - set(compared) == {"gt_without_background", "large_1000_about_900"}
    for name, expected in compared.items():
        counts = binary_counts(maps[f"{name}__gt"], maps[f"{name}__pred"])
        tp, fp, fn, iou_sum = (part[0] for part in counts)
        assert [tp, fp, fn] == [expected[k] for k in ("tp", "fp", "fn")], name
        assert iou_sum == pytest.approx(expected["iou_sum"], rel=1e-12)
        total = tp + fp / 2 + fn / 2
        shares = total / (total + 1e-6), tp / (tp + 1e-6)  # as the reference divides
        dq, sq, pq = (quality[0] for quality in qualities(counts, "zero"))
        found = dq * shares[0], sq * shares[1], pq * shares[0] * shares[1]
        np.testing.assert_allclose(found, [expected[k] for k in ("dq", "sq", "pq")], rtol=1e-12)


def test_ids_class_maps_and_class_arrays_are_equivalent():
    rng = np.random.default_rng(3)
    truth, prediction = random_case(rng)
    true = rng.integers(-1, 4, np.unique(truth[truth > 0]).size)
    predicted = rng.integers(0, 4, np.unique(prediction[prediction > 0]).size)
    expected = as_array(class_counts(truth, prediction, true, predicted, 3))

    true_map = np.append(true, 0)[np.unique(truth, return_inverse=True)[1] - 1]
    predicted_map = np.append(predicted, 0)[np.unique(prediction, return_inverse=True)[1] - 1]
    true_map = true_map.reshape(truth.shape)
    predicted_map = predicted_map.reshape(truth.shape).astype(np.uint8)
    assert (truth == 0).any()
    assert (prediction == 0).any()
    found = class_counts(truth, prediction, true_map, predicted_map, 3)
    np.testing.assert_array_equal(as_array(found), expected)

    scale = 2**62 // 10  # ids with gaps, another dtype, not contiguous, read-only
    gaps = np.asfortranarray(truth.astype(np.int64) * scale)
    gaps.flags.writeable = False
    found = class_counts(gaps, prediction.astype(np.uint16), true, predicted, 3)
    np.testing.assert_array_equal(as_array(found), expected)


def test_a_class_map_is_voted_on_and_background_is_the_last_choice():
    instances = np.array([[4, 4, 4, 9, 9, 9, 6]])
    classes = np.array([[0, 0, 2, -1, -1, 1, 0]])
    assert instance_classes(instances, classes, 2, 3).tolist() == [2, 0, -1]


def test_classes_are_read_at_a_cut_before_the_vote():
    instances = np.ones((1, 5), np.uint8)
    leaves = np.array([[3, 4, 5, 2, 2]])  # three immune leaves against two pixels of one tumoral
    counts = class_counts(instances, instances, leaves, np.array([6]), label_set("superclasses"))
    assert counts.tp.tolist() == [0, 1, 0, 0]
    apart = class_counts(instances, instances, leaves, np.array([6]), label_set("leaves"))
    assert apart.fn.tolist() == [0, 1] + 9 * [0]
    # MoNuSAC has no stromal class: at its cut, such a prediction is none of its classes.
    outside = class_counts(instances, instances, np.array([3]), np.array([7]), label_set("monusac"))
    assert (outside.fp.sum(), outside.fn.tolist()) == (0, [0, 1, 0, 0])


@pytest.mark.parametrize(
    ("prediction", "false"),
    [
        ([1, 1, 1, 1, 0, 0, 0, 0], 0),  # the ignored nucleus is found
        ([1, 1, 2, 2, 0, 0, 0, 0], 0),  # ... in two parts
        ([0, 1, 1, 1, 1, 1, 0, 0], 0),  # more than half of the prediction lies on it
        ([0, 0, 0, 1, 1, 1, 0, 0], 1),  # less
        ([0, 0, 1, 1, 1, 1, 0, 0], 1),  # exactly half
        ([1, 1, 1, 1, 1, 1, 1, 1], 0),  # all of it, but the rest is the other nucleus: a match
    ],
)
def test_predictions_of_ignored_nuclei_do_not_count(prediction, false):
    truth = np.array([[5, 5, 5, 5, 0, 8, 8, 8]])
    prediction = np.array([prediction])
    classes = np.ones(prediction.max(), int)
    counts = class_counts(truth, prediction, np.array([-1, 1]), classes, 1)
    assert counts.fp.tolist() == [false]
    assert counts.tp.tolist() == [int((prediction > 0).all())]
    assert counts.iou_sum[0] == (0.75 if (prediction > 0).all() else 0)


def test_nothing_of_no_class_counts():
    instances = np.array([[1, 2]])
    counts = class_counts(instances, instances, np.array([0, 1]), np.array([1, 0]), 1)
    assert (counts.tp[0], counts.fp[0], counts.fn[0]) == (0, 1, 1)


def test_inclusive_threshold_and_assignment_within_the_class():
    truth, prediction = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]])
    same, one = np.array([1, 1]), np.array([1])
    assert class_counts(truth, prediction, one, same, 1).tp[0] == 0
    half = class_counts(truth, prediction, one, same, 1, Conventions(inclusive=True))
    assert (half.tp[0], half.fp[0], half.iou_sum[0]) == (1, 1, 0.5)
    # Below 1/2, the better partner of another class does not take the place of one of this class.
    prediction = np.array([[1, 2, 2, 2]])
    found = class_counts(truth, prediction, one, np.array([1, 2]), 2, Conventions(0.2))
    assert (found.tp.tolist(), found.fp.tolist()) == ([1, 0], [0, 1])


def test_aggregations_and_rules_for_nothing():
    image = ClassCounts(
        np.array([2, 0, 0]), np.array([1, 0, 1]), np.array([1, 0, 0]), np.array([1.5, 0, 0])
    )
    other = ClassCounts(*(np.array(x) for x in ([1, 0, 0], [0, 0, 0], [3, 0, 0], [1.0, 0, 0])))
    pooled = pooled_pq([image, other])
    np.testing.assert_allclose(pooled, [2.5 / (3 + 0.5 + 2), np.nan, 0])
    assert mean(pooled) == pytest.approx(pooled[0] / 2)

    for empty, value in [("one", 1.0), ("zero", 0.0)]:
        assert pooled_pq([image, other], empty)[1] == value
        each = qualities(ClassCounts(*map(np.stack, zip(image, other, strict=True))), empty)[2]
        assert each[:, 1:].tolist() == [[value, 0], [value, value]]
    assert np.isnan(mean(pooled_pq([image], "nan"), "nan"))
    assert np.isnan(pooled_pq([other], "skip")[1:]).all()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(arrays(np.uint8, (7, 8), elements=st.integers(0, 6)), st.integers(1, 4))
def test_a_perfect_prediction_scores_one_in_each_class_that_occurs(instances, n_classes):
    ids = np.unique(instances[instances > 0])
    classes = 1 + ids.astype(int) % n_classes
    counts = class_counts(instances, instances, classes, classes, n_classes)
    present = np.bincount(classes, minlength=n_classes + 1)[1:] > 0
    assert (pooled_pq([counts])[present] == 1).all()
    assert np.isnan(pooled_pq([counts])[~present]).all()


def test_empty_and_huge_images():
    nothing = np.zeros((0, 7), np.uint8)
    none = np.zeros(0)
    assert as_array(class_counts(nothing, nothing, none, none, 2)).tolist() == 2 * [[0, 0, 0, 0]]
    many = np.arange(1, 100_001).reshape(250, 400)
    classes = many.ravel() % 3
    counts = class_counts(many, many, classes, classes, 2)
    assert counts.tp.tolist() == [33_334, 33_333]
    whole = class_counts(np.ones_like(many), many, np.array([1]), classes, 2)
    assert (whole.fn.tolist(), whole.fp.sum()) == ([1, 0], 66_667)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (np.array([1]), r"shape \(1,\) for 2 instances"),
        (np.array([1, 3]), "classes reach from 1 to 3; with 2 classes"),
        (np.array([1, -2]), "classes reach from -2 to 1"),
        (np.array([1.0, 2.0]), "integers, got float64"),
        (np.ones((2, 2), int), r"class_map \(2, 2\)"),
    ],
)
def test_wrong_classes_are_refused(classes, message):
    instances = np.array([[1, 2]])
    with pytest.raises(ValueError, match=message):
        class_counts(instances, instances, classes, np.array([1, 1]), 2)


def test_other_mistakes_are_refused():
    instances, classes = np.array([[1, 2]]), np.array([1, 1])
    with pytest.raises(ValueError, match=r"shape \(1, 2\), prediction \(2, 1\)"):
        class_counts(instances, instances.T, classes, classes, 1)
    with pytest.raises(ValueError, match="threshold 1"):
        class_counts(instances, instances, classes, classes, 1, Conventions(threshold=1))
    with pytest.raises(ValueError, match="no counts to sum up"):
        pooled_pq([])
    with pytest.raises(ValueError, match="rule for empty images 'none'"):
        pooled_pq([binary_counts(instances, instances)], "none")
