import colorsys
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import median_filter
from skimage.color import hed_from_rgb, rgb_from_hed
from skimage.filters import unsharp_mask

from jaxnuc.data.sample import Sample
from jaxnuc.data.synthetic import generate
from jaxnuc.data.transforms.artifacts import (
    Blur,
    CoarseDropout,
    Jpeg,
    LowResolution,
    MedianBlur,
    Noise,
    Sharpen,
)
from jaxnuc.data.transforms.color import ColorJitter, Gray, HsvShift, Intensity, Invert
from jaxnuc.data.transforms.stain import StainJitter

ALL = [
    ColorJitter(),
    HsvShift(p=1),
    Intensity(),
    StainJitter(),
    Invert(1.0),
    Gray(1.0),
    Blur(p=1.0),
    Sharpen(p=1),
    MedianBlur(p=1),
    LowResolution(p=1),
    Noise(p=1.0),
    Jpeg(p=1),
    CoarseDropout(ignore=False, p=1),
]


def rng(seed=0):
    return np.random.default_rng(seed)


def colored():
    image = rng().integers(0, 256, (20, 30, 3), np.uint8)
    instances = np.arange(600, dtype=np.int32).reshape(20, 30)
    return Sample(image, instances, instances % 3, {"name": "x"})


def gray(value=None):
    sample = colored()
    image = np.repeat(sample.image[..., :1], 3, -1) if value is None else sample.image * 0 + value
    return Sample(image.astype(np.uint8), sample.instances)


@pytest.mark.parametrize("transform", ALL, ids=str)
def test_changes_the_image_alone_and_not_in_place(transform):
    sample = colored()
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
        or "Median" in str(transform)
    )


GRAY = [ColorJitter(hue=0.5), HsvShift(0.5, 1, 1, 1), Intensity(), Gray(1.0), Blur(), Noise()]
GRAY += [Sharpen(), MedianBlur(), Jpeg(), CoarseDropout()]


@pytest.mark.parametrize("transform", GRAY, ids=str)
def test_gray_images_stay_gray(transform):
    for seed in range(10):
        image = transform(gray(), rng(seed)).image
        assert (image == image[..., :1]).all()


NEVER = [ColorJitter(p=0), HsvShift(p=0), Intensity(p=0), Invert(0.0), Gray(0.0), Blur(p=0)]
NEVER += [Sharpen(p=0), MedianBlur(p=0), Noise(p=0), Jpeg(p=0), CoarseDropout(ignore=False, p=0)]


@pytest.mark.parametrize("transform", NEVER, ids=str)
def test_probability_zero_is_the_identity(transform):
    sample = colored()
    assert transform(sample, rng()) is sample


@pytest.mark.parametrize(
    "transform",
    [
        ColorJitter(0, 0, 0, 0),
        HsvShift(0, 0, 0, 1),
        Intensity(1, 1, 0),
        StainJitter(0),
        Blur(0, 1),
        Sharpen(0, p=1),
        Noise(0, 1),
    ],
    ids=str,
)
def test_strength_zero_is_the_identity(transform):
    np.testing.assert_array_equal(transform(colored(), rng()).image, colored().image)


def test_probability_is_a_frequency():
    changed = sum((Invert(0.3)(gray(9), rng(s)).image != 9).any() for s in range(1000))
    assert 250 < changed < 350


def test_color_jitter_one_step_at_a_time():
    """Each strength alone, against its definition."""
    image = colored().image.astype(float)
    luma = image @ [0.299, 0.587, 0.114]

    def close(transform, position, expected):
        spread = np.zeros(4)
        names = ("brightness", "contrast", "saturation", "hue")
        spread[position] = getattr(transform, names[position]) * (2 * np.pi if position == 3 else 1)
        drawn = rng(4).uniform(-spread, spread)[position]
        result = transform(colored(), rng(4)).image
        np.testing.assert_allclose(result, np.clip(expected(drawn), 0, 255), atol=0.51)

    close(ColorJitter(0.4, 0, 0, 0), 0, lambda f: image * (1 + f))
    close(ColorJitter(0, 0.4, 0, 0), 1, lambda f: (image - luma.mean()) * (1 + f) + luma.mean())
    close(
        ColorJitter(0, 0, 0.4, 0),
        2,
        lambda f: luma[..., None] + (image - luma[..., None]) * (1 + f),
    )

    def rotated(angle):  # Rodrigues' formula about the gray axis; then the luma of before
        axis = np.ones(3) / np.sqrt(3)
        along = (image @ axis)[..., None] * axis
        turned = along + (image - along) * np.cos(angle) + np.cross(axis, image) * np.sin(angle)
        return turned + (luma - turned @ [0.299, 0.587, 0.114])[..., None]

    close(ColorJitter(0, 0, 0, 0.1), 3, rotated)


def test_hsv_shift_is_that_of_the_standard_library():
    """Where nothing is clipped in between, up to rounding."""
    drawn = rng(3).uniform(-np.array([0.4, 0.2, 0.3]), [0.4, 0.2, 0.3])
    result = HsvShift(0.4, 0.2, 0.3, 1)(colored(), rng(3)).image
    for before, after in zip(colored().image.reshape(-1, 3), result.reshape(-1, 3), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*(before / 255))
        shifted = (h + drawn[0]) % 1, *np.clip((s + drawn[1], v + drawn[2]), 0, 1)
        np.testing.assert_allclose(after, 255 * np.array(colorsys.hsv_to_rgb(*shifted)), atol=0.51)


def test_intensity_is_affine():
    draws = rng(3)
    factor, shift = draws.uniform(0.6, 2), 255 * draws.uniform(-0.2, 0.2)
    result = Intensity(0.6, 2, 0.2)(colored(), rng(3)).image
    expected = np.clip(colored().image * factor + shift, 0, 255)
    np.testing.assert_allclose(result, expected, atol=0.51)


def test_median_blur_takes_the_median():
    image = colored().image
    expected = [median_filter(image, (3, 3, 1), mode="nearest")]
    expected.append(median_filter(expected[0], (3, 3, 1), mode="nearest"))
    np.testing.assert_array_equal(MedianBlur(p=1)(colored(), rng()).image, expected[0])
    for seed in range(10):
        passes = rng(seed).integers(1, 3)
        result = MedianBlur(2, 1)(colored(), rng(seed)).image
        np.testing.assert_array_equal(result, expected[passes - 1])


def test_low_resolution_keeps_slopes_and_loses_details():
    """Linear interpolation does both, up to rounding; a checkerboard has the finest details."""
    rows, columns = np.mgrid[:64, :64]
    slope, details = 40 + 2 * rows + columns, 255 * ((rows + columns) % 2)
    left = []
    for seed in range(20):
        found = [
            LowResolution(4, p=1)(Sample(image, rows.astype(np.int32)), rng(seed)).image
            for image in (
                np.repeat(each[..., None], 3, -1).astype(np.uint8) for each in (slope, details)
            )
        ]
        inside = np.s_[8:-8, 8:-8]
        np.testing.assert_allclose(found[0][inside], np.dstack([slope] * 3)[inside], atol=2)
        left.append(found[1][inside].std())
    factors = [rng(seed).uniform(0, np.log(4)) for seed in range(20)]
    assert max(np.array(left)[np.exp(factors) > 2]) < 4 < max(left)
    assert LowResolution(1, p=1)(colored(), rng()).image.tobytes() == colored().image.tobytes()
    with pytest.raises(ValueError, match=r"most=0.5: a finite factor of 1 or more"):
        LowResolution(0.5)


def test_jpeg_loses_more_at_lower_quality():
    sample = generate(4, size=64, style="he")
    errors = [
        np.abs(Jpeg(q, q, 1)(sample, rng()).image - sample.image.astype(float)).mean()
        for q in (95, 60, 10)
    ]
    assert 0 < errors[0] < errors[1] < errors[2] < 20


def test_dropout_marks_what_it_hides():
    sample, transform = colored(), CoarseDropout(3, 8, p=1)
    mean = np.rint(sample.image.mean((0, 1)))
    for seed in range(20):
        result = transform(sample, rng(seed))
        changed = (result.image != sample.image).any(-1)
        assert result.ignore.dtype == bool
        assert 1 <= result.ignore.sum() <= 3 * 64
        assert not (changed & ~result.ignore).any()
        assert (result.image[result.ignore] == mean).all()
        assert result.instances is sample.instances
    seen = replace(sample, ignore=np.arange(600).reshape(20, 30) < 200)
    result = transform(seen, rng(1))
    np.testing.assert_array_equal(result.ignore, seen.ignore | transform(sample, rng(1)).ignore)
    assert seen.ignore.sum() == 200


def test_dropout_gives_all_samples_a_map_or_none():
    """So that batches can be made of them."""
    never = CoarseDropout(p=0)(colored(), rng())
    assert never.ignore.shape == (20, 30)
    assert not never.ignore.any()
    assert CoarseDropout(ignore=False, p=1)(colored(), rng()).ignore is None


def test_stain_jitter_is_affine_in_the_stains():
    factor, shift = rng(2).uniform(-0.1, 0.1, (2, 3))
    density = -np.log10((colored().image + 1.0) / 256)
    stains = (density @ hed_from_rgb) * (1 + factor) + shift
    expected = 256 * 10 ** -(stains @ rgb_from_hed) - 1
    result = StainJitter(0.1)(colored(), rng(2)).image
    np.testing.assert_allclose(result, np.clip(expected, 0, 255), atol=0.51)


def test_invert_and_gray():
    image = colored().image
    np.testing.assert_array_equal(Invert(1.0)(colored(), rng()).image, 255 - image)
    gray = Gray(1.0)(colored(), rng()).image
    np.testing.assert_allclose(gray[..., 1], image @ [0.299, 0.587, 0.114], atol=0.51)


def test_blur_keeps_the_mean_and_lowers_the_spread():
    result = Blur(2.0, 1.0)(colored(), rng(1)).image
    assert abs(result.mean() - colored().image.mean()) < 2
    assert result.std() < 0.7 * colored().image.std()
    np.testing.assert_array_equal(Blur(2.0, 1.0)(gray(77), rng(1)).image, 77)


def test_sharpen_is_an_unsharp_mask():
    generator = rng(1)
    generator.random()
    amount = generator.uniform(0, 2)
    channels = np.moveaxis(colored().image.astype(float), -1, 0)
    # One at a time: scikit-image 0.26 leaves pixels unset where it is given a channel axis.
    sharp = [unsharp_mask(c, radius=1.2, amount=amount, preserve_range=True) for c in channels]
    result = Sharpen(2.0, sigma=1.2, p=1)(colored(), rng(1)).image
    # scikit-image cuts its Gaussian at 4 standard deviations, not at 3.
    np.testing.assert_allclose(result, np.clip(np.stack(sharp, -1), 0, 255), atol=1)
    np.testing.assert_array_equal(Sharpen(2.0, p=1)(gray(77), rng(1)).image, 77)


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
        (lambda: ColorJitter(brightness=2), "brightness=2: 0 <= brightness <= 1"),
        (lambda: ColorJitter(hue=0.6), r"hue=0\.6"),
        (lambda: StainJitter(-1), "sigma=-1"),
        (lambda: Blur(-1), "sigma=-1"),
        (lambda: Sharpen(-1), "amount=-1"),
        (lambda: Noise(p=1.5), r"p=1\.5: a probability"),
        (lambda: HsvShift(hue=0.6), r"hue=0\.6"),
        (lambda: Intensity(2, 1), "low=2, high=1"),
        (lambda: MedianBlur(2.5), r"passes=2\.5: an integer"),
        (lambda: Jpeg(0, 50), "low=0, high=50"),
        (lambda: CoarseDropout(count=0), "count=0: an integer of 1 or more"),
    ],
)
def test_refuses_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
