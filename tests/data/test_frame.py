"""Frames of images, which have no part in their normalization."""

import numpy as np
import pytest

from jaxnuc.data.frame import inside_frame, without_foreign_frame
from jaxnuc.data.normalize import Normalize

PADS = [((0, 0), (0, 0)), ((5, 0), (0, 0)), ((0, 7), (3, 0)), ((4, 4), (9, 1))]


def tissue(level):
    rng = np.random.default_rng(0)
    return rng.integers(level - 20, level + 20, (40, 50, 3)).astype(np.uint8)


@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize("color", [0, 200, 255])
def test_what_is_inside_a_frame(pad, color):
    image = tissue(100)
    framed = np.pad(image, (*pad, (0, 0)), constant_values=color)
    np.testing.assert_array_equal(framed[inside_frame(framed)], image)


def test_an_image_of_one_color_is_no_frame():
    image = np.full((4, 6, 3), 9, np.uint8)
    assert image[inside_frame(image)].shape == image.shape


@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize(
    ("level", "color", "foreign"),
    [(150, 0, True), (80, 0, True), (30, 255, True), (30, 0, False), (230, 255, False)],
)
def test_a_frame_far_from_the_image_has_no_part_in_its_percentiles(pad, level, color, foreign):
    image = tissue(level)
    image[[0, 0, -1, -1], [0, -1, 0, -1]] = 250 - level  # pixels of nuclei are no frame
    framed = np.pad(image, (*pad, (0, 0)), constant_values=color)
    expected = image if foreign else framed
    assert without_foreign_frame(framed).shape == expected.shape
    normalize = Normalize("percentile")
    np.testing.assert_array_equal(
        normalize.fitted(framed)(image), normalize.fitted(expected)(image)
    )
