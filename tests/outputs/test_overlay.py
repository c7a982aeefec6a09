"""The overlay's pixels against outlines that scikit-image finds in the painted label image."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.segmentation import find_boundaries

from jaxnuc.io import ArrayImage, Box, CorruptRegion
from jaxnuc.outputs import NucleiTable, Scene, create, drawing, write
from jaxnuc.outputs.formats import overlay
from jaxnuc.postprocess.masks import Mask, paint

Make = Callable[..., NucleiTable]
SHAPE = (780, 800)  # so large that it is not enlarged
NAMES = ("background", "tumor", "immune", "black")
COLORS = ((240, 228, 66), (86, 180, 233), (230, 97, 0), (0, 0, 0))


def picture_of(path: Path, tables: list[NucleiTable], scene: Scene) -> np.ndarray:
    count = overlay.Format().write(path, tables, scene)
    assert count == sum(map(len, tables))
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def gray(shape: tuple[int, int], value: int = 230) -> ArrayImage:
    return ArrayImage(np.full((*shape, 3), value, np.uint8))


def rectangles(*corners: tuple[int, int, int, int]) -> tuple[Mask, ...]:
    return tuple(
        Mask(top, left, np.ones((bottom - top, right - left), bool))
        for top, left, bottom, right in corners
    )


def apart(n: int) -> tuple[NucleiTable, np.ndarray]:
    """Ragged nuclei that touch, and some at the border, but do not overlap; and their labels."""
    rng = np.random.default_rng(n)
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), 5)
    seeds = np.where(noise > 0.02, 1 + np.arange(SHAPE[0])[:, None] // 90 * 100, 0)
    labels = np.where(seeds > 0, seeds + np.arange(SHAPE[1]) // 90, 0)
    _, labels = np.unique(labels, return_inverse=True)
    boxes = ndimage.find_objects(labels)
    masks = tuple(
        Mask(box[0].start, box[1].start, labels[box] == k) for k, box in enumerate(boxes, start=1)
    )
    classes = rng.integers(0, 4, len(masks)).astype(np.int32)
    return NucleiTable(masks, np.ones(len(masks), np.float32), classes), labels


def is_color(picture: np.ndarray, color: tuple[int, ...]) -> np.ndarray:
    return (picture == color).all(axis=-1)


def test_colors_lie_on_the_outlines_and_nowhere_else(tmp_path: Path) -> None:
    table, labels = apart(0)
    scene = Scene("a.png", SHAPE, class_names=NAMES, colors=COLORS, pixels=gray(SHAPE))
    picture = picture_of(tmp_path / "a.png", [table], scene)[: SHAPE[0], : SHAPE[1]]
    edge = find_boundaries(labels, connectivity=1, mode="inner")
    classes = np.append(0, table.classes)[labels]
    for class_id, color in enumerate(COLORS):
        expected = edge & (classes == class_id)
        assert expected.sum() > 500
        np.testing.assert_array_equal(is_color(picture, color), expected)
    rim = ndimage.binary_dilation(edge) & ~edge
    assert (picture[~edge & ~rim] == 230).all()
    # Half black next to light outlines, half white next to dark ones.
    dark = ndimage.binary_dilation(edge & (classes == 3))
    light = ndimage.binary_dilation(edge & (classes != 3))
    assert (picture[rim & ~dark] == 115).all()
    assert (picture[rim & ~light] == 115 + 128).all()


def test_small_images_are_enlarged_with_outlines_of_two_pixels(tmp_path: Path) -> None:
    labels = paint(rectangles((5, 5, 25, 25), (5, 25, 25, 45), (0, 60, 9, 80)), (60, 80))
    masks = rectangles((5, 5, 25, 25), (5, 25, 25, 45), (0, 60, 9, 80))
    scene = Scene("a.png", (60, 80), pixels=gray((60, 80)))
    picture = picture_of(tmp_path / "a.png", [NucleiTable(masks, np.ones(3, np.float32))], scene)
    large = np.kron(labels, np.ones((10, 10), int))
    first = find_boundaries(large, connectivity=1, mode="inner")
    both = first | find_boundaries(np.where(first, 0, large), connectivity=1, mode="inner")
    np.testing.assert_array_equal(is_color(picture[:600, :800], scene.color(0)), both)


@pytest.mark.slow
def test_overlapping_nuclei_are_all_drawn_whole(tmp_path: Path, make_table: Make) -> None:
    shape = (800, 790)
    tables = [make_table(70, 1, classes=False), make_table(70, 2, classes=False)]
    scene = Scene("a.png", shape, pixels=gray(shape))
    picture = picture_of(tmp_path / "a.png", tables, scene)[: shape[0], : shape[1]]
    expected = np.zeros(shape, bool)
    masks = [mask for table in tables for mask in table.masks]
    for mask in masks:
        expected |= find_boundaries(paint([mask], shape), connectivity=1, mode="inner")
    assert expected.sum() > find_boundaries(paint(masks, shape), 1, "inner").sum()
    np.testing.assert_array_equal(is_color(picture, scene.color(0)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("background", [0, 12, 128, 230, 255])
@pytest.mark.parametrize("class_id", range(13))
def test_outlines_are_seen_on_every_background(
    tmp_path: Path, background: int, class_id: int
) -> None:
    """Within two pixels of an outline, brightness changes by a quarter of that of white."""
    table = NucleiTable(
        rectangles((20, 20, 50, 60)), np.ones(1, np.float32), np.array([class_id], np.int32)
    )
    names = tuple("abcdefghijklm")
    scene = Scene("a.png", (790, 800), class_names=names, pixels=gray((790, 800), background))
    picture = picture_of(tmp_path / "a.png", [table], scene)
    window = (5, 5, 1)
    seen = ndimage.maximum_filter(picture, window) - ndimage.minimum_filter(picture, window)
    edge = find_boundaries(paint(table.masks, (790, 800)), connectivity=1, mode="inner")
    assert (seen[:790, :800].max(axis=-1) > 64)[edge].all()


def test_twelve_classes_have_colors_of_their_own() -> None:
    scene = Scene("a.png", SHAPE, class_names=tuple("abcdefghijklm"))
    assert len({scene.color(k) for k in range(13)}) == 13


def test_large_images_are_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "LARGEST", 1000)
    shape = (1500, 2500)
    pixels = np.random.default_rng(0).integers(200, 240, (*shape, 3)).astype(np.uint8)
    pixels[1250:, 1250:] = 205
    masks = rectangles((10, 20, 110, 220), (1000, 500, 1001, 501), (1499, 2499, 1500, 2500))
    scene = Scene("a.svs", shape, pixels=ArrayImage(pixels))
    picture = picture_of(tmp_path / "a.png", [NucleiTable(masks, np.ones(3, np.float32))], scene)[
        :600
    ]
    assert picture.shape[1] == 1000
    expected = np.zeros((600, 1000), bool)
    for row, col in np.argwhere(find_boundaries(paint(masks, shape), 1, "inner")):
        expected[int(row / 2.5), int(col / 2.5)] = True
    assert expected[599, 999]
    assert expected[400, 200]
    np.testing.assert_array_equal(is_color(picture, scene.color(0)), expected)
    assert (picture[501:598, 501:997] == 205).all()


def test_a_long_strip_a_pixel_and_an_image_without_nuclei(tmp_path: Path) -> None:
    strip = NucleiTable(rectangles((0, 99_900, 3, 99_990)), np.ones(1, np.float32))
    scene = Scene("strip.tif", (3, 100_000), pixels=gray((3, 100_000)))
    picture = picture_of(tmp_path / "strip.png", [strip], scene)
    assert picture.shape[1] == 4096
    (cols,) = np.nonzero(is_color(picture[0], scene.color(0)))
    assert cols.tolist() == [int(99_900 * 0.04096), int(99_989 * 0.04096)]

    scene = Scene("dot.png", (1, 1), pixels=gray((1, 1)))
    for masks in ((), rectangles((0, 0, 1, 1))):
        table = NucleiTable(masks, np.ones(len(masks), np.float32))
        picture = picture_of(tmp_path / "dot.png", [table], scene)
        assert (picture[:768] == 230).all()
    assert (picture_of(tmp_path / "none.png", [], scene)[:768] == 230).all()


def test_the_legend_counts_the_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def seen(picture: np.ndarray, items: list) -> np.ndarray:
        found.append(items)
        return with_legend(picture, items)

    with_legend = drawing.with_legend
    monkeypatch.setattr(overlay, "with_legend", seen)
    table, _ = apart(0)
    scene = Scene("a.png", SHAPE, class_names=NAMES, colors=COLORS, pixels=gray(SHAPE))
    picture = picture_of(tmp_path / "a.png", [table, table], scene)
    counts = 2 * np.bincount(table.classes)
    title, *items = found[0]
    assert title == (None, "a.png")
    texts = [f"{name} {counts[k]}" for k, name in enumerate(NAMES)]
    texts[0] = f"unclassified {counts[0]}"
    order = [1, 2, 3, 0]
    assert items == [(COLORS[k], texts[k]) for k in order]
    for color in COLORS:
        assert is_color(picture[SHAPE[0] :], color).sum() > 100

    scene = Scene("b.png", SHAPE, pixels=gray(SHAPE))
    picture_of(tmp_path / "b.png", [], scene)
    assert found[1] == [(None, "b.png"), (scene.color(0), "nuclei 0")]


def test_what_cannot_be_read_is_white(tmp_path: Path) -> None:
    class Damaged(ArrayImage):
        def _read(self, level: int, box: Box) -> np.ndarray:
            if box.row < 200 and box.col < 200:
                raise CorruptRegion(self.path, 0, box, "damaged")
            return super()._read(level, box)

    image = Damaged(np.full((*SHAPE, 3), 225, np.uint8))
    picture = picture_of(tmp_path / "a.png", [], Scene("a.png", SHAPE, pixels=image))
    assert (picture[:200, :200] == 255).all()
    assert (picture[300:780, 300:800] == 225).all()


def test_pixels_are_needed_before_anything_is_written(
    tmp_path: Path, make_table: Make, scene: Scene
) -> None:
    for pixels, why in ((None, "slide 1.svs: an overlay needs"), (gray((9, 9)), r"\(9, 9\).*grid")):
        wrong = replace(scene, pixels=pixels)
        with pytest.raises(ValueError, match=why):
            write(tmp_path / "out", "a", ["csv", "overlay"], [make_table(3)], wrong)
        with pytest.raises(ValueError, match=why):
            create("overlay").write(tmp_path / "a.png", [make_table(3)], wrong)
    assert list(tmp_path.iterdir()) == []
