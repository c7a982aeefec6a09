"""The sparse table against a literal count."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxnuc.metrics import contingency_table


def random_pair(seed, shape=(23, 31), n=9):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n, shape)
    prediction = np.where(rng.random(shape) < 0.6, (truth * 5) % n, rng.integers(0, n, shape))
    return truth, prediction


# Ids that take the lookup, the sort, and the sort with ids beyond a signed 64-bit integer.
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.uint8, 1), (np.uint16, 7000), (np.int32, 10**8), (np.int64, 10**17), (np.uint64, 2**60)],
)
def test_equals_a_literal_count(dtype, scale):
    truth, prediction = (labels.astype(dtype) * dtype(scale) for labels in random_pair(0))
    table = contingency_table(truth, prediction)

    np.testing.assert_array_equal(table.truth_ids, np.unique(truth)[1:])
    np.testing.assert_array_equal(table.prediction_ids, np.unique(prediction)[1:])
    assert table.truth_areas.tolist() == [(truth == i).sum() for i in table.truth_ids]
    assert table.prediction_areas.tolist() == [
        (prediction == i).sum() for i in table.prediction_ids
    ]
    pairs = []
    for row, t in enumerate(table.truth_ids):
        for column, p in enumerate(table.prediction_ids):
            shared = ((truth == t) & (prediction == p)).sum()
            union = ((truth == t) | (prediction == p)).sum()
            if shared:
                pairs.append((row, column, shared, shared / union))
    found = zip(table.rows, table.columns, table.intersections, table.iou, strict=True)
    assert list(found) == pairs
    assert table.iou.dtype == np.float64


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(0, 8), st.integers(0, 8)).flatmap(
        lambda shape: st.tuples(*[arrays(np.int64, shape, elements=st.integers(0, 5))] * 2)
    ),
    st.sampled_from([1, 10**4, 10**18]),
)
def test_equals_counted_pixels(pair, scale):
    truth, prediction = (labels * scale for labels in pair)
    table = contingency_table(truth, prediction)
    pixels = Counter(zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True))
    found = zip(
        table.truth_ids[table.rows].tolist(),
        table.prediction_ids[table.columns].tolist(),
        table.intersections.tolist(),
        strict=True,
    )
    assert {(t, p): n for t, p, n in found} == {(t, p): n for (t, p), n in pixels.items() if t * p}
    assert table.truth_areas.tolist() == [(truth == i).sum() for i in table.truth_ids]
    assert table.truth_pixels == (truth > 0).sum()
    assert table.prediction_pixels == (prediction > 0).sum()
    assert table.shared_pixels == ((truth > 0) & (prediction > 0)).sum()


@pytest.mark.slow
def test_a_million_instances():
    truth = np.arange(10**6).reshape(1000, 1000) * (10**12 + 7)
    prediction = truth[::-1]
    table = contingency_table(truth, prediction)
    assert len(table.truth_ids) == 10**6 - 1  # the first pixel is background
    assert (table.truth_areas == 1).all()
    assert len(table.rows) == 10**6 - 2
    np.testing.assert_array_equal(
        np.sort(table.columns), np.setdiff1d(np.arange(10**6 - 1), [999 * 1000 - 1])
    )


def test_layouts_in_memory_do_not_matter():
    truth, prediction = random_pair(1)
    expected = contingency_table(truth, prediction)
    wide = np.zeros((46, 62), int)
    wide[::2, ::2] = truth
    frozen = np.asfortranarray(prediction)
    frozen.flags.writeable = False
    table = contingency_table(wide[::2, ::2], frozen)
    for name in ("rows", "columns", "intersections", "truth_areas", "prediction_areas"):
        np.testing.assert_array_equal(getattr(table, name), getattr(expected, name))


def test_many_instances_on_few_pixels():
    # More possible pairs than pixels: one-pixel instances, each shared with exactly one other.
    truth = np.arange(1, 401).reshape(20, 20)
    table = contingency_table(truth, truth[::-1])
    assert table.rows.tolist() == list(range(400))
    np.testing.assert_array_equal(table.columns, truth[::-1].ravel() - 1)
    assert (table.iou == 1).all()


def test_dtypes_mix_and_bool_is_one_instance():
    truth = np.array([[True, True, False]])
    table = contingency_table(truth, np.array([[0, 2**63, 2**63]], np.uint64))
    assert table.truth_ids.tolist() == [1]
    assert table.prediction_ids.tolist() == [2**63]
    assert (table.iou == 1 / 3).all()


def test_many_instances_of_which_none_overlaps():
    # More possible pairs than a table of them would hold, and not one to be sorted.
    truth, prediction = np.zeros((2, 600, 600), int)
    truth[::2, ::2] = np.arange(1, 90_001).reshape(300, 300)
    prediction[1::2, 1::2] = truth[::2, ::2]
    table = contingency_table(truth, prediction)
    assert len(table.truth_ids) == len(table.prediction_ids) == 90_000
    assert table.rows.size == table.columns.size == table.intersections.size == 0


@pytest.mark.parametrize("shape", [(0, 5), (4, 5)])
def test_empty_maps(shape):
    table = contingency_table(np.zeros(shape, int), np.zeros(shape, np.uint64))
    assert table.truth_ids.size == table.prediction_ids.size == table.rows.size == 0


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"truth has shape \(2, 3\).*\(3, 2\)"),
        (np.zeros((2, 3, 1), int), np.zeros((2, 3), int), r"truth must be .*\(2, 3, 1\)"),
        (np.zeros((2, 3), int), np.zeros((2, 3)), "prediction must hold integer ids, got float64"),
        (np.zeros((1, 2), int), np.array([[0, -4]]), "prediction holds the negative id -4"),
    ],
)
def test_what_is_no_label_map_is_refused(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        contingency_table(truth, prediction)
