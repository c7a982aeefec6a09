import numpy as np
import pytest
from skimage.color import hed_from_rgb, rgb_from_hed

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.colour import Blur, ColourJitter, Gray, Invert, Noise, StainJitter

ALL = [ColourJitter(), StainJitter(), Invert(1.0), Gray(1.0), Blur(p=1.0), Noise(p=1.0)]


def rng(seed=0):
    return np.random.default_rng(seed)


def coloured():
    image = rng().integers(0, 256, (20, 30, 3), np.uint8)
    instances = np.arange(600, dtype=np.int32).reshape(20, 30)
    return Sample(image, instances, instances % 3, {"name": "x"})


def grey(value=None):
    sample = coloured()
    image = np.repeat(sample.image[..., :1], 3, -1) if value is None else sample.image * 0 + value
    return Sample(image.astype(np.uint8), sample.instances)


@pytest.mark.parametrize("transform", ALL, ids=str)
def test_changes_the_image_alone_and_not_in_place(transform):
    sample = coloured()
    before = sample.image.copy()
    sample.image.flags.writeable = False
    result = transform(sample, rng(1))
    assert (result.image.dtype, result.image.shape) == (np.uint8, sample.image.shape)
    assert (result.image != before).any()
    assert result.instances is sample.instances
    assert result.classes is sample.classes
    np.testing.assert_array_equal(sample.image, before)
    np.testing.assert_array_equal(transform(sample, rng(1)).image, result.image)
    assert (
        (transform(sample, rng(2)).image != result.image).any()
        or "Invert" in str(transform)
        or "Gray" in str(transform)
    )


@pytest.mark.parametrize("transform", [ColourJitter(hue=0.5), Gray(1.0), Blur(), Noise()], ids=str)
def test_grey_images_stay_grey(transform):
    for seed in range(10):
        image = transform(grey(), rng(seed)).image
        assert (image == image[..., :1]).all()


@pytest.mark.parametrize("transform", [Invert(0.0), Gray(0.0), Blur(p=0), Noise(p=0)], ids=str)
def test_probability_zero_is_the_identity(transform):
    sample = coloured()
    assert transform(sample, rng()) is sample


@pytest.mark.parametrize(
    "transform", [ColourJitter(0, 0, 0, 0), StainJitter(0), Blur(0, 1), Noise(0, 1)], ids=str
)
def test_strength_zero_is_the_identity(transform):
    np.testing.assert_array_equal(transform(coloured(), rng()).image, coloured().image)


def test_probability_is_a_frequency():
    changed = sum((Invert(0.3)(grey(9), rng(s)).image != 9).any() for s in range(1000))
    assert 250 < changed < 350


def test_colour_jitter_one_step_at_a_time():
    """Each strength alone, against its definition."""
    image = coloured().image.astype(float)
    luma = image @ [0.299, 0.587, 0.114]

    def close(transform, position, expected):
        spread = np.zeros(4)
        names = ("brightness", "contrast", "saturation", "hue")
        spread[position] = getattr(transform, names[position]) * (2 * np.pi if position == 3 else 1)
        drawn = rng(4).uniform(-spread, spread)[position]
        result = transform(coloured(), rng(4)).image
        np.testing.assert_allclose(result, np.clip(expected(drawn), 0, 255), atol=0.51)

    close(ColourJitter(0.4, 0, 0, 0), 0, lambda f: image * (1 + f))
    close(ColourJitter(0, 0.4, 0, 0), 1, lambda f: (image - luma.mean()) * (1 + f) + luma.mean())
    close(
        ColourJitter(0, 0, 0.4, 0),
        2,
        lambda f: luma[..., None] + (image - luma[..., None]) * (1 + f),
    )

    def rotated(angle):  # Rodrigues' formula about the grey axis; then the luma of before
        axis = np.ones(3) / np.sqrt(3)
        along = (image @ axis)[..., None] * axis
        turned = along + (image - along) * np.cos(angle) + np.cross(axis, image) * np.sin(angle)
        return turned + (luma - turned @ [0.299, 0.587, 0.114])[..., None]

    close(ColourJitter(0, 0, 0, 0.1), 3, rotated)


def test_stain_jitter_is_affine_in_the_stains():
    factor, shift = rng(2).uniform(-0.1, 0.1, (2, 3))
    density = -np.log10((coloured().image + 1.0) / 256)
    stains = (density @ hed_from_rgb) * (1 + factor) + shift
    expected = 256 * 10 ** -(stains @ rgb_from_hed) - 1
    result = StainJitter(0.1)(coloured(), rng(2)).image
    np.testing.assert_allclose(result, np.clip(expected, 0, 255), atol=0.51)


def test_invert_and_gray():
    image = coloured().image
    np.testing.assert_array_equal(Invert(1.0)(coloured(), rng()).image, 255 - image)
    grey = Gray(1.0)(coloured(), rng()).image
    np.testing.assert_allclose(grey[..., 1], image @ [0.299, 0.587, 0.114], atol=0.51)


def test_blur_keeps_the_mean_and_lowers_the_spread():
    result = Blur(2.0, 1.0)(coloured(), rng(1)).image
    assert abs(result.mean() - coloured().image.mean()) < 2
    assert result.std() < 0.7 * coloured().image.std()
    np.testing.assert_array_equal(Blur(2.0, 1.0)(grey(77), rng(1)).image, 77)


def test_noise_has_the_drawn_strength():
    big = Sample(np.full((200, 200, 3), 128, np.uint8), np.zeros((200, 200), np.int32))
    generator = rng(3)
    generator.random()
    sigma = 255 * generator.uniform(0, 0.1)
    noise = Noise(0.1, 1.0)(big, rng(3)).image[..., 0].astype(float) - 128
    assert abs(noise.mean()) < 4 * sigma / 200
    assert abs(noise.std() / sigma - 1) < 0.03


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ColourJitter(brightness=2), "brightness=2: 0 <= brightness <= 1"),
        (lambda: ColourJitter(hue=0.6), r"hue=0\.6"),
        (lambda: StainJitter(-1), "sigma=-1"),
        (lambda: Blur(-1), "sigma=-1"),
        (lambda: Noise(p=1.5), r"p=1\.5: a probability"),
    ],
)
def test_refuses_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
