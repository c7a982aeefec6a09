"""Regions, class votes, new numbers and holes against one mask per instance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from jaxnuc.postprocess.regions import (
    class_votes,
    fill_holes,
    regions,
    relabel,
)

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9)
IDS = [0, 0, 0, 1, 2, 7, 250]
DTYPES = [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


@st.composite
def label_maps(draw, shapes=SHAPES):
    """Maps of any layout and dtype, with gaps in the ids; wide dtypes have some up to 2**62."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    ids = IDS + [2**62, 2**62 - 1] * (dtype.itemsize == 8)
    labels = draw(hnp.arrays(dtype, shapes, elements=st.sampled_from(ids)))
    if draw(st.booleans()):
        labels = labels.T
    labels.flags.writeable = False
    return labels


def example_based(test):
    return settings(max_examples=150, deadline=None, derandomize=True)(test)


def ids_of(labels):
    return [i for i in np.unique(labels) if i]


@example_based
@given(label_maps())
def test_regions_equal_masks(labels):
    found = regions(labels)
    ids = ids_of(labels)
    assert found.ids.dtype == labels.dtype
    assert found.ids.tolist() == ids
    assert found.areas.dtype == found.boxes.dtype == np.int64
    assert found.boxes.shape == (len(ids), 4)
    assert found.centroids.shape == (len(ids), 2)
    for position, i in enumerate(ids):
        at = np.argwhere(labels == i)
        assert found.areas[position] == len(at)
        assert found.boxes[position].tolist() == [*at.min(axis=0), *(at.max(axis=0) + 1)]
        np.testing.assert_allclose(found.centroids[position], at.mean(axis=0), rtol=1e-14)


def test_regions_of_a_mask():
    found = regions(np.array([[False, True], [True, True]]))
    assert found.ids.tolist() == [1]
    assert found.areas.tolist() == [3]


@example_based
@given(label_maps())
def test_relabel_equals_ranks(labels):
    before = labels.copy()
    numbered = relabel(labels)
    expected = np.zeros(labels.shape, int)
    for rank, i in enumerate(ids_of(labels), 1):
        expected[labels == i] = rank
    assert numbered.dtype == np.int32
    np.testing.assert_array_equal(numbered, expected)
    numbered += 1
    np.testing.assert_array_equal(labels, before)


def literal_votes(labels, classes):
    """HoVer-Net's rule: the most frequent class; if that is 0, the second most frequent."""
    result = []
    for i in ids_of(labels):
        inside = classes[labels == i].tolist()
        ranking = sorted(set(inside), key=lambda c: (-inside.count(c), c))
        best = ranking[0] if ranking[0] or len(ranking) == 1 else ranking[1]
        result.append((best, inside.count(best) / len(inside)))
    return result


@example_based
@given(st.data())
def test_class_votes_equal_hovernets_rule(data):
    labels = data.draw(label_maps())
    values = data.draw(st.sampled_from([[0], [1, 2], [0, 1, 2, 3], [0, 5, 2**40]]))
    classes = data.draw(hnp.arrays(np.int64, labels.shape, elements=st.sampled_from(values)))
    expected = literal_votes(labels, classes)
    for n_classes in (None, values[-1] + 1):
        chosen, shares = class_votes(labels, classes, n_classes)
        assert chosen.dtype == np.int64
        assert shares.dtype == np.float64
        assert list(zip(chosen.tolist(), shares.tolist(), strict=True)) == expected


def test_votes_of_many_instances_for_many_classes():
    # A table of all pairs would have 10^10 entries.
    labels = np.arange(1, 100_001).reshape(250, 400)
    chosen, shares = class_votes(labels, labels[::-1])
    np.testing.assert_array_equal(chosen, labels[::-1].ravel())
    assert (shares == 1).all()


def test_votes_between_equals_and_background():
    labels = np.repeat(np.array([[3, 4, 9]]), 4, axis=1)
    classes = np.array([[2, 2, 1, 1, 0, 0, 0, 2, 0, 0, 0, 0]], np.uint8)
    chosen, shares = class_votes(labels, classes)
    assert chosen.tolist() == [1, 2, 0]
    assert shares.tolist() == [0.5, 0.25, 1]


def literal_holes(labels):
    """Each part of the background that has one neighbor and does not reach the border."""
    filled = labels.copy()
    parts, n = ndimage.label(labels == 0)
    for part in range(1, n + 1):
        inside = parts == part
        around = ndimage.binary_dilation(inside) & ~inside
        border = inside[[0, -1]].any() or inside[:, [0, -1]].any()
        if not border and len(np.unique(labels[around])) == 1:
            filled[inside] = labels[around][0]
    return filled


@example_based
@given(label_maps(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)))
def test_holes_equal_parts_of_the_background(labels):
    before = labels.copy()
    filled = fill_holes(labels)
    assert filled.dtype == labels.dtype
    np.testing.assert_array_equal(filled, literal_holes(labels))
    filled += 1
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("seed", range(4))
def test_holes_of_apart_instances_equal_scipy(seed):
    # Where no instance lies in or touches another, the holes are those of each mask on its own.
    rng = np.random.default_rng(seed)
    labels = np.zeros((60, 80), np.uint16)
    for number, (row, col) in enumerate(np.ndindex(3, 4), 1):
        blob = rng.random((18, 18)) < 0.7
        parts, n = ndimage.label(blob, np.ones((3, 3)))
        largest = 1 + np.argmax(ndimage.sum_labels(blob, parts, range(1, n + 1)))
        labels[20 * row : 20 * row + 18, 20 * col : 20 * col + 18] = (parts == largest) * number
    expected = labels.copy()
    for i in ids_of(labels):
        expected[ndimage.binary_fill_holes(labels == i)] = i
    assert (expected != labels).sum() > 100
    np.testing.assert_array_equal(fill_holes(labels), expected)


def test_an_instance_within_another_keeps_its_surroundings():
    labels = np.zeros((11, 11), int)
    labels[1:10, 1:10] = 5
    labels[2:9, 2:6] = 0
    labels[4:6, 3:5] = 8  # stands free in the first hole of 5
    labels[3, 7] = labels[4, 8] = 0  # two more holes: parts of the background share edges
    labels[7, 7], labels[7, 8] = 0, 9  # between 5 and 9
    expected = labels.copy()
    expected[3, 7] = expected[4, 8] = 5
    np.testing.assert_array_equal(fill_holes(labels), expected)


def test_a_flood_of_instances():
    # 10^5 nuclei of 2 x 3 pixels, each with a gap on its right and below.
    ids = np.arange(1, 100_001, dtype=np.int64).reshape(250, 400)[::-1] * 2**40
    labels = np.zeros((750, 1600), np.int64)
    for row in range(2):
        for col in range(3):
            labels[row::3, col::4] = ids
    found = regions(labels)
    row, col = np.divmod(np.arange(100_000), 400)
    row = 249 - row
    np.testing.assert_array_equal(found.ids, np.sort(ids.ravel()))
    assert (found.areas == 6).all()
    boxes = np.stack([3 * row, 4 * col, 3 * row + 2, 4 * col + 3], axis=1)
    np.testing.assert_array_equal(found.boxes, boxes)
    np.testing.assert_allclose(found.centroids, np.stack([3 * row + 0.5, 4 * col + 1], axis=1))

    np.testing.assert_array_equal(relabel(labels), labels // 2**40)
    chosen, shares = class_votes(labels, (labels // 2**40 % 7).astype(np.uint8), 7)
    np.testing.assert_array_equal(chosen, np.arange(1, 100_001) % 7)
    assert (shares == 1).all()
    np.testing.assert_array_equal(fill_holes(labels), labels)


def test_a_flood_of_holes():
    # 10^5 rings of 3 x 3 pixels side by side.
    ids = np.arange(1, 100_001, dtype=np.int32).reshape(250, 400)
    full = ids.repeat(3, axis=0).repeat(3, axis=1)
    labels = full.copy()
    labels[1::3, 1::3] = 0
    np.testing.assert_array_equal(fill_holes(labels), full)


def test_one_instance_over_the_whole_image():
    labels = np.full((400, 300), 2**62)
    found = regions(labels)
    assert found.ids.tolist() == [2**62]
    assert found.areas.tolist() == [120_000]
    assert found.boxes.tolist() == [[0, 0, 400, 300]]
    assert found.centroids.tolist() == [[199.5, 149.5]]
    assert (relabel(labels) == 1).all()
    chosen, shares = class_votes(labels, np.full(labels.shape, 3))
    assert (chosen.tolist(), shares.tolist()) == ([3], [1])
    holed = labels.copy()
    holed[1:-1, 1:-1] = 0
    np.testing.assert_array_equal(fill_holes(holed), labels)
    holed[0, 5] = holed[1, 5] = 0  # open to the border: no hole any more
    np.testing.assert_array_equal(fill_holes(holed), holed)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (1, 1), (5, 6)])
def test_no_instance(shape):
    empty = np.zeros(shape, np.uint16)
    found = regions(empty)
    sizes = [found.ids.shape, found.areas.shape, found.boxes.shape, found.centroids.shape]
    assert sizes == [(0,), (0,), (0, 4), (0, 2)]
    assert [each.shape for each in class_votes(empty, empty + 1)] == [(0,), (0,)]
    assert relabel(empty).shape == fill_holes(empty).shape == shape
    assert not relabel(empty).any()
    assert not fill_holes(empty).any()


LABELS = np.ones((2, 3), int)


@pytest.mark.parametrize("function", [regions, relabel, fill_holes])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((2, 3, 1), int), r"instances must be \(H, W\), got shape \(2, 3, 1\)"),
        (np.ones(3, int), r"got shape \(3,\)"),
        (np.full((2, 3), np.nan), "instances must hold integers, got float64"),
        (-LABELS, "instances holds the negative number -1"),
    ],
)
def test_bad_label_maps_are_refused(function, labels, message):
    with pytest.raises(ValueError, match=message):
        function(labels)


@pytest.mark.parametrize(
    ("labels", "classes", "n_classes", "message"),
    [
        (LABELS, LABELS.T, None, r"instances has height and width \(2, 3\), class_map \(3, 2\)"),
        (LABELS, LABELS * 0.5, None, "class_map must hold integers, got float64"),
        (LABELS, -LABELS, None, "class_map holds the negative number -1"),
        (LABELS, LABELS * 5, 5, r"class 5, n_classes is 5 .* classes are 0..n_classes - 1"),
        (LABELS * 1.5, LABELS, None, "instances must hold integers, got float64"),
    ],
)
def test_bad_class_maps_are_refused(labels, classes, n_classes, message):
    with pytest.raises(ValueError, match=message):
        class_votes(labels, classes, n_classes)
