"""StarDist's targets against reference values and a literal walk along the rays."""

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.postprocess.regions import fill_holes
from jaxnuc.representations.targets.stars import edt_probability, star_distances

CASES = ["touching", "border_gap_ids", "small_and_holes", "one_object_fills_the_image", "empty"]


def literal_distances(labels, n_rays, grid):
    height, width = labels.shape
    out = np.zeros((len(range(0, height, grid)), len(range(0, width, grid)), n_rays))
    for i, j, k in np.argwhere(np.ones_like(out)):
        row, col = i * grid, j * grid
        if labels[row, col]:
            sine, cosine = np.sin(2 * np.pi * k / n_rays), np.cos(2 * np.pi * k / n_rays)
            step = 1
            while True:
                if n_rays % 3:
                    r, c = round(row + step * sine), round(col + step * cosine)
                else:  # steps may end halfway between two pixels: the same way from all of them
                    r, c = row + round(step * sine), col + round(step * cosine)
                inside = 0 <= r < height and 0 <= c < width
                if not inside or labels[r, c] != labels[row, col]:
                    break
                step += 1
            out[i, j, k] = step - (1 - 0.5 / max(abs(sine), abs(cosine)))
    return out


def literal_probability(labels):
    """One object at a time; outside the image counts as the object."""
    out = np.zeros(labels.shape)
    for i in np.unique(labels[labels > 0]):
        distances = ndimage.distance_transform_edt(labels == i)
        out[labels == i] = (distances / distances.max())[labels == i]
    return out


def blobs(shape, seed=0, n=12):
    rng = np.random.default_rng(seed)
    seeds = rng.uniform(0, shape, (n, 2))
    rows, cols = np.indices(shape)
    away = np.hypot(rows - seeds[:, :1, None], cols - seeds[:, 1:, None])
    return np.where(away.min(axis=0) < 7, away.argmin(axis=0) + 1, 0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("grid", [1, 2])
def test_reference_values(golden, case, grid):
    arrays, _ = golden("stardist")
    labels = arrays[f"target__{case}__label"]
    probability = edt_probability(labels, grid)
    assert probability.dtype == np.float32
    expected = arrays[f"target__{case}__prob_grid{grid}"]
    np.testing.assert_allclose(probability, expected, rtol=0, atol=1e-6)
    for n_rays in (32, 64):
        key = f"target__{case}__dist{n_rays}_grid{grid}"
        if key in arrays:
            distances = star_distances(labels, n_rays, grid)
            assert distances.dtype == np.float32
            np.testing.assert_allclose(distances, arrays[key], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_holes_are_filled_as_in_the_reference(golden, case):
    arrays, _ = golden("stardist")
    labels = arrays[f"target__{case}__label"]
    filled, expected = fill_holes(labels), arrays[f"target__{case}__label_filled"].copy()
    if case == "small_and_holes":
        # Object 10 stands free in a hole of object 300. The reference, which fills one object
        # after the other, paints over it; here it stays, and so does the gap around it.
        assert 10 not in expected
        expected[25:30, 10:15] = labels[25:30, 10:15]
    np.testing.assert_array_equal(filled, expected)


@pytest.mark.parametrize("n_rays", [3, 4, 5, 12, 32])
@pytest.mark.parametrize("grid", [1, 2, 3])
@pytest.mark.parametrize("shape", [(31, 26), (1, 40), (40, 1)])
def test_distances_are_those_of_a_literal_walk(n_rays, grid, shape):
    labels = blobs(shape)
    expected = literal_distances(labels, n_rays, grid)
    np.testing.assert_allclose(star_distances(labels, n_rays, grid), expected, atol=1e-5)


@pytest.mark.parametrize("grid", [1, 2, 3])
def test_distances_in_sparse_images_are_those_of_a_literal_walk(grid):
    """Where objects are packed before rays go through them; one of them is in two parts."""
    labels = blobs((70, 95), n=4)
    labels[[0, 69], 60:71] = labels.max()
    labels[60:70, 94] = 9
    expected = literal_distances(labels, 8, grid)
    np.testing.assert_allclose(star_distances(labels, 8, grid), expected, atol=1e-5)


def test_long_ways_and_several_blocks():
    """A bar through more pixels than are worked on at a time, longer than a byte can count."""
    labels = np.zeros((400, 400), np.uint8)
    labels[10:, 7:390] = 3
    distances = star_distances(labels, 4)
    rows, cols = np.nonzero(labels)
    ways = np.stack([390 - cols, 400 - rows, cols - 6, rows - 9], axis=1) - 0.5
    np.testing.assert_array_equal(distances[rows, cols], ways)
    assert not distances[labels == 0].any()


@pytest.mark.parametrize("grid", [1, 2])
def test_probability_is_that_of_each_object_alone(grid):
    labels = blobs((60, 50), n=20)
    expected = literal_probability(labels[::grid, ::grid])
    np.testing.assert_allclose(edt_probability(labels, grid), expected, atol=1e-6)


def test_any_ids_types_and_layouts():
    labels = blobs((40, 45))
    expected = star_distances(labels, 8), edt_probability(labels)
    far = np.array([0, *(2**62 - np.arange(12) * 2**50)])[labels]
    framed = np.zeros((45, 80), np.uint16)
    framed[:, ::2] = labels.T
    frozen = labels.astype(np.int64)
    frozen.flags.writeable = False
    for same in (far, far.astype(np.uint64), labels.astype(np.uint8), frozen, framed[:, ::2].T):
        np.testing.assert_array_equal(star_distances(same, 8), expected[0])
        np.testing.assert_array_equal(edt_probability(same), expected[1])


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (4, 0), (4, 5)])
def test_no_nuclei(shape):
    labels = np.zeros(shape, np.int32)
    height, width = -(-np.array(shape) // 2)
    distances, probability = star_distances(labels, 8, 2), edt_probability(labels, 2)
    assert distances.shape == (height, width, 8)
    assert probability.shape == (height, width)
    assert not distances.any()
    assert not probability.any()


def test_very_many_nuclei():
    labels = np.zeros((634, 634), np.int64)
    labels[::2, ::2] = np.arange(1, 317**2 + 1).reshape(317, 317)
    distances, probability = star_distances(labels, 4), edt_probability(labels)
    np.testing.assert_array_equal(distances, np.where(labels > 0, 0.5, 0)[..., None].repeat(4, -1))
    np.testing.assert_array_equal(probability, labels > 0)


def test_refusals():
    labels = np.ones((4, 5), int)
    for target in (edt_probability, star_distances):
        with pytest.raises(ValueError, match="must hold integers, got float64"):
            target(labels * 0.5)
        with pytest.raises(ValueError, match=r"got shape \(4, 5, 1\)"):
            target(labels[..., None])
        with pytest.raises(ValueError, match="negative number -1"):
            target(-labels)
        with pytest.raises(ValueError, match="grid 0 is not a positive integer"):
            target(labels, grid=0)
    with pytest.raises(ValueError, match="2 rays"):
        star_distances(labels, 2)


def test_rays_longer_than_a_byte_counts():
    line = np.ones((3, 700), np.int32)
    right, left = star_distances(line, n_rays=4)[1, :, [0, 2]]
    columns = np.arange(700)
    np.testing.assert_array_equal(right, 699 - columns + 0.5)
    np.testing.assert_array_equal(left, columns + 0.5)
    square = star_distances(np.ones((520, 520), np.int32), n_rays=4)
    np.testing.assert_array_equal(square[:, 0, 1], 519 - np.arange(520) + 0.5)
