"""Normalization by name: what it does to whole images, in training and in use alike."""

import numpy as np
import pytest

from jaxnuc.data import stains
from jaxnuc.data.normalize import REGISTRY, Normalize
from jaxnuc.data.synthetic import generate

SAMPLE = generate(3, size=96, style="he")


@pytest.mark.parametrize("name", REGISTRY.names())
def test_the_image_alone_changes_and_alike_in_both_ways(name):
    normalize = Normalize(name)
    image = normalize.image(SAMPLE.image)
    assert (image.shape, image.dtype) == (SAMPLE.image.shape, np.uint8)
    sample = normalize(SAMPLE, np.random.default_rng(0))
    np.testing.assert_array_equal(sample.image, image)
    np.testing.assert_array_equal(sample.instances, SAMPLE.instances)
    assert (name == "none") == np.array_equal(image, SAMPLE.image)


@pytest.mark.parametrize("name", stains.METHODS)
def test_stains_are_those_of_the_default_target(name):
    image = Normalize(name).image(SAMPLE.image)
    np.testing.assert_array_equal(image, stains.normalize(SAMPLE.image, name))
    if name == "reinhard":
        mean, spread = stains.lab(image)
        np.testing.assert_allclose(mean, stains.TARGET_LAB.mean, atol=4)
        np.testing.assert_allclose(spread, stains.TARGET_LAB.std, atol=4)
    else:
        found = getattr(stains, name)(image).matrix
        cosines = (found * stains.TARGET.matrix).sum(1) / (
            np.linalg.norm(found, axis=1) * np.linalg.norm(stains.TARGET.matrix, axis=1)
        )
        assert np.rad2deg(np.arccos(cosines)).max() < 8


@pytest.mark.parametrize("name", REGISTRY.names())
def test_parts_are_normalized_as_the_whole_is(name):
    normalize = Normalize(name)
    part = np.s_[5:40, 60:]
    found = normalize.fitted(SAMPLE.image)(SAMPLE.image[part])
    # Linear algebra on fewer pixels may round half a level the other way.
    np.testing.assert_allclose(found, normalize.image(SAMPLE.image)[part].astype(int), atol=1)
    if name != "none":
        assert np.any(found != normalize.image(SAMPLE.image[part]))


def test_percentiles_stretch_and_keep_hues():
    rng = np.random.default_rng(0)
    image = rng.integers(20, 60, (50, 60, 3), dtype=np.uint8)
    image[0, 0] = 255  # one hot pixel must not decide
    low, high = np.quantile(image, [0.01, 0.998], method="inverted_cdf")
    expected = np.clip(np.round((image - float(low)) * 255 / (high - float(low))), 0, 255)
    np.testing.assert_array_equal(Normalize("percentile").image(image), expected)
    flat = np.full((4, 4, 3), 7, np.uint8)
    np.testing.assert_array_equal(Normalize("percentile").image(flat), flat)


def test_a_bright_background_becomes_a_dark_one():
    image = generate(3, size=96, style="fluorescence").image
    expected = Normalize("percentile").image(image)
    assert np.median(expected) < 128
    normalize = Normalize("dark_background")
    np.testing.assert_array_equal(normalize.image(image), expected)
    np.testing.assert_array_equal(normalize.image(255 - image), expected)
    part = np.s_[5:40, 60:]
    np.testing.assert_array_equal(
        normalize.fitted(255 - image)((255 - image)[part]), expected[part]
    )


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"'macenco'; known: .*; did you mean 'macenko'"):
        Normalize("macenco")
