"""What a camera does to an image."""

import numpy as np
import pytest

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.camera import FewLevels, Gamma, HotPixels, UnevenLight

ALL = [Gamma(p=1), FewLevels(p=1), UnevenLight(p=1), HotPixels(0.1, p=1)]


def rng(seed=0):
    return np.random.default_rng(seed)


def sample(image=None):
    if image is None:
        image = rng().integers(0, 256, (30, 40, 3), np.uint8)
    return Sample(image, np.arange(1200, dtype=np.int32).reshape(30, 40))


@pytest.mark.parametrize("transform", ALL, ids=str)
def test_changes_the_image_alone_and_not_in_place(transform):
    given = sample()
    before = given.image.copy()
    given.image.flags.writeable = False
    found = transform(given, rng(1))
    assert (found.image != before).any()
    assert found.image.dtype == np.uint8
    assert found.instances is given.instances
    np.testing.assert_array_equal(given.image, before)
    np.testing.assert_array_equal(transform(given, rng(1)).image, found.image)
    assert type(transform)(p=0)(given, rng(1)).image is given.image


def test_gamma_is_a_power_of_the_values():
    found = Gamma(2, 2, p=1)(sample(), rng()).image
    np.testing.assert_array_equal(found, np.rint(255 * (sample().image / 255) ** 2))


def test_few_levels_are_as_many_as_asked_for_at_equal_distances():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=-1)
    given = Sample(ramp, np.zeros((1, 256), np.int32))
    found = np.unique(FewLevels(6, 6, p=1)(given, rng()).image)
    np.testing.assert_array_equal(found, [0, 51, 102, 153, 204, 255])
    counts = [len(np.unique(FewLevels(3, 9, p=1)(given, rng(k)).image)) for k in range(60)]
    assert (min(counts), max(counts)) == (3, 9)


def test_uneven_light_is_a_plane_times_the_image_and_another_plane_added():
    flat = [np.full((30, 40, 3), value, np.uint8) for value in (0, 60, 120)]
    dark, middle, bright = (
        UnevenLight(0.3, 0.2, p=1)(sample(each), rng(3)).image[..., 0].astype(float)
        for each in flat
    )
    for image in (dark, middle, bright):  # equal steps along rows and columns, to rounding
        assert np.abs(np.diff(image, 2, axis=0)).max() <= 2
        assert np.abs(np.diff(image, 2, axis=1)).max() <= 2
    np.testing.assert_allclose(bright - dark, 2 * (middle - dark), atol=2)
    assert 0 <= dark.min() <= dark.max() <= 0.2 * 255 + 1
    assert np.abs((middle - dark) / 60 - 1).max() <= 0.3 + 1 / 60


def test_hot_pixels_are_white_in_dark_images_and_black_in_bright_ones():
    for value, hot in ((20, 255), (220, 0)):
        shares = []
        for seed in range(40):
            found = HotPixels(0.1, p=1)(sample(np.full((30, 40, 3), value, np.uint8)), rng(seed))
            assert set(np.unique(found.image)) <= {value, hot}
            assert (found.image == found.image[..., :1]).all()
            shares.append((found.image[..., 0] == hot).mean())
        assert max(shares) <= 0.13
        assert np.mean(shares) == pytest.approx(0.05, abs=0.015)


def test_refuses_what_is_no_range():
    with pytest.raises(ValueError, match="low=2, high=1"):
        Gamma(2, 1)
    with pytest.raises(ValueError, match="least=1, most=64: 2 <= least"):
        FewLevels(1)
