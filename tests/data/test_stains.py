import doctest
import warnings

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from jaxnuc.data import color_spaces, stains
from jaxnuc.data.color_spaces import from_density, from_lab, optical_density, to_lab
from jaxnuc.data.stains import (
    Lab,
    Stains,
    concentrations,
    lab,
    macenko,
    normalize,
    vahadane,
)
from jaxnuc.data.synthetic import generate

ESTIMATES = [macenko, vahadane]
RUIFROK = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
OTHER = np.array([[0.50, 0.78, 0.37], [0.25, 0.85, 0.45]])


def unit(matrix):
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def amounts(seed=0, size=160, pure=0.3):
    """Random amounts of two stains; a part of the pixels holds one of them alone."""
    rng = np.random.default_rng(seed)
    amount = rng.exponential((0.35, 0.3), (size, size, 2))
    which = rng.random((size, size, 1))
    amount *= np.concatenate([which > pure, which < 1 - pure], axis=-1)
    return np.minimum(amount, 1.2)


def stained(matrix, seed=0, **kwargs):
    return from_density(amounts(seed, **kwargs) @ unit(matrix))


def degrees(a, b):
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("module", [stains, color_spaces])
def test_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("matrix", [RUIFROK, OTHER, RUIFROK[::-1]])
@pytest.mark.parametrize("estimate", ESTIMATES)
def test_known_stains_are_found(estimate, matrix):
    """Whatever their order, hematoxylin comes first."""
    truth = unit(matrix if matrix[0, 0] > matrix[1, 0] else matrix[::-1])
    found = estimate(stained(matrix))
    assert found.matrix.shape == (2, 3)
    assert (degrees(found.matrix, truth) < 2).all()
    np.testing.assert_allclose(np.linalg.norm(found.matrix, axis=1), 1)
    assert (found.matrix >= 0).all()


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_stains_at_right_angles(estimate):
    """Pure cyan beside pure yellow: no pixel has a share in both."""
    image = np.full((40, 40, 3), 255, np.uint8)
    image[:20, :, 0], image[20:, :, 2] = 0, 90
    found = estimate(image)
    np.testing.assert_allclose(found.matrix, [[1, 0, 0], [0, 0, 1]], atol=1e-5)
    same = normalize(image, estimate.__name__, found)
    assert np.abs(same.astype(int) - image).max() <= 1


@pytest.mark.parametrize("method", stains.METHODS)
def test_any_few_colors_are_normalized_or_left(method):
    rng = np.random.default_rng(0)
    for _ in range(60):
        colors = rng.integers(0, 2, (rng.integers(1, 5), 3), np.uint8) * 255
        image = colors[rng.integers(0, len(colors), (24, 24))]
        assert normalize(image, method).shape == image.shape


def test_macenko_needs_no_pure_pixels_but_some_spread():
    found = macenko(stained(RUIFROK, pure=0))
    assert (degrees(found.matrix, unit(RUIFROK)) < 2).all()


def test_strengths_are_percentiles_of_the_amounts():
    found = macenko(stained(RUIFROK, size=128))
    amount = amounts(size=128)
    tissue = (amount @ unit(RUIFROK)).max(-1) > 0.15
    truth = np.percentile(amount[tissue], 99, axis=0)
    np.testing.assert_allclose(found.strengths, truth, rtol=0.05)


def test_glass_around_the_tissue_changes_nothing():
    image = np.full((160, 320, 3), 250, np.uint8)
    image[:, :160] = stained(RUIFROK)
    assert (degrees(macenko(image).matrix, macenko(stained(RUIFROK)).matrix) < 0.5).all()


def test_concentrations_are_least_squares():
    image = stained(OTHER, size=40)
    density = optical_density(image).reshape(-1, 3)
    truth = np.linalg.lstsq(RUIFROK.T, density.T.astype(float), rcond=None)[0].T
    found = concentrations(image, RUIFROK)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.reshape(-1, 2), truth, atol=1e-5)
    # Up to the rounding of the levels, which is coarse where it is dark.
    error = np.abs(concentrations(image, unit(OTHER)) - amounts(size=40))
    assert error.mean() < 0.005
    assert error.max() < 0.1


@pytest.mark.parametrize("method", stains.METHODS)
def test_normalizing_to_itself_changes_nothing(method):
    for image in (stained(RUIFROK), stained(OTHER)):
        result = normalize(image, method, image)
        assert result.dtype == np.uint8
        assert np.abs(result.astype(int) - image).max() <= 2


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_one_tissue_under_two_stainings_becomes_one(method):
    first, second = stained(RUIFROK), from_density(amounts() * (0.7, 1.1) @ unit(OTHER))
    before = np.abs(first.astype(int) - second)
    after = np.abs(normalize(first, method).astype(int) - normalize(second, method))
    assert before.mean() > 10
    assert after.mean() < 3
    assert np.percentile(after, 95) < 10


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_normalized_images_have_the_target_s_stains(method):
    result = normalize(stained(RUIFROK), method)
    found = stains.ESTIMATORS[method](result)
    assert (degrees(found.matrix, stains.TARGET.matrix) < 3).all()
    np.testing.assert_allclose(found.strengths, stains.TARGET.strengths, rtol=0.1)
    by_image = normalize(stained(OTHER), method, result)
    by_numbers = normalize(stained(OTHER), method, found)
    np.testing.assert_array_equal(by_image, by_numbers)


def test_reinhard_gives_the_target_s_means_and_deviations():
    image = stained(RUIFROK, size=96)
    # Within what sRGB can show, so that nothing is clipped.
    target = Lab(np.array([60.0, 15.0, -10.0]), np.array([6.0, 4.0, 3.0]))
    result = lab(normalize(image, "reinhard", target))
    np.testing.assert_allclose(result.mean, target.mean, atol=0.3)
    np.testing.assert_allclose(result.std, target.std, atol=0.3)
    truth = rgb2lab(image)
    wanted = (truth - truth.mean((0, 1))) / truth.std((0, 1)) * target.std + target.mean
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # colors outside of sRGB
        wanted = 255 * lab2rgb(wanted)
    assert np.abs(normalize(image, "reinhard", target) - wanted).mean() < 0.5


def test_lab_is_scikit_image_s():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_allclose(to_lab(image), rgb2lab(image), atol=1e-3)
    np.testing.assert_array_equal(from_lab(to_lab(image)), image)
    assert to_lab(image).dtype == np.float32


def test_all_densities_come_back():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(from_density(optical_density(levels)), levels)


def gray(values):
    return np.repeat(values[..., None], 3, -1).astype(np.uint8)


RNG = np.random.default_rng(5)
WITHOUT_STAINS = {
    "glass": np.full((64, 64, 3), 245, np.uint8),
    "white": np.full((64, 64, 3), 255, np.uint8),
    "black": np.zeros((64, 64, 3), np.uint8),
    "noisy glass": RNG.integers(235, 246, (64, 64, 3), np.uint8),
    "one color": np.full((64, 64, 3), (180, 60, 140), np.uint8),
    "one stain": from_density(RNG.uniform(0, 1, (64, 64, 1)) * unit(RUIFROK)[0]),
    "fluorescence": generate(1, size=64, style="fluorescence").image[..., :1].repeat(3, -1),
    "gray": gray(RNG.integers(0, 256, (64, 64))),
    "one pixel": np.zeros((1, 1, 3), np.uint8),
    "nothing": np.zeros((0, 5, 3), np.uint8),
}


@pytest.mark.parametrize("name", WITHOUT_STAINS)
@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_images_without_two_stains_stay(method, name):
    image = WITHOUT_STAINS[name]
    assert stains.ESTIMATORS[method](image) is None
    assert normalize(image, method) is image


@pytest.mark.parametrize("name", ["glass", "black", "one color", "fluorescence", "gray"])
def test_images_without_spread_stay_under_reinhard(name):
    assert normalize(WITHOUT_STAINS[name], "reinhard") is WITHOUT_STAINS[name]


def test_all_synthetic_pictures_are_normalized_or_left():
    """Any style, so that estimates are met which make little sense: never a warning or a NaN."""
    for index in range(12):
        image = generate(index, size=96).image
        for method in stains.METHODS:
            result = normalize(image, method)
            assert (result.dtype, result.shape) == (np.uint8, image.shape)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: normalize(i, "macenka"), "unknown stain normalization.*did you mean 'macenko'"),
        (lambda i: macenko(i[..., 0]), r"an image of uint8 and shape \(160, 160\)"),
        (lambda i: normalize(i / 255), "an image of float64"),
        (lambda i: normalize(i, target=np.zeros_like(i)), "the target image has no two stains"),
        (lambda i: normalize(i, target=stains.TARGET_LAB), "macenko cannot use a target of Lab"),
        (lambda i: normalize(i, "reinhard", stains.TARGET), "reinhard cannot use .* of Stains"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call(stained(RUIFROK))


def test_targets_are_unit_vectors():
    assert isinstance(stains.TARGET, Stains)
    np.testing.assert_allclose(np.linalg.norm(stains.TARGET.matrix, axis=1), 1, atol=1e-3)
