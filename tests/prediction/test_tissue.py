"""Tissue on painted slides, of which it is known, and on real ones."""

import numpy as np
import pytest
import tifffile

from jaxnuc.prediction.tissue import covered, tissue_mask, tissue_picture

PINK, PALE, PURPLE = (205, 130, 175), (226, 190, 212), (90, 50, 130)


def slide(shape=(120, 160), glass=(243, 243, 242)):
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(glass, 2.0, (*shape, 3)).round(), 0, 255).astype(np.uint8)


def textured(color, shape, seed=1):
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(color, 12.0, (*shape, 3)), 0, 255).astype(np.uint8)


def test_tissue_is_told_from_glass():
    picture, truth = slide(), np.zeros((120, 160), bool)
    truth[20:100, 30:90] = truth[40:60, 110:150] = True
    picture[truth] = textured(PINK, (120, 160))[truth]
    np.testing.assert_array_equal(tissue_mask(picture), truth)


def test_ink_does_not_hide_pale_tissue():
    picture, truth = slide(), np.zeros((120, 160), bool)
    truth[:, :20] = truth[20:100, 30:90] = True
    picture[20:100, 30:90] = textured(PALE, (80, 60)) // 8 + np.uint8(7 / 8 * 200)
    picture[20:100, 30:90, 1] = 185
    picture[:, :20] = 5
    np.testing.assert_array_equal(tissue_mask(picture), truth)


def test_specks_and_holes_below_the_size_go():
    picture = slide()
    picture[20:80, 20:80] = PINK
    picture[30:33, 30:35] = picture[50:54, 50:54] = 243  # holes of 15 and 16 pixels
    picture[100:103, 100:105] = picture[100:104, 120:124] = PURPLE  # specks likewise
    mask = tissue_mask(picture, smallest=16)
    assert mask[31, 31]
    assert not mask[51, 51]
    assert not mask[101, 101]
    assert mask[101, 121]


def test_a_crop_of_tissue_is_all_tissue():
    assert tissue_mask(textured(PINK, (100, 100))).all()
    crop = textured(PALE, (100, 100))
    crop[::4, ::4] = PURPLE  # two modes, of which neither is glass
    assert tissue_mask(crop).all()
    assert tissue_mask(np.full((30, 30, 3), PALE, np.uint8)).all()


def test_dark_pictures_are_never_masked():
    rng = np.random.default_rng(3)
    cells = rng.poisson(4, (90, 90, 3)).astype(np.uint8)
    cells[30:50, 30:50] = 180
    assert tissue_mask(cells).all()
    assert tissue_mask(np.zeros((9, 9, 3), np.uint8)).all()


def test_an_empty_slide_has_none():
    assert not tissue_mask(np.full((40, 40, 3), 255, np.uint8)).any()
    assert not tissue_mask(slide(glass=(236, 238, 240))).any()


def test_padding_whiter_than_the_glass_does_not_make_it_tissue():
    picture = slide(glass=(233, 230, 234))
    picture[:, :60] = 255
    picture[40:80, 80:140] = textured(PINK, (40, 60))
    mask = tissue_mask(picture)
    assert mask[40:80, 80:140].all()
    assert mask.sum() == 40 * 60


def test_boxes_that_touch_tissue_are_covered():
    mask = np.zeros((50, 50), bool)
    mask[20, 30] = True  # pixels 640 to 672, 960 to 992 of the image
    scale = 32.0
    for row in range(0, 1600, 100):
        for col in range(0, 1600, 100):
            box = (row, col, row + 100, col + 100)
            gap = max(640 - box[2], box[0] - 672, 960 - box[3], box[1] - 992)
            assert gap > 63 or covered(mask, box, scale)
            assert gap < 96 or not covered(mask, box, scale)
    assert not covered(mask, (0, 0, 1, 1), scale)
    assert covered(np.ones((1, 1), bool), (0, 0, 1, 1), 1.0)
    assert covered(np.ones((50, 50), bool), (1590, 1590, 1603, 1603), scale)


def test_the_picture_shows_glass_dark_and_an_outline():
    thumbnail = np.full((9, 9, 3), 200, np.uint8)
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    picture = tissue_picture(thumbnail, mask)
    assert (picture[mask] == 200).all()
    assert (picture[0, 0] == 100).all()
    assert picture[2, 4].tolist() == [0, 170, 0]
    assert (picture == (0, 170, 0)).all(axis=2).sum() == 12
    assert (thumbnail == 200).all()


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"must be \(h, w, 3\) uint8, is \(4, 4\) float64"):
        tissue_mask(np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"mask has \(3, 4\), the thumbnail \(4, 4\)"):
        tissue_picture(np.zeros((4, 4, 3), np.uint8), np.zeros((3, 4), bool))
    with pytest.raises(ValueError, match="scale is 0"):
        covered(np.ones((2, 2), bool), (0, 0, 1, 1), 0)


@pytest.mark.parametrize(
    ("name", "share", "tissue", "glass"),
    [
        ("cmu-1-small-region.svs", (0.25, 0.5), [(300, 290), (700, 180), (280, 100)], [(100, 100)]),
        (
            "tcga-cr-7395-01a-01-ts1.svs",
            (0.5, 0.8),
            [(400, 150), (600, 700)],
            [(60, 60), (700, 60)],
        ),
    ],
)
def test_real_slides(shared_data, name, share, tissue, glass):
    with tifffile.TiffFile(shared_data("wsi") / name) as file:
        thumbnail = file.series[1].asarray()
    mask = tissue_mask(thumbnail)
    assert share[0] < mask.mean() < share[1]
    for row, col in tissue:
        assert mask[row - 10 : row + 10, col - 10 : col + 10].mean() > 0.4
    for row, col in glass:
        assert not mask[row - 30 : row + 30, col - 30 : col + 30].any()
