"""Label images and their levels against slices of the image painted at once."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import zarr

from jaxnuc.outputs import NucleiTable, Scene, create, pyramid
from jaxnuc.outputs.formats import tiff
from jaxnuc.postprocess.masks import Mask, paint

Make = Callable[..., NucleiTable]
TILE = 16


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "PLAIN_PIXELS", 0)
    monkeypatch.setattr(pyramid, "TILE", TILE)


def levels_of(path: Path) -> list[np.ndarray]:
    if path.is_dir():
        group = zarr.open_group(path, mode="r", zarr_format=2)
        (image,) = group.attrs["multiscales"]
        return [group[level["path"]][:] for level in image["datasets"]]
    with tifffile.TiffFile(path) as tiff:
        (series,) = tiff.series
        return [level.asarray() for level in series.levels]


def check(path: Path, expected: np.ndarray) -> None:
    levels = levels_of(path)
    for k, level in enumerate(levels):
        np.testing.assert_array_equal(level, expected[:: 2**k, :: 2**k])
    sides = [max(level.shape) for level in levels]
    assert sides[-1] <= pyramid.TILE
    assert all(side > pyramid.TILE for side in sides[:-1])


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("name", ["tiff", "ome_zarr"])
@pytest.mark.parametrize("at", [(0, 0), (1, 0), (5, 3), (2, 6)])
def test_every_level_is_a_slice(
    tmp_path: Path, make_table: Make, scene: Scene, name: str, at: tuple[int, int]
) -> None:
    """Ragged, overlapping nuclei, some of which no coarse level meets; odd sizes."""
    tables = [make_table(60, 3).moved(*at), make_table(60, 4).moved(at[1], at[0])]
    scene = replace(scene, shape=(157, 227), pixels=None)
    path = tmp_path / "out"
    assert create(name).write(path, tables, scene) == 120
    expected = paint(NucleiTable.concatenated(tables).masks, scene.shape)
    assert len(levels_of(path)) == 5
    assert 0 < len(np.unique(expected[::16, ::16])) < len(np.unique(expected))
    check(path, expected)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("name", ["tiff", "ome_zarr"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 33), (16, 16), (17, 16), (3, 1000)])
@pytest.mark.parametrize("nuclei", [0, 1])
def test_levels_of_any_shape(
    tmp_path: Path, name: str, shape: tuple[int, int], nuclei: int
) -> None:
    masks = (Mask(0, 0, np.ones(shape, bool)),) * nuclei
    table = NucleiTable(masks, np.ones(nuclei, np.float32))
    create(name).write(tmp_path / "out", [table], Scene("a.png", shape))
    check(tmp_path / "out", np.full(shape, nuclei))


def test_a_long_strip(tmp_path: Path) -> None:
    masks = (Mask(0, 99_990, np.ones((3, 10), bool)), Mask(1, 500, np.ones((1, 2000), bool)))
    table = NucleiTable(masks, np.ones(2, np.float32))
    scene = Scene("strip.tif", (3, 100_000))
    for name in ("tiff", "ome_zarr"):
        create(name).write(tmp_path / name, [table], scene)
    with tifffile.TiffFile(tmp_path / "tiff") as tiff:
        assert len(tiff.series[0].levels) == 1
        assert not tiff.is_bigtiff
    expected = paint(masks, scene.shape)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "tiff"), expected)
    check(tmp_path / "ome_zarr", expected)


@pytest.mark.usefixtures("small_tiles")
def test_ome_tiff_describes_itself(tmp_path: Path, make_table: Make, scene: Scene) -> None:
    """As OME-TIFF has it: smaller levels hang below the first page, and only there."""
    path, again = tmp_path / "out.labels.tif", tmp_path / "again.labels.tif"
    for each in (path, again):
        create("tiff").write(each, [make_table(9)], scene)
    assert path.read_bytes() == again.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert tiff.is_bigtiff
        assert len(tiff.pages) == 1
        page = tiff.pages[0]
        assert (page.is_tiled, page.is_reduced) == (True, False)
        assert len(page.subifds) == 4
        for k, level in enumerate(tiff.series[0].levels):
            assert level.keyframe.is_reduced == (k > 0)
            assert level.keyframe.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
            per_cm, unit = level.keyframe.tags["XResolution"].value, level.keyframe.resolutionunit
            assert (per_cm[0] / per_cm[1], unit) == (1e4 / 0.5 / 2**k, 3)
        (pixels,) = ElementTree.fromstring(tiff.ome_metadata).findall(".//{*}Pixels")
    sizes = {
        key: pixels.get(key) for key in ("SizeX", "SizeY", "PhysicalSizeX", "PhysicalSizeXUnit")
    }
    assert sizes == dict(
        zip(sizes, (str(scene.shape[1]), str(scene.shape[0]), "0.5", "µm"), strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("nuclei", "dtype"), [(2**16 - 1, np.uint16), (2**16, np.int32)])
def test_the_type_is_the_smallest_that_holds_all_numbers(
    tmp_path: Path, nuclei: int, dtype: type, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not plain:
        monkeypatch.setattr(tiff, "PLAIN_PIXELS", 0)
    pixel = np.ones((1, 1), bool)
    masks = tuple(Mask(k // 300, k % 300, pixel) for k in range(nuclei))
    path = tmp_path / "out.tif"
    create("tiff").write(
        path, [NucleiTable(masks, np.ones(nuclei, np.float32))], Scene("a", (300, 300))
    )
    found = tifffile.imread(path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.ravel()[:nuclei], np.arange(1, nuclei + 1))
    assert not found.ravel()[nuclei:].any()


def test_ome_zarr_scales(tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "TILE", 64)
    create("ome_zarr").write(tmp_path / "out", [], scene)
    group = zarr.open_group(tmp_path / "out", mode="r", zarr_format=2)
    (image,) = group.attrs["multiscales"]
    assert [axis["unit"] for axis in image["axes"]] == ["micrometer"] * 2
    for k, level in enumerate(image["datasets"]):
        assert level == {
            "path": str(k),
            "coordinateTransformations": [{"type": "scale", "scale": [0.5 * 2**k] * 2}],
        }
    assert len(image["datasets"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiff", "ome_zarr"])
def test_memory_does_not_grow_with_the_image(tmp_path: Path, name: str) -> None:
    """Of 30,000 x 30,000 pixels, the first row of tiles alone would take 61 MB."""
    scene = Scene("slide.svs", (30_000, 30_000))
    disc = np.hypot(*np.ogrid[-40:41, -40:41]) <= 40
    places = np.random.default_rng(0).integers(0, 29_900, (50, 2)).tolist()
    masks = tuple(Mask(row, col, disc) for row, col in places)
    table = NucleiTable(masks, np.ones(50, np.float32))
    tracemalloc.start()
    try:
        create(name).write(tmp_path / "out", [table], scene)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16e6
    if name == "tiff":
        levels = [tifffile.imread(tmp_path / "out", level=k) for k in (3, 6)]
    else:
        group = zarr.open_group(tmp_path / "out", mode="r", zarr_format=2)
        levels = [group[str(k)][:] for k in (3, 6)]
        assert sorted(group.array_keys()) == [str(k) for k in range(7)]
    expected = np.zeros((3750, 3750), int)
    for k, (row, col) in enumerate(places, start=1):
        for r in range(row // 8, row // 8 + 12):
            for c in range(col // 8, col // 8 + 12):
                if np.hypot(8 * r - row - 40, 8 * c - col - 40) <= 40:
                    expected[r, c] = k
    np.testing.assert_array_equal(levels[0], expected)
    np.testing.assert_array_equal(levels[1], expected[::8, ::8])
