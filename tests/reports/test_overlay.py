"""Overlays against outlines found pixel by pixel."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxnuc.metrics import Conventions
from jaxnuc.outputs.drawing import enlarge, outlines, save_png
from jaxnuc.outputs.palette import FALSE, MATCHED, MISSED, TRUTH
from jaxnuc.reports.overlay import overlay

H, W = 60, 80


def gray(value=200):
    return np.full((H, W, 3), value, np.uint8)


def rectangles(*corners):
    instances = np.zeros((H, W), np.int32)
    for index, (top, left, bottom, right) in enumerate(corners, 1):
        instances[top:bottom, left:right] = index * 3  # ids need not be contiguous
    return instances


def outline(instances):
    """Pixels of an instance with one of four neighbors, inside the image, that is not of it."""
    found = np.zeros(instances.shape, bool)
    for y, x in zip(*np.nonzero(instances), strict=True):
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < H and 0 <= u < W and instances[v, u] != instances[y, x]:
                found[y, x] = True
    return found


def painted(picture, color):
    return (picture[:H, :W] == color).all(axis=-1)


def test_each_outcome_has_its_color_on_its_outline_and_nowhere_else():
    found, missed = (5, 5, 25, 25), (30, 30, 50, 50)
    shifted, made_up = (7, 5, 27, 25), (40, 60, 55, 75)
    truth, prediction = rectangles(found, missed), rectangles(shifted, made_up)
    picture = overlay(gray(), truth, prediction, scale=1)

    matched = outline(rectangles(shifted))
    np.testing.assert_array_equal(painted(picture, MISSED), outline(rectangles(missed)))
    np.testing.assert_array_equal(painted(picture, FALSE), outline(rectangles(made_up)))
    np.testing.assert_array_equal(painted(picture, MATCHED), matched)
    np.testing.assert_array_equal(painted(picture, TRUTH), outline(rectangles(found)) & ~matched)


def test_touching_nuclei_are_told_apart_and_the_image_border_is_no_outline():
    touching = rectangles((0, 10, 20, 20), (0, 20, 20, 30))
    picture = overlay(gray(), touching, touching, scale=1)
    np.testing.assert_array_equal(painted(picture, MATCHED), outline(touching))
    assert painted(picture, MATCHED)[5, 19:21].all()
    assert not painted(picture, MATCHED)[0, 15]


@pytest.mark.parametrize("scale", [1, 3])
def test_a_missed_nucleus_is_not_hidden_by_a_false_one(scale):
    truth, prediction = np.zeros((2, 40, 80), np.int32)
    truth[10:30, 10:30] = 1
    prediction[10:30, 10:70] = 1  # three sides of both are the same
    drawn = overlay(np.zeros((40, 80, 3), np.uint8), truth, prediction, scale=scale)
    picture = drawn[: 40 * scale, : 80 * scale]
    for instances, color in ((truth, MISSED), (prediction, FALSE)):
        own = outlines(enlarge(instances, scale), 1 if scale == 1 else 2)
        assert (picture[own] == color).all(axis=-1).mean() > 0.4


def test_what_is_not_judged_is_neither_missed_nor_false():
    truth, prediction = rectangles((0, 10, 6, 16)), rectangles((20, W - 6, 26, W))
    picture = overlay(gray(), truth, prediction, conventions=Conventions(border=0), scale=1)
    for color in (MISSED, FALSE):
        assert not (picture[:H] == color).all(-1).any()


@pytest.mark.parametrize(("threshold", "color"), [(0.3, MATCHED), (0.5, MISSED)])
def test_the_threshold_decides_what_matches(threshold, color):
    truth = rectangles((10, 10, 30, 30))
    prediction = rectangles((20, 10, 30, 30))  # half of it: an IoU of 0.5 exactly
    picture = overlay(gray(), truth, prediction, conventions=Conventions(threshold), scale=1)
    assert painted(picture, color).any()
    assert painted(picture, MISSED).any() == (color == MISSED)


def test_small_images_are_enlarged_by_a_whole_factor():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (200, 256, 3), dtype=np.uint8)
    nothing = np.zeros((200, 256), np.int32)
    picture = overlay(image, nothing, nothing)
    assert picture.dtype == np.uint8
    assert picture.shape[0] > 600
    assert picture.shape[1] == 768
    np.testing.assert_array_equal(picture[:600], np.kron(image, np.ones((3, 3, 1), np.uint8)))

    flat = np.zeros((10, 1000), np.int32)
    large = overlay(np.zeros((10, 1000, 3), np.uint8), flat, flat)
    assert large.shape[1] == 1000


def test_enlarged_outlines_stay_within_the_enlarged_outline_pixels():
    prediction = rectangles((5, 5, 25, 25), (5, 25, 25, 45))
    picture = overlay(gray(), prediction, prediction, scale=3)
    blue = (picture[: 3 * H, : 3 * W] == MATCHED).all(axis=-1)
    thick = np.kron(outline(prediction), np.ones((3, 3), bool))
    assert not (blue & ~thick).any()
    assert blue.reshape(H, 3, W, 3).any(axis=(1, 3))[outline(prediction)].all()


def test_dark_images_are_brightened_in_proportion_and_bright_ones_are_left_alone():
    ramp = np.broadcast_to(np.arange(W, dtype=np.uint8)[None, :, None] // 2, (H, W, 3))
    nothing = np.zeros((H, W), np.int32)
    shown = overlay(ramp.copy(), nothing, nothing, scale=1)[:H, :W].astype(float)
    gain = shown[0, -1, 0] / ramp[0, -1, 0]
    assert gain > 2
    np.testing.assert_allclose(shown, ramp * gain, atol=1)
    np.testing.assert_array_equal(overlay(gray(230), nothing, nothing, scale=1)[:H, :W], gray(230))


def test_the_legend_shows_the_colors_and_grows_with_its_text():
    truth = rectangles((5, 5, 25, 25))
    short = overlay(gray(), truth, truth, scale=1)
    for color in (MATCHED, TRUTH, MISSED, FALSE):
        assert (short[H:] == color).all(axis=-1).sum() > 100
    long = overlay(gray(), truth, truth, scale=1, caption="a caption " * 40)
    assert long.shape[0] > short.shape[0]
    assert long.shape[1] == short.shape[1]


def test_the_legend_of_a_large_picture_is_as_large_when_both_are_seen_at_one_size():
    nothing = np.zeros((H, W), np.int32)
    small = overlay(gray(), nothing, nothing, scale=10, caption="name")  # 800 pixels wide
    large = overlay(gray(), nothing, nothing, scale=40, caption="name")
    heights = [len(picture) - H * scale for picture, scale in ((small, 10), (large, 40))]
    assert heights[1] == 3 * heights[0]
    assert (small.shape[1], large.shape[1]) == (10 * W, 40 * W)


def test_empty_maps_and_bool_predictions_are_drawn():
    nothing = np.zeros((H, W), np.int32)
    overlay(np.zeros((H, W, 3), np.uint8), nothing, nothing)
    square = rectangles((5, 5, 25, 25)) > 0
    picture = overlay(gray(), square, square, scale=1)
    np.testing.assert_array_equal(painted(picture, MATCHED), outline(rectangles((5, 5, 25, 25))))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            (np.zeros((4, 4)), np.zeros((4, 4), int), np.zeros((4, 4), int)),
            r"image is float64 \(4, 4\)",
        ),
        (
            (gray(), np.zeros((H, W), int), np.zeros((4, 4), int)),
            r"prediction is \(4, 4\).*\(60, 80\)",
        ),
        ((gray(), np.zeros((4, 4), int), np.zeros((H, W), int)), r"truth is \(4, 4\)"),
    ],
)
def test_wrong_shapes_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        overlay(*arguments)


def test_a_scale_below_one_is_refused():
    with pytest.raises(ValueError, match="scale is 0"):
        overlay(gray(), np.zeros((H, W), int), np.zeros((H, W), int), scale=0)


def test_the_written_picture_is_the_overlay(tmp_path):
    truth, prediction = rectangles((5, 5, 25, 25)), rectangles((6, 5, 26, 25), (40, 40, 50, 50))
    path = tmp_path / "picture.png"
    path.write_text("an older file")
    save_png(path, overlay(gray(), truth, prediction, caption="name"))
    with Image.open(path) as written:
        np.testing.assert_array_equal(
            np.asarray(written), overlay(gray(), truth, prediction, caption="name")
        )
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.slow
def test_pictures_need_no_jax():
    code = (
        "import sys, jaxnuc.reports.overlay\n"
        "sys.exit(' '.join({'jax', 'flax', 'optax', 'matplotlib'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
