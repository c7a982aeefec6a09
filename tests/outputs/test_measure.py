"""Measurements equal those of scikit-image, nucleus by nucleus."""

from collections.abc import Callable

import numpy as np
import pytest
from skimage.draw import ellipse
from skimage.measure import regionprops

from jaxnuc.data.stains import concentrations
from jaxnuc.outputs import measure
from jaxnuc.outputs.measure import RUIFROK
from jaxnuc.postprocess.masks import Mask

SHAPE = (150, 220)
Blobs = Callable[[int, int], tuple[Mask, ...]]

NAMES = {
    "area": "area",
    "perimeter": "perimeter",
    "major_axis": "axis_major_length",
    "minor_axis": "axis_minor_length",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
}


def ellipses(n: int) -> tuple[Mask, ...]:
    rng = np.random.default_rng(5)
    masks = []
    for _ in range(n):
        mask = np.zeros((61, 61), bool)
        mask[ellipse(30, 30, *rng.uniform(1, 28, 2), rotation=rng.uniform(0, 3))] = True
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        crop = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        masks.append(Mask(*rng.integers(0, 80, 2).tolist(), crop))
    return tuple(masks)


@pytest.mark.filterwarnings("ignore:Failed to get convex hull image")
def test_equals_regionprops(blobs: Blobs) -> None:
    masks = blobs(150, 1) + ellipses(60) + (Mask(3, 4, np.ones((1, 1), bool)),)
    found = measure(masks)
    for k, (row, col, mask) in enumerate(masks):
        image = np.zeros(SHAPE, np.uint8)
        image[row : row + mask.shape[0], col : col + mask.shape[1]] = mask
        (truth,) = regionprops(image)
        place = [found[name][k] for name in ("centroid_row", "centroid_col")]
        np.testing.assert_allclose(place, truth.centroid, rtol=1e-12)
        box = [found[name][k] for name in ("row_min", "col_min", "row_max", "col_max")]
        assert tuple(box) == truth.bbox
        for name, theirs in NAMES.items():
            # Their moments are of large numbers: the axes of a line are 1e-7 instead of 0.
            np.testing.assert_allclose(
                found[name][k], truth[theirs], rtol=1e-7, atol=2e-6, err_msg=name
            )


def test_stains_are_means_over_the_pixels(blobs: Blobs) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    masks = blobs(20, 2)
    own = np.array([[0.6, 0.7, 0.3], [0.2, 0.9, 0.4]])
    for stains, matrix in (("ruifrok", RUIFROK), (own, own)):
        found = measure(masks, image, stains=stains)
        density = concentrations(image, matrix)
        for k, (row, col, mask) in enumerate(masks):
            inside = density[row : row + mask.shape[0], col : col + mask.shape[1]][mask]
            ours = [found["hematoxylin"][k], found["eosin"][k]]
            np.testing.assert_allclose(ours, inside.mean(0), rtol=1e-5, atol=1e-6)


def test_an_image_may_lie_anywhere_in_the_whole(blobs: Blobs) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    masks = blobs(20, 2)
    moved = [Mask(row + 1000, col + 500, mask) for row, col, mask in masks]
    here, there = measure(masks, image), measure(moved, image, corner=(1000, 500))
    np.testing.assert_allclose(there["centroid_row"], here["centroid_row"] + 1000)
    np.testing.assert_array_equal(there["col_max"], here["col_max"] + 500)
    for name in ("eosin", "solidity", "perimeter", "major_axis"):
        np.testing.assert_array_equal(there[name], here[name])
    with pytest.raises(ValueError, match="corner"):
        measure(moved, image)


def test_micrometers(blobs: Blobs) -> None:
    found = measure(blobs(5, 3), mpp=0.25)
    np.testing.assert_allclose(found["area_um2"], found["area"] / 16)
    np.testing.assert_allclose(found["perimeter_um"], found["perimeter"] / 4)
    assert "area_um2" not in measure(blobs(5, 3))


def test_nothing_and_bad_input(blobs: Blobs) -> None:
    image = np.zeros((*SHAPE, 3), np.uint8)
    found = measure([], image, mpp=1)
    assert {column.shape for column in found.values()} == {(0,)}
    assert found.keys() == measure(blobs(2, 0), image, mpp=1).keys()
    with pytest.raises(ValueError, match=r"masks\[1\] has no pixel"):
        measure([*blobs(1, 0), Mask(0, 0, np.zeros((2, 2), bool))])
    with pytest.raises(ValueError, match="unknown stain vectors"):
        measure(blobs(1, 0), image, stains="ruifork")
