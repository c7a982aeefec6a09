"""Components against a literal flood fill."""

import numpy as np
import pytest

from jaxnuc.postprocess import label_components


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


def test_exactly_the_smallest_size_stays():
    mask = np.array([[1, 1, 0, 1, 1, 1]])
    assert label_components(mask, min_size=2).tolist() == [[1, 1, 0, 2, 2, 2]]
    assert label_components(mask, min_size=3).tolist() == [[0, 0, 0, 1, 1, 1]]
    assert label_components(mask, min_size=4).tolist() == [[0] * 6]


def test_any_integer_is_foreground():
    assert label_components(np.array([[255, 0, 3]], np.uint8)).tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("shape", [(3, 4), (0, 4)])
@pytest.mark.parametrize("min_size", [0, 3])
def test_empty_mask(shape, min_size):
    labels = label_components(np.zeros(shape, bool), min_size)
    np.testing.assert_array_equal(labels, np.zeros(shape))


@pytest.mark.parametrize(
    ("mask", "arguments", "message"),
    [
        (np.zeros((2, 2, 1), bool), {}, r"mask must be \(H, W\), got shape \(2, 2, 1\)"),
        (np.zeros((2, 2)), {}, "got float64; threshold probabilities first"),
        (np.zeros((2, 2), bool), {"connectivity": 8}, "connectivity 8 is neither 1"),
    ],
)
def test_bad_input_is_refused(mask, arguments, message):
    with pytest.raises(ValueError, match=message):
        label_components(mask, **arguments)
