"""Tables of overlapping instances against dense counts; run lengths against COCO's own code."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from pycocotools import mask as coco_mask

from jaxnuc.io.run_lengths import run_lengths, to_coco
from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.metrics.matching import best_pairs
from jaxnuc.metrics.overlapping import overlapping_table
from jaxnuc.metrics.scores import score, score_table

SHAPES = arrays_of.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)
LABELS = arrays_of.arrays(np.int64, SHAPES, elements=st.sampled_from([0, 0, 1, 2, 7, 2**62]))
STACKS = st.tuples(st.integers(1, 5), SHAPES).flatmap(
    lambda n_shape: arrays_of.arrays(bool, (n_shape[0], *n_shape[1]))
)
PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)


def _assert_same(found, expected):
    for name in expected.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
        assert np.asarray(getattr(found, name)).dtype == np.asarray(getattr(expected, name)).dtype


def _filled(stack):
    """The instances that have a pixel."""
    return stack[stack.any((1, 2))]


def _counts(mask):
    """COCO's counts as integers."""
    pixels = mask.T.ravel()
    return np.diff([0, *np.flatnonzero(np.diff(pixels, prepend=False)), pixels.size]).tolist()


def _kaggle(mask):
    """Kaggle's string: the counts of the foreground, and what lies before them."""
    counts = _counts(mask)
    runs = [(1 + sum(counts[:k]), counts[k]) for k in range(1, len(counts), 2)]
    return " ".join(f"{start} {length}" for start, length in runs)


def _masks(runs):
    """The instances as (N, H, W) masks, run by run."""
    pixels = np.zeros((len(runs.ids), runs.shape[1], runs.shape[0]), bool)
    for n, start, stop in zip(runs.instances, runs.starts, runs.stops, strict=True):
        pixels[n].ravel()[start:stop] = True
    return pixels.transpose(0, 2, 1)


def _forms(stack):
    """The same instances in every form."""
    runs = run_lengths(stack)
    return {
        "stack": stack,
        "Fortran order": np.asfortranarray(stack),
        "masks": list(stack),
        "patches": [(0, 0, mask) for mask in stack],
        "cropped": [_patch(mask) for mask in stack],
        "runs": runs,
        "counts": [{"size": list(mask.shape), "counts": _counts(mask)} for mask in stack],
        "compressed": to_coco(runs),
        "kaggle": [_kaggle(mask) for mask in stack],
        "mixed": [*to_coco(runs)[:1], *[_kaggle(mask) for mask in stack[1:2]], *list(stack)[2:]],
    }


def _patch(mask):
    rows, cols = np.nonzero(mask)
    top, left = rows.min(), cols.min()
    return top, left, mask[top : rows.max() + 1, left : cols.max() + 1]


def _discs(rng, n, shape=(60, 70)):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    centers, sizes = rng.integers(0, 60, (2, n)), rng.integers(2, 12, n)
    return (rows - centers[0][:, None, None]) ** 2 + (
        cols - centers[1][:, None, None]
    ) ** 2 < sizes[:, None, None] ** 2


@PROPERTY
@given(LABELS, st.data())
def test_on_label_maps_it_is_the_contingency_table(truth, data):
    prediction = data.draw(
        arrays_of.arrays(np.uint16, truth.shape, elements=st.sampled_from([0, 3, 4, 60000]))
    )
    _assert_same(overlapping_table(truth, prediction), contingency_table(truth, prediction))
    _assert_same(overlapping_table(truth.T, prediction.T), contingency_table(truth.T, prediction.T))
    _assert_same(overlapping_table(truth > 0, prediction), contingency_table(truth > 0, prediction))


@PROPERTY
@given(STACKS, st.data())
def test_counts_of_masks_that_overlap(truth, data):
    prediction = data.draw(arrays_of.arrays(bool, (3, *truth.shape[1:])))
    truth, prediction = _filled(truth), _filled(prediction)
    table = overlapping_table(truth, prediction)
    dense = np.einsum("ihw,jhw->ij", truth.astype(int), prediction.astype(int))
    rows, columns = np.nonzero(dense)
    np.testing.assert_array_equal(table.rows, rows)
    np.testing.assert_array_equal(table.columns, columns)
    np.testing.assert_array_equal(table.intersections, dense[rows, columns])
    np.testing.assert_array_equal(table.truth_ids, np.arange(1, len(truth) + 1))
    np.testing.assert_array_equal(table.truth_areas, truth.sum((1, 2)))
    np.testing.assert_array_equal(table.prediction_areas, prediction.sum((1, 2)))
    either = truth.any(0), prediction.any(0)
    assert table.truth_pixels == either[0].sum()
    assert table.prediction_pixels == either[1].sum()
    assert table.shared_pixels == (either[0] & either[1]).sum()


@pytest.mark.slow
@PROPERTY
@given(STACKS)
def test_every_form_holds_the_same(stack):
    stack = _filled(stack)
    expected = overlapping_table(stack, stack)
    for name, form in _forms(stack).items():
        shape = stack.shape[1:]
        np.testing.assert_array_equal(_masks(run_lengths(form, shape)), stack, name)
        _assert_same(overlapping_table(form, stack), expected)
        _assert_same(overlapping_table(stack, form), expected)


@PROPERTY
@given(STACKS)
def test_run_lengths_are_cocos(stack):
    stack = _filled(stack)
    theirs = coco_mask.encode(np.asfortranarray(stack.transpose(1, 2, 0).astype(np.uint8)))
    ours = to_coco(run_lengths(stack))
    assert [o["counts"] for o in ours] == [t["counts"].decode() for t in theirs]
    json.dumps(ours)
    np.testing.assert_array_equal(_masks(run_lengths(theirs, stack.shape[1:])), stack)
    size = list(stack.shape[1:])
    assert [o["size"] for o in ours] == [size] * len(stack)


def test_long_counts_are_cocos():
    # Counts of up to four characters of 5 bits, differences of either sign.
    mask = np.zeros((1000, 900), bool)
    mask[3, 2] = mask[500:, 100] = mask[:, 400:700] = mask[0, 899] = True
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    (ours,) = to_coco(run_lengths(mask))
    assert ours["counts"] == theirs["counts"].decode()
    np.testing.assert_array_equal(_masks(run_lengths([ours]))[0], mask)


def test_ious_are_cocos():
    rng = np.random.default_rng(0)
    truth, prediction = _discs(rng, 30), _discs(rng, 40)
    table = overlapping_table(truth, prediction)
    encoded = [to_coco(run_lengths(stack)) for stack in (prediction, truth)]
    theirs = coco_mask.iou(*encoded, [0] * len(truth)).T
    np.testing.assert_array_equal(table.iou, theirs[table.rows, table.columns])
    assert len(table.rows) == np.count_nonzero(theirs)


def test_masks_that_do_not_overlap_score_as_label_maps():
    rng = np.random.default_rng(1)
    truth, prediction = (
        (np.arange(1, n + 1)[:, None, None] * _discs(rng, n)).max(0) for n in (25, 30)
    )
    stacks = [labels == np.setdiff1d(labels, [0])[:, None, None] for labels in (truth, prediction)]
    assert score_table(overlapping_table(*stacks)) == score(truth, prediction)


def test_scores_of_masks_that_overlap():
    """Literal versions of AL-Net's figures of instances that overlap."""
    rng = np.random.default_rng(2)
    truth = _discs(rng, 20)
    prediction = np.concatenate([np.roll(truth[:15], (1, -1), (1, 2)), _discs(rng, 5)])
    shared = np.einsum("ihw,jhw->ij", truth.astype(int), prediction.astype(int))
    areas, other_areas = truth.sum((1, 2)), prediction.sum((1, 2))
    union = areas[:, None] + other_areas - shared
    iou, best = shared / union, (shared / union).argmax(1)
    found = [i for i in range(20) if iou[i].max() > 0]
    free = other_areas[np.setdiff1d(np.arange(20), best[found])].sum()
    free += areas[np.setdiff1d(np.arange(20), found)].sum()
    pairs = found, best[found]

    table = overlapping_table(truth, prediction)
    scores = score_table(table)
    np.testing.assert_array_equal(table.columns[best_pairs(table)], best[found])
    assert scores.aji == pytest.approx(shared[pairs].sum() / (union[pairs].sum() + free))
    sizes = (areas[:, None] + other_areas)[pairs].sum()
    assert scores.instance_dice == pytest.approx(2 * shared[pairs].sum() / (sizes + free))
    assert scores.tp >= 10
    either = truth.any(0), prediction.any(0)
    assert scores.dice == pytest.approx(
        2 * (either[0] & either[1]).sum() / (either[0].sum() + either[1].sum())
    )


def test_nothing_on_a_side():
    mask = np.ones((1, 3, 4), bool)
    for empty in ([], np.zeros((0, 3, 4), bool), np.zeros((3, 4), int)):
        table = overlapping_table(mask, empty)
        assert (table.truth_pixels, table.prediction_pixels, table.shared_pixels) == (12, 0, 0)
        assert len(table.rows) == len(table.prediction_ids) == 0
        assert overlapping_table(empty, mask).prediction_pixels == 12
        assert overlapping_table(empty, empty).truth_pixels == 0
        assert _masks(run_lengths(empty, (3, 4))).shape == (0, 3, 4)
        assert to_coco(run_lengths(empty)) == []
    zero = np.zeros((0, 5), int)
    _assert_same(overlapping_table(zero, zero), contingency_table(zero, zero))
    _assert_same(overlapping_table(zero.T, zero.T), contingency_table(zero.T, zero.T))


def test_patches_alone_need_no_shape():
    square = np.ones((2, 2), bool)
    table = overlapping_table([(5, 5, square), (9, 0, square)], [(6, 6, square)])
    assert table.intersections.tolist() == [1]
    assert run_lengths([(5, 5, square), (9, 0, square)]).shape == (11, 7)


def test_floods():
    truth = np.zeros((1000, 1000), np.int32)
    truth[::3, ::3] = np.arange(334**2).reshape(334, 334)
    one = np.ones((1000, 1000), np.uint8)
    _assert_same(overlapping_table(truth, one), contingency_table(truth, one))
    patches = [(3 * (n // 333), 3 * (n % 333), np.ones((2, 1), bool)) for n in range(333**2)]
    table = overlapping_table(patches, one)
    assert table.shared_pixels == table.truth_pixels == 2 * 333**2
    assert (table.intersections == 2).all()


def test_read_only_and_strided_input():
    stack = _discs(np.random.default_rng(4), 6)
    view = np.repeat(stack, 2, axis=2)[:, :, ::2]
    view.flags.writeable = False
    _assert_same(overlapping_table(view, view[::-1]), overlapping_table(stack, stack[::-1]))


@pytest.mark.parametrize(
    ("instances", "shape", "message"),
    [
        (np.zeros((2, 3, 3), int), None, r"stack of masks \(N, H, W\) must be bool, got int64"),
        (np.zeros((3,), int), None, r"label map \(H, W\) or masks \(N, H, W\), got \(3,\)"),
        (np.zeros((3, 3)), None, "must hold integer ids, got float64"),
        (np.full((3, 3), -2), None, "holds the negative id -2"),
        (np.zeros((2, 3, 3), bool), None, r"instances\[0\] has no pixel"),
        ([(0, 0, np.ones((1, 1)))], None, r"instances\[0\] must be 2-D bool"),
        ([(2, 2, np.ones((2, 2), bool))], (3, 3), r"corner at \(2, 2\).*leaves the image"),
        ([(-1, 0, np.ones((2, 2), bool))], (3, 3), r"corner at \(-1, 0\).*leaves the image"),
        ([3], None, r"instances\[0\] is a int; give a bool mask"),
        (["1 2"], None, r"give shape=\(H, W\)"),
        (["1 2 3"], (3, 3), r"instances\[0\]: run lengths must be pairs"),
        (["0 2"], (3, 3), r"instances\[0\]: run lengths must be pairs .* from 1, got '0 2'"),
        (["1 2", "4 3 5 1"], (3, 3), r"run lengths of instances\[1\] overlap each other"),
        (["9 2"], (3, 3), r"instances\[0\] leaves the image of \(3, 3\)"),
        ([{"size": [3, 3], "counts": [1, 2]}], None, r"add up to its 9 pixels, these add up to 3"),
        ([{"size": [3, 3], "counts": "1\n"}], None, "not a compressed string of counts"),
        ([{"size": [3, 3], "counts": "PP"}], None, "not a compressed string of counts"),
        (
            [np.ones((3, 3), bool), np.ones((3, 4), bool)],
            None,
            r"instances\[1\] has size \(3, 4\), an earlier one \(3, 3\)",
        ),
        (np.ones((3, 3), int), (3, 4), r"shape \(3, 4\) was asked for.*have \(3, 3\)"),
    ],
)
def test_mistakes_are_named(instances, shape, message):
    with pytest.raises(ValueError, match=message):
        run_lengths(instances, shape)


def test_unequal_sizes_are_named():
    with pytest.raises(ValueError, match=r"truth has shape \(3, 3\), prediction \(3, 4\)"):
        overlapping_table(np.ones((3, 3), int), np.ones((2, 3, 4), bool))
