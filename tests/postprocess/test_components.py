"""Components against a literal flood fill and SciPy's, sizes against one mask per instance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from jaxnuc.postprocess.components import binary, label_components, remove_small


def flood(mask, min_size, connectivity):
    """Starts a component at each first pixel in raster order and walks through it."""
    labels, n, seen = np.zeros(mask.shape, int), 0, np.zeros(mask.shape, bool)
    for start in map(tuple, np.argwhere(mask)):
        if seen[start]:
            continue
        seen[start] = True
        component = [start]
        for r, c in component:
            for dr in (-1, 0, 1):
                for dc in (-1, 0, 1):
                    q = (r + dr, c + dc)
                    inside = 0 <= q[0] < mask.shape[0] and 0 <= q[1] < mask.shape[1]
                    near = abs(dr) + abs(dc) <= connectivity
                    if inside and near and mask[q] and not seen[q]:
                        seen[q] = True
                        component.append(q)
        if len(component) >= min_size:
            n += 1
            labels[tuple(np.transpose(component))] = n
    return labels


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("min_size", [0, 1, 2, 5])
@pytest.mark.parametrize("density", [0.2, 0.45, 0.7])
def test_equals_a_flood_fill(connectivity, min_size, density):
    mask = np.random.default_rng(1).random((25, 40)) < density
    labels = label_components(mask, min_size, connectivity)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, flood(mask, min_size, connectivity))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    density=st.floats(0, 1),
    layout=st.sampled_from(["as it is", "transposed", "strided"]),
)
def test_equals_scipy_on_noise(seed, shape, density, layout):
    # Sides of any parity, where blocks of pixels would leave a rest.
    mask = np.random.default_rng(seed).random(shape) < density
    mask = {"as it is": mask, "transposed": mask.T, "strided": mask[::2, ::-2]}[layout]
    mask.flags.writeable = False
    for connectivity in (1, 2):
        structure = ndimage.generate_binary_structure(2, connectivity)
        labels = label_components(mask, connectivity=connectivity)
        np.testing.assert_array_equal(labels, ndimage.label(mask, structure)[0])


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 3), (5, 4), (99, 101)])
def test_the_most_components_there_can_be(shape, connectivity):
    # Single pixels as near to each other as they can be without being neighbors.
    row, col = np.indices(shape)
    mask = (row + col) % 2 == 0 if connectivity == 1 else (row % 2 == 0) & (col % 2 == 0)
    expected = np.cumsum(mask).reshape(shape) * mask
    np.testing.assert_array_equal(label_components(mask, connectivity=connectivity), expected)


def test_a_flood_of_components():
    mask = np.zeros((500, 800), bool)
    mask[::2, ::2] = True
    mask[0, 1] = True  # the first two are one of three pixels
    labels = label_components(mask)
    assert labels.max() == 99_999
    kept = label_components(mask, min_size=2)
    assert np.argwhere(kept).tolist() == [[0, 0], [0, 1], [0, 2]]
    assert (label_components(np.ones((500, 800), np.uint8), min_size=400_000) == 1).all()


def test_exactly_the_smallest_size_stays():
    mask = np.array([[1, 1, 0, 1, 1, 1]])
    assert label_components(mask, min_size=2).tolist() == [[1, 1, 0, 2, 2, 2]]
    assert label_components(mask, min_size=3).tolist() == [[0, 0, 0, 1, 1, 1]]
    assert label_components(mask, min_size=4).tolist() == [[0] * 6]


def test_any_integer_is_foreground():
    assert label_components(np.array([[255, 0, 3]], np.uint8)).tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (4, 0), (0, 0)])
@pytest.mark.parametrize("min_size", [0, 3])
def test_empty_mask(shape, min_size):
    labels = label_components(np.zeros(shape, bool), min_size)
    np.testing.assert_array_equal(labels, np.zeros(shape))


@pytest.mark.parametrize(
    ("mask", "arguments", "message"),
    [
        (np.zeros((2, 2, 1), bool), {}, r"mask must be \(H, W\), got shape \(2, 2, 1\)"),
        (np.zeros((2, 2)), {}, "mask must be bool or integer, got float64; threshold probab"),
        (np.full((2, 2), np.nan, np.float32), {}, "got float32; threshold probabilities first"),
        (np.full((2, 2), np.inf), {}, "got float64; threshold probabilities first"),
        (np.zeros((2, 2), bool), {"connectivity": 8}, "connectivity 8 is neither 1"),
    ],
)
def test_bad_input_is_refused(mask, arguments, message):
    with pytest.raises(ValueError, match=message):
        label_components(mask, **arguments)


def test_binary_is_a_new_array():
    for source in (np.array([[True, False]]), np.array([[255, 0]], np.uint8), np.array([[-1, 0]])):
        mask = binary(source, "mask")
        assert mask.dtype == bool
        assert mask.tolist() == [[True, False]]
        mask[:] = False
        assert source.any()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    labels=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.int64, np.uint64]),
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=8),
        elements=st.sampled_from([0, 0, 1, 2, 3, 90, 250]),
    ),
    min_size=st.integers(-1, 6),
)
def test_small_instances_equal_masks(labels, min_size):
    large = labels.astype(np.int64) << 54  # ids up to 2**62
    before = large.copy()
    expected, n = np.zeros(labels.shape, int), 0
    for i in np.unique(labels[labels > 0]):
        if (labels == i).sum() >= min_size:
            n += 1
            expected[labels == i] = n
    for instances in (labels, labels.T.copy().T, large):
        kept = remove_small(instances, min_size)
        assert kept.dtype == np.int32
        np.testing.assert_array_equal(kept, expected)
        kept += 1
    np.testing.assert_array_equal(large, before)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones(3, int), r"instances must be \(H, W\), got shape \(3,\)"),
        (np.ones((2, 2)), "instances must hold integers, got float64"),
        (np.full((2, 2), -3), "instances holds the negative number -3"),
    ],
)
def test_bad_label_maps_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        remove_small(labels, 2)
