"""Crops in which nuclei have about one size."""

import numpy as np
import pytest

from jaxnuc.data.sample import Sample
from jaxnuc.data.synthetic import generate
from jaxnuc.data.transforms.diameter import CropAtDiameter, typical_diameter


def discs(radius, side=400, distance=3):
    """Discs of one radius in a grid; the image is their mask."""
    rows, cols = np.mgrid[:side, :side]
    step = distance * radius
    cell = rows // step * (side // step + 1) + cols // step + 1
    inside = (rows % step - step / 2) ** 2 + (cols % step - step / 2) ** 2 < radius**2
    instances = np.where(inside, cell, 0).astype(np.int32)
    return Sample(np.repeat(inside[..., None] * np.uint8(200), 3, -1), instances)


def test_typical_diameter_is_the_median_of_discs_of_the_areas():
    instances = np.zeros((20, 60), np.int32)
    for number, side in enumerate((2, 4, 10), start=7):
        instances[:side, 20 * (number - 7) :][:, :side] = number
    assert typical_diameter(instances) == pytest.approx(2 * np.sqrt(16 / np.pi))
    assert typical_diameter(np.zeros((5, 5), np.int32)) == 0


@pytest.mark.parametrize("radius", [4, 10, 40])
def test_nuclei_get_the_diameter_whatever_they_had(radius):
    sample = discs(radius)
    found = CropAtDiameter(128, 20, 1, 1)(sample, np.random.default_rng(0))
    assert found.image.shape == (128, 128, 3)
    inner = found.instances[32:96, 32:96]
    whole = np.setdiff1d(inner, np.concatenate([found.instances[[0, -1]].ravel(), [0]]))
    whole = np.setdiff1d(whole, found.instances[:, [0, -1]])
    areas = np.bincount(found.instances.ravel())[whole]
    assert np.median(2 * np.sqrt(areas / np.pi)) == pytest.approx(20, rel=0.05)
    # Image and instances stay registered.
    bright = found.image[..., 0] > 100
    assert (bright == (found.instances > 0)).mean() > 0.97


def test_the_random_factor_is_uniform_in_log_scale():
    sample, sizes = discs(10), []
    for seed in range(200):
        found = CropAtDiameter(128, 20, 0.5, 2)(sample, np.random.default_rng(seed))
        sizes.append(np.sqrt((found.instances > 0).sum() / len(np.unique(found.instances))))
    logs = np.log(np.array(sizes) / np.median(sizes))
    assert np.quantile(logs, 0.1) < -0.35
    assert np.quantile(logs, 0.9) > 0.35


def test_windows_hold_nuclei_as_often_as_asked_for():
    instances = np.zeros((500, 500), np.int32)
    instances[400:420, 30:50] = 1  # one nucleus, which few windows would meet by chance
    sample = Sample(np.zeros((500, 500, 3), np.uint8), instances)

    def share(p):
        crop = CropAtDiameter(64, 22, 1, 1, p=p)
        found = [crop(sample, np.random.default_rng(k)).instances.any() for k in range(200)]
        return np.mean(found)

    assert share(1.0) == 1
    assert share(0.5) == pytest.approx(0.5, abs=0.15)
    assert share(0.0) < 0.15


def test_an_image_without_nuclei_and_one_that_is_smaller_than_the_window():
    empty = Sample(np.zeros((90, 120, 3), np.uint8), np.zeros((90, 120), np.int32))
    assert CropAtDiameter(128)(empty, np.random.default_rng(0)).image.shape == (128, 128, 3)
    small = generate(1, size=48, style="fluorescence")
    found = CropAtDiameter((64, 96), 12)(small, np.random.default_rng(0))
    assert found.instances.shape == (64, 96)


def test_refuses_what_is_no_size():
    with pytest.raises(ValueError, match="diameter=0: a number of pixels above 0"):
        CropAtDiameter(64, 0)
    with pytest.raises(ValueError, match="low=2, high=1"):
        CropAtDiameter(64, 20, 2, 1)
