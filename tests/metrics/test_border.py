"""What is left out at borders and outlines, against literal versions and by properties."""

import io
import zipfile

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from jaxnuc.metrics.border import drop_border, ignore_outlines, leave_out
from jaxnuc.metrics.matching import match

SHAPES = arrays_of.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
IDS = st.sampled_from([0, 0, 0, 1, 2, 3, 2**62, 2**62 + 1])
PAIRS = SHAPES.flatmap(
    lambda shape: st.tuples(*(arrays_of.arrays(np.int64, shape, elements=IDS),) * 2)
)
PROPERTY = settings(max_examples=80, deadline=None, derandomize=True)


def _ids(labels):
    return np.setdiff1d(labels, [0])


def _literal_drop(truth, prediction, margin):
    inner = np.zeros(truth.shape, bool)
    inner[margin + 1 : -margin - 1, margin + 1 : -margin - 1] = True

    def iou(t, p):
        return ((truth == t) & (prediction == p)).sum() / ((truth == t) | (prediction == p)).sum()

    label_set = {t for t in _ids(truth) if (truth == t)[~inner].any()}
    dropped = set()
    for p in _ids(prediction):
        # At equal IoUs the one that stays; then predictions with the lowest id.
        best = max(_ids(truth), key=lambda t: (iou(t, p), t not in label_set), default=0)
        wanted = any(
            iou(t, p) > 0 and p == max(_ids(prediction), key=lambda q: (iou(t, q), -int(q)))
            for t in _ids(truth)
            if t not in label_set
        )
        of_cut = best in label_set and iou(best, p) > 0
        if of_cut or ((prediction == p)[~inner].any() and not wanted):
            dropped.add(p)
    return tuple(
        np.where(np.isin(labels, list(out)), 0, labels)
        for labels, out in ((truth, label_set), (prediction, dropped))
    )


def _literal_band(truth, tolerance):
    rows, cols = np.mgrid[: truth.shape[0], : truth.shape[1]]
    band = np.zeros(truth.shape, bool)
    for r, c in np.ndindex(truth.shape):
        near = (rows - r) ** 2 + (cols - c) ** 2 <= tolerance**2
        band[r, c] = (truth[near] != truth[r, c]).any()
    for i in _ids(truth):
        if band[truth == i].all():
            band[truth == i] = False
    return band


@PROPERTY
@given(PAIRS, st.integers(0, 2))
def test_drop_border_is_its_literal_version(pair, margin):
    for found, expected in zip(
        drop_border(*pair, margin), _literal_drop(*pair, margin), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@PROPERTY
@given(PAIRS, st.integers(0, 2), st.sampled_from([0.5, 0.7]))
def test_dropping_makes_no_new_mistakes(pair, margin, threshold):
    before, after = match(*pair, threshold), match(*drop_border(*pair, margin), threshold)
    for name in ("truth", "prediction", "missed", "false"):
        assert set(getattr(after, name)) <= set(getattr(before, name))
    # No match between instances that stay is lost.
    stays = np.isin(before.truth, _ids(drop_border(*pair, margin)[0]))
    assert set(before.truth[stays]) == set(after.truth)


@PROPERTY
@given(PAIRS, st.integers(0, 2))
def test_a_perfect_prediction_stays_perfect(pair, margin):
    truth, prediction = drop_border(pair[0], pair[0], margin)
    np.testing.assert_array_equal(truth, prediction)


@PROPERTY
@given(PAIRS)
def test_without_instances_at_the_border_nothing_is_dropped(pair):
    padded = [np.pad(labels, 1) for labels in pair]
    for found, expected in zip(drop_border(*padded), padded, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_who_is_dropped_at_the_border():
    truth = np.array(
        [
            [1, 1, 0, 0, 0, 0, 0],
            [1, 1, 0, 2, 2, 0, 0],
            [0, 0, 0, 2, 2, 0, 0],
            [0, 0, 0, 0, 0, 0, 0],
            [0, 3, 3, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ]
    )
    prediction = np.array(
        [
            [1, 1, 0, 7, 0, 0, 6],
            [9, 9, 0, 7, 7, 0, 0],  # 9: half of a cut nucleus
            [0, 0, 0, 7, 7, 0, 0],  # 7: an inner nucleus, drawn up to the border
            [0, 0, 0, 0, 5, 0, 0],  # 5: false
            [8, 3, 3, 0, 0, 0, 0],
            [8, 8, 0, 0, 0, 4, 4],  # 4, 6, 8: false, at the border
        ]
    )
    inner, kept = drop_border(truth, prediction)
    assert _ids(inner).tolist() == [2, 3]
    assert _ids(kept).tolist() == [3, 5, 7]
    np.testing.assert_array_equal(kept, prediction * np.isin(prediction, [3, 5, 7]))
    assert _ids(drop_border(truth, prediction, margin=1)[0]).size == 0


def test_a_cut_prediction_that_brushes_an_inner_nucleus_is_dropped():
    # As its best match is another one; on its own it would be kept.
    truth = np.array([[0, 0, 0, 0], [0, 5, 5, 0], [0, 0, 0, 0]])
    brushing = np.array([[1, 1, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]])
    assert _ids(drop_border(truth, np.where(brushing == 2, 0, brushing))[1]).tolist() == [1]
    assert _ids(drop_border(truth, brushing)[1]).tolist() == [2]


@PROPERTY
@given(PAIRS, st.sampled_from([0, 0.5, 1, 1.5, 2, 3, 20]))
def test_ignore_outlines_is_its_literal_version(pair, tolerance):
    band = _literal_band(pair[0], tolerance)
    for found, labels in zip(ignore_outlines(*pair, tolerance), pair, strict=True):
        np.testing.assert_array_equal(found, np.where(band, 0, labels))


@PROPERTY
@given(PAIRS, st.sampled_from([1, 1.5, 2]))
def test_differences_within_the_band_do_not_count(pair, tolerance):
    truth, noise = pair
    prediction = np.where(_literal_band(truth, tolerance), noise, truth)
    found = match(*ignore_outlines(truth, prediction, tolerance))
    assert found.missed.size == found.false.size == 0
    assert (found.iou == 1).all()
    np.testing.assert_array_equal(found.truth, _ids(truth))  # none has vanished


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_kinds_of_input(dtype):
    labels = np.zeros((9, 12), dtype)
    labels[0:3, 0:3], labels[4:8, 4:10] = 1, np.array(255).astype(dtype)
    wide = np.repeat(labels, 2, axis=1)[:, ::2]
    wide.flags.writeable = False
    for found in drop_border(wide, wide):
        assert _ids(found).tolist() == ([255] if dtype is not bool else [])
        assert found.dtype == (np.uint8 if dtype is bool else dtype)
    for found in ignore_outlines(wide, wide):
        assert np.count_nonzero(found) == 2 * 2 + 2 * 4
        assert found.dtype == (np.uint8 if dtype is bool else dtype)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (1, 1), (5, 7)])
def test_extremes(shape):
    nothing, everything = np.zeros(shape, int), np.full(shape, 9)
    for function in (drop_border, ignore_outlines):
        for truth in (nothing, everything):
            for prediction in (nothing, everything):
                assert [found.shape for found in function(truth, prediction)] == [shape] * 2
    np.testing.assert_array_equal(ignore_outlines(everything, everything)[0], everything)
    assert not drop_border(everything, everything)[1].any()
    assert not drop_border(nothing, everything, margin=100)[1].any()


def test_a_flood_of_nuclei():
    truth = np.zeros((1000, 1000), int)
    truth[1:-1:3, 1:-1:3] = np.arange(333**2).reshape(333, 333) + 2**40
    truth[0, 0] = 7
    inner, kept = drop_border(truth, truth)
    assert np.count_nonzero(inner) == np.count_nonzero(kept) == np.count_nonzero(truth) - 1
    np.testing.assert_array_equal(ignore_outlines(truth, truth)[1], truth)  # each would vanish


def test_real_nuclei(shared_data):
    with zipfile.ZipFile(shared_data("consep_train.zip")) as archive:
        name = next(name for name in sorted(archive.namelist()) if name.endswith(".mat"))
        truth = scipy.io.loadmat(io.BytesIO(archive.read(name)))["inst_map"].astype(np.int32)
    prediction = np.roll(truth, (1, 0), (0, 1))  # one pixel off
    plain, tolerant = match(truth, prediction), match(*ignore_outlines(truth, prediction, 1.5))
    assert len(plain.truth) > 0
    assert np.mean(tolerant.iou) > np.mean(plain.iou) + 0.05
    inner, kept = drop_border(truth, prediction)
    frame = np.concatenate([truth[0], truth[-1], truth[:, 0], truth[:, -1]])
    np.testing.assert_array_equal(_ids(inner), np.setdiff1d(_ids(truth), frame))
    assert len(_ids(kept)) < len(_ids(prediction))


def test_mistakes_are_named():
    truth = np.ones((3, 3), int)
    for function in (drop_border, ignore_outlines):
        with pytest.raises(ValueError, match=r"truth has shape \(3, 3\), prediction \(3, 4\)"):
            function(truth, np.ones((3, 4), int))
        with pytest.raises(ValueError, match="integer ids, got float64"):
            function(truth, truth * 1.0)
    with pytest.raises(ValueError, match="margin is -1 pixels"):
        drop_border(truth, truth, -1)
    for tolerance in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"tolerance is {tolerance} pixels"):
            ignore_outlines(truth, truth, tolerance)


def test_the_order_of_bytes_does_not_matter():
    truth = np.zeros((9, 9), ">i4")
    truth[0, 0], truth[3:7, 3:7] = 70_000, 2
    for function in (drop_border, ignore_outlines):
        expected = function(truth.astype(np.int32), truth.astype(np.int32))
        np.testing.assert_array_equal(function(truth, truth), expected)


@PROPERTY
@given(PAIRS, st.integers(0, 2**32))
def test_leave_out_equals_its_definition(pair, seed):
    truth, prediction = pair
    ignore = np.random.default_rng(seed).random(truth.shape) < 0.4
    t, p = truth * ~ignore, prediction * ~ignore
    best = set()
    for i in _ids(t):
        rivals = [(((t == i) & (p == j)).sum() / ((t == i) | (p == j)).sum(), j) for j in _ids(p)]
        if rivals and max(rivals)[0] > 0:
            top = max(rivals)[0]
            best.add(min(j for iou, j in rivals if iou == top))
    for j in _ids(prediction):
        if 2 * (p == j).sum() < (prediction == j).sum() and j not in best:
            p = np.where(p == j, 0, p)
    found = leave_out(truth, prediction, ignore)
    np.testing.assert_array_equal(found[0], t)
    np.testing.assert_array_equal(found[1], p)
    nothing = leave_out(truth, prediction, np.zeros(truth.shape, bool))
    np.testing.assert_array_equal(nothing, (truth, prediction))


def test_leave_out_refuses_another_shape():
    labels = np.ones((2, 3), int)
    with pytest.raises(ValueError, match=r"ignore has shape \(3, 2\), truth \(2, 3\)"):
        leave_out(labels, labels, np.zeros((3, 2), bool))
