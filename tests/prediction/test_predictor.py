"""Array in, label map out: kinds of images, sizes, and what a checkpoint restores."""

import jax
import numpy as np
import pytest
from flax import linen as nn

import jaxnuc
from jaxnuc.prediction.predictor import as_rgb, make_predictor


def test_every_kind_of_image_becomes_the_same_rgb():
    gray = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
    gray[0, :2] = 0, 255  # the whole range, also where the range is that of the image
    expected = gray[..., None].repeat(3, axis=-1)
    rgba = np.concatenate([expected, np.full((5, 7, 1), 255, np.uint8)], axis=-1)
    for image in (
        gray,
        gray[..., None],
        expected,
        rgba,
        gray.astype(np.uint16) * 16 + 100,
        gray.astype(np.int32) - 128,
        gray.astype(np.float32) * 9,
        gray / 255,
        (gray / 255).astype(np.float32),
    ):
        np.testing.assert_array_equal(as_rgb(image), expected)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 4, 5), np.uint8), "shape"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        (np.full((4, 4), np.nan), "no finite numbers"),
        (np.zeros((4, 4), np.complex64), "complex64"),
    ],
)
def test_what_is_no_image_is_refused(predictor, image, message):
    with pytest.raises(ValueError, match=message):
        jaxnuc.segment(image, predictor)


@pytest.mark.parametrize("size", [(64, 64), (40, 101), (1, 1)])
def test_label_maps_have_the_size_of_the_image(predictor, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    result = jaxnuc.segment(image, predictor)
    assert result.instances.shape == size
    assert result.instances.dtype == np.int32
    assert len(result.scores) == result.instances.max()
    assert result.classes is None


def test_padding_leaves_the_inside_as_it_is(predictor):
    """The network sees 7 px far; further from the padding its maps are those without."""
    image = np.random.default_rng(1).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    whole, part = predictor.maps(image), predictor.maps(image[:100, :90])
    for name in whole:
        np.testing.assert_allclose(
            part[name][:80, :70], whole[name][:80, :70], atol=1e-5, rtol=1e-5
        )


class Unpadded(nn.Module):
    """Three 3x3 convolutions without padding: maps lose three pixels on each side."""

    margin = 6

    @nn.compact
    def __call__(self, images, train=False):
        x = images
        for features in (4, 4, 1):
            x = nn.Conv(features, (3, 3), padding="VALID")(x)
        return {"mask": x}


@pytest.mark.parametrize("shape", [(64, 64), (50, 70), (3, 5)])
def test_a_network_without_padding_sees_a_mirrored_border(shape):
    config, binary = jaxnuc.config.default(), jaxnuc.representations.create("binary")
    model = Unpadded()
    variables = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 16, 16, 3), np.float32))
    predictor = make_predictor(config, model, binary, variables)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    mirrored = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode="symmetric")
    expected = model.apply(variables, mirrored[None].astype(np.float32) / 255)["mask"][0]
    maps = predictor.maps(image)
    assert maps["mask"].shape == (*shape, 1)
    np.testing.assert_allclose(maps["mask"], expected, atol=1e-4)
    assert predictor(image).instances.shape == shape
