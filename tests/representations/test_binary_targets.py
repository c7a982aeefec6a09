"""U-Net's targets against what they are, nucleus by nucleus."""

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc import representations
from jaxnuc.data.synthetic import generate
from jaxnuc.representations.targets.border import border_weights, eroded, two_nearest


def scattered(n, seed=0):
    """n small rectangles with gaps in their ids; some touch, cover or hide others."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((40, 50), np.int32)
    for k in range(1, n + 1):
        (row, col), (height, width) = rng.integers(0, (36, 46)), rng.integers(1, 5, 2)
        labels[row : row + height, col : col + width] = 3 * k
    return labels


def test_erosion_is_that_of_each_nucleus():
    for labels in (scattered(40), generate(2, size=96).instances, np.full((5, 6), 7)):
        expected = np.zeros_like(labels)
        for k in np.unique(labels[labels > 0]):
            expected[ndimage.binary_erosion(labels == k, border_value=1)] = k
        np.testing.assert_array_equal(eroded(labels), expected)


@pytest.mark.parametrize("n", [2, 3, 4, 6, 7, 10, 11, 20, 21, 35, 70])
def test_the_two_nearest_instances(n):
    labels = scattered(n, seed=n)
    ids = np.unique(labels[labels > 0])
    assert len(ids) > n / 2
    distances = np.sort([ndimage.distance_transform_edt(labels != k) for k in ids], axis=0)
    found = two_nearest(labels)
    np.testing.assert_allclose(found[0], distances[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], distances[1], rtol=1e-6)


def test_weights_between_two_nuclei():
    labels = np.array([[1, 0, 0, 2, 0], [1, 0, 0, 2, 0]])
    found = border_weights(labels, w0=4, sigma=2)
    expected = np.ones(labels.shape)
    expected[:, 1:3] += 4 * np.exp(-(3**2) / 8)  # 1 and 2 pixels from the two
    expected[:, 4] += 4 * np.exp(-(5**2) / 8)  # 1 and 4
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    "labels", [np.zeros((6, 7), int), np.ones((6, 7), int), np.eye(6, dtype=int)]
)
def test_weights_without_a_second_nucleus_are_1(labels):
    np.testing.assert_array_equal(border_weights(labels), np.ones(labels.shape))


def test_weights_are_those_of_the_nuclei_in_the_mask():
    labels = scattered(30)
    representation = representations.create(
        "binary", targets={"name": "weighted_mask", "erode": True, "w0": 7.0, "sigma": 3.0}
    )
    maps = representation.encode(labels)
    np.testing.assert_array_equal(maps["mask"][..., 0], eroded(labels) > 0)
    np.testing.assert_array_equal(maps["weight"][..., 0], border_weights(eroded(labels), 7, 3))
    assert (maps["weight"][maps["mask"] > 0] == 1).all()
    assert maps["weight"].max() > 2
    assert (maps["weight"].shape, maps["weight"].dtype) == ((40, 50, 1), np.float32)
