import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import Sample
from jaxnuc.data.contact_sheet import (
    CAPTIONS,
    CLASSES,
    GAP,
    IGNORED,
    LINE,
    NUCLEUS,
    PAPER,
    UNCLASSED,
    Picture,
    contact_sheet,
    thumbnail,
    write_contact_sheet,
)


def square(size=40, scale=1):
    """Two touching squares, of which the outlines are known."""
    image = np.random.default_rng(0).integers(60, 256, (size, size, 3)).astype(np.uint8)
    instances = np.zeros((size, size), np.int32)
    instances[10 * scale : 20 * scale, 5 * scale : 15 * scale] = 7
    instances[10 * scale : 20 * scale, 15 * scale : 25 * scale] = 3
    return image, instances


def outlines():
    expected = np.zeros((40, 40), bool)
    for left in (5, 15):
        expected[10:20, left : left + 10] = True
        expected[11:19, left + 1 : left + 9] = False
    return expected


def test_outlines_lie_inside_of_each_nucleus_and_the_rest_is_the_image():
    image, instances = square()
    picture = thumbnail(Sample(image, instances))
    assert (picture[outlines()] == NUCLEUS).all()
    np.testing.assert_array_equal(picture[~outlines()], image[~outlines()])


def test_large_images_are_reduced():
    image, instances = square(400, 10)
    image[:] = 200
    picture = thumbnail(Sample(image, instances), side=40)
    assert picture.shape == (40, 40, 3)
    np.testing.assert_array_equal((picture == NUCLEUS).all(-1), outlines())
    wide = Sample(np.zeros((10, 1000, 3), np.uint8), np.zeros((10, 1000), np.int32))
    assert thumbnail(wide, side=50).shape == (1, 50, 3)


def test_outlines_have_the_colors_of_the_classes():
    image, instances = square()
    for number, color in ((1, CLASSES[0]), (9, CLASSES[0]), (0, UNCLASSED), (-1, IGNORED)):
        classes = np.where(instances == 7, 2, np.where(instances == 3, number, 0)).astype(np.int32)
        picture = thumbnail(Sample(image, instances, classes))
        assert (picture[outlines() & (instances == 7)] == CLASSES[1]).all()
        assert (picture[outlines() & (instances == 3)] == color).all()


def test_what_is_ignored_is_hatched_and_dark_images_are_brightened():
    image, instances = np.full((40, 40, 3), 250, np.uint8), np.zeros((40, 40), np.int32)
    ignore = np.zeros((40, 40), bool)
    ignore[:, 20:] = True
    hatched = (thumbnail(Sample(image, instances, None, {}, ignore)) == IGNORED).all(-1)
    assert not hatched[:, :20].any()
    assert hatched[:, 20:].mean() == 0.25
    assert (thumbnail(Sample(image // 10, instances)) == 200).all()  # eight times as bright
    assert (thumbnail(Sample(image * 0, instances)) == 0).all()


def test_pictures_lie_in_a_grid_with_captions_and_a_legend():
    shades = [40, 80, 120, 160, 200]
    sizes = [(30, 50), (50, 50), (50, 20), (10, 10), (50, 50)]
    pictures = [
        Picture(np.full((*size, 3), shade, np.uint8), "a/rather-long-name", level)
        for size, shade, level in zip(sizes, shades, ("", "note", "error", "", ""), strict=True)
    ]
    sheet = contact_sheet(pictures, ("round", "long"))
    for k, ((h, w), shade) in enumerate(zip(sizes, shades, strict=True)):
        y, x = GAP + k // 3 * (50 + LINE + GAP), GAP + k % 3 * (50 + GAP)
        assert (sheet[y : y + h, x : x + w] == shade).all()
        caption = sheet[y + h : y + h + LINE, x : x + 50]
        assert (caption == CAPTIONS[pictures[k].level]).all(-1).any()
        assert (sheet[y : y + h + LINE, x + 50 : x + 50 + GAP] == PAPER).all()  # none too long
    for color in CLASSES[:2]:
        assert (sheet[-2 * LINE :] == color).all(-1).sum() > 50
    assert sheet.shape[1] == 3 * (50 + GAP) + GAP
    square_of_nine = contact_sheet([pictures[1]] * 9)
    assert square_of_nine.shape[:2] == (GAP + 3 * (50 + LINE + GAP), GAP + 3 * (50 + GAP))


def test_a_sheet_is_written_and_an_empty_one_refused(tmp_path):
    pictures = [Picture(np.full((20, 20, 3), 9, np.uint8), "x")]
    write_contact_sheet(tmp_path / "sheet.png", pictures, ("a",))
    np.testing.assert_array_equal(
        np.asarray(Image.open(tmp_path / "sheet.png")), contact_sheet(pictures, ("a",))
    )
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])
