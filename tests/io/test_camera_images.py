"""Images as cameras and microscopes write them, against the values that they were made with."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.io import ArrayImage, Planes, open_image, read_label_image
from jaxnuc.io.files import File, Files
from jaxnuc.io.large_image import Box
from jaxnuc.io.rgb import intensity_range_of, to_rgb
from jaxnuc.io.slides import SlideImage
from jaxnuc.outputs import NucleiTable, Scene, create
from jaxnuc.postprocess.masks import Mask

NUCLEI = np.zeros((60, 69), bool)
NUCLEI[10:20, 10:20] = NUCLEI[30:45, 40:52] = True


def whole(path, **arguments):
    with open_image(path, **arguments) as image:
        return image.read(0, 0, *image.shape)


def stretched(array):
    """From its lowest to its highest value, by hand."""
    low, high = float(array.min()), float(array.max())
    return np.rint((array - low) / (high - low) * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("dtype", "background", "nucleus"),
    [
        (np.uint16, 210, 330),  # of 12 bits
        (np.uint16, 100, 4195),
        (np.uint16, 0, 65535),
        (np.int16, -30, 700),
        (np.uint32, 70_000, 90_000),
        (np.int32, -5, 1000),
        (np.float32, 210.0, 330.0),
        (np.float64, -1.5, 1.5),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "tiles", "deflate", "npy", "zarr"])
def test_any_numbers_are_seen_in_their_own_range(tmp_path, dtype, background, nucleus, kind):
    rng = np.random.default_rng(0)
    share = np.where(NUCLEI, 0.8, 0.1) + 0.1 * rng.random(NUCLEI.shape)
    array = (background + (nucleus - background) * share).astype(dtype)
    path = tmp_path / {"npy": "a.npy", "zarr": "a.zarr"}.get(kind, "a.tif")
    if kind == "npy":
        np.save(path, array)
    elif kind == "zarr":
        zarr.save_array(path, array)
    else:
        layout = {"tile": (16, 16)} if kind == "tiles" else {}
        codec = {"compression": "deflate"} if kind == "deflate" else {}
        tifffile.imwrite(path, array, photometric="minisblack", **layout, **codec)
    expected = np.broadcast_to(stretched(array)[..., None], (*array.shape, 3))
    np.testing.assert_array_equal(whole(path), expected)
    with open_image(path) as image:  # a region alone is as in the whole
        np.testing.assert_array_equal(image.read(5, 6, 20, 30), expected[5:25, 6:36])
    if path.suffix == ".tif":  # the reader of trainings
        np.testing.assert_array_equal(File(Files(tmp_path), "a.tif").rgb(), expected)


def test_png_of_16_bits_is_seen_in_its_own_range(tmp_path):
    array = np.where(NUCLEI, 4000, 100).astype(np.uint16)
    array[0] = np.linspace(100, 4000, 69)
    Image.fromarray(array).save(tmp_path / "a.png")
    expected = stretched(array)
    np.testing.assert_array_equal(whole(tmp_path / "a.png")[..., 1], expected)
    np.testing.assert_array_equal(File(Files(tmp_path), "a.png").rgb()[..., 1], expected)


def test_hues_stay_and_a_hot_pixel_rules_nothing():
    rng = np.random.default_rng(0)
    array = rng.integers(1000, 3000, (200, 200, 3), np.uint16)
    array[0, 0] = 65535
    low, high = intensity_range_of(array, "")
    assert (low, high) == pytest.approx((1000, 3000), abs=3)
    seen = to_rgb(array, "").astype(float)
    literal = np.clip((array - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(seen, literal, atol=0.5)


def test_an_image_of_few_levels_warns(caplog):
    flat = np.where(NUCLEI, 215, 205).astype(np.uint16)
    with caplog.at_level(logging.WARNING):
        intensity_range_of(flat, "dark.tif")
    assert "dark.tif: no more than 11 levels, from 205 to 215" in caplog.text
    assert intensity_range_of(np.full((4, 4), 9, np.uint16), "") == (9, 10)


def test_a_large_image_has_one_range(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxnuc.io.large_image.WHOLE_PIXELS", 1000)
    array = np.random.default_rng(0).integers(500, 900, (400, 700), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(64, 64), photometric="minisblack")
    with open_image(tmp_path / "a.tif") as image:
        low, high = image.intensity_range
        assert (low, high) == pytest.approx((500, 899), abs=2)
        share = np.clip((array[300:, 600:] - low) / (high - low), 0, 1)
        np.testing.assert_array_equal(image.read(300, 600, 100, 100)[..., 0], np.rint(share * 255))


def test_transparent_surroundings_are_white(tmp_path):
    tissue = np.random.default_rng(0).integers(90, 200, (*NUCLEI.shape, 3), np.uint8)
    black = np.where(NUCLEI[..., None], tissue, 0).astype(np.uint8)
    Image.fromarray(np.dstack([black, NUCLEI * np.uint8(255)])).save(tmp_path / "a.png")
    expected = np.where(NUCLEI[..., None], tissue, 255)
    np.testing.assert_array_equal(whole(tmp_path / "a.png"), expected)
    file = File(Files(tmp_path), "a.png")
    np.testing.assert_array_equal(file.rgb(on_white=True), expected)
    np.testing.assert_array_equal(file.rgb(), black)  # as public data sets are read


def test_a_large_picture_is_read_up_to_a_limit(tmp_path):
    array = np.zeros((9600, 9600), np.uint8)
    array[9000:, :10] = 200
    Image.fromarray(array).save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png") as image:
        assert image.shape == (9600, 9600)
        assert image.read(8999, 5, 2, 1)[..., 0].tolist() == [[0], [200]]
    with pytest.raises(ValueError, match=r"9600 x 9600 pixels, more than the 90000000 .*--most-"):
        open_image(tmp_path / "a.png", most_pixels=90_000_000)


def test_several_images_in_one_file_are_listed_and_chosen(tmp_path):
    arrays = [np.full(shape, k + 1, np.uint8) for k, shape in enumerate([(60, 69), (80, 89)])]
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for array in arrays:
            tiff.write(array, photometric="minisblack")
    with pytest.raises(ValueError, match=r"a\.tif: 2 images \(0: '', 60 x 69 YX; 1: '', 80 x 89"):
        open_image(tmp_path / "a.tif")
    for k, array in enumerate(arrays):
        np.testing.assert_array_equal(whole(tmp_path / "a.tif", series=k)[..., 0], array)


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_of_ome_zarr_are_no_alpha(tmp_path, channels):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", shape=(channels, 8, 9), dtype="uint16")
    axes = [{"name": name, "type": "space"} for name in "cyx"]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": []}]}
    labels = [{"label": name} for name in ("actin", "tubulin", "lamin", "DAPI")[-channels:]]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [image],
        "omero": {"channels": labels},
    }
    names = ", ".join(f"{k} {each['label']}" for k, each in enumerate(labels))
    with pytest.raises(ValueError, match=rf"{channels} channels \({names}\); .*--channel"):
        open_image(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match=rf"no channel 'GFP'; there are {names}"):
        open_image(tmp_path / "a.zarr", planes=Planes(("GFP",)))


# Times, depths, channels: a stack (T, Z, C, H, W) of which every value says where it lies.
STACK = (
    np.arange(2)[:, None, None, None, None] * 4000
    + np.arange(3)[:, None, None, None] * 1000
    + np.arange(4)[:, None, None] * 200
    + np.random.default_rng(0).integers(0, 150, (2, 3, 4, 40, 50))
).astype(np.uint16)
STACK[:, 1] = STACK[:, 1] // 1000 * 1000 + STACK[:, 1] % 150 * 6  # in focus


def write_stack(path, kind, axes):
    """The stack, or a part of it, with these axes, as the programs write it."""
    places = tuple(slice(None) if axis in axes else 0 for axis in "TZC")
    array = STACK[places]
    if kind == "imagej":
        tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes})
    elif kind == "ome":
        names = {"Channel": {"Name": ["actin", "lamin", "GFP", "DAPI"]}} if "C" in axes else {}
        tifffile.imwrite(path, array, ome=True, metadata={"axes": axes, **names}, tile=(16, 16))
    else:
        group = zarr.open_group(path, mode="w")
        group.create_array("0", shape=array.shape, dtype=array.dtype, chunks=(16,) * array.ndim)
        group["0"][:] = array
        described = [{"name": axis.lower(), "type": "space"} for axis in axes]
        image = {"axes": described, "datasets": [{"path": "0", "coordinateTransformations": []}]}
        labels = [{"label": name} for name in ("actin", "lamin", "GFP", "DAPI")]
        group.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [image],
            "omero": {"channels": labels},
        }


@pytest.mark.parametrize("kind", ["imagej", "ome", "zarr"])
def test_planes_are_chosen(tmp_path, kind):
    path = tmp_path / ("a.zarr" if kind == "zarr" else "a.tif")
    write_stack(path, kind, "TZCYX")
    number = Planes((3,), 2, 1)
    gray = lambda array: np.broadcast_to(stretched(array)[..., None], (40, 50, 3))
    np.testing.assert_array_equal(whole(path, planes=number), gray(STACK[1, 2, 3]))
    brightest = Planes(("1",), "max", 0)
    np.testing.assert_array_equal(whole(path, planes=brightest), gray(STACK[0, :, 1].max(axis=0)))
    sharpest = Planes((0,), "best", 1)
    np.testing.assert_array_equal(whole(path, planes=sharpest), gray(STACK[1, 1, 0]))
    colors = Planes((2, 0, 3), 0, 0)
    expected = stretched(np.moveaxis(STACK[0, 0, [2, 0, 3]], 0, -1))
    np.testing.assert_array_equal(whole(path, planes=colors), expected)
    if kind != "imagej":  # which names no channels
        named = Planes(("DAPI",), 2, 1)
        np.testing.assert_array_equal(whole(path, planes=named), gray(STACK[1, 2, 3]))
    for planes, message in (
        (Planes((0,), 0), r"2 times; choose one \(--time=0 to 1\)"),
        (Planes((0,), None, 0), r"3 depths; choose one \(--z=0 to 2\)"),
        (Planes((), 0, 0), r"4 channels \(0.*choose one by name or number"),
        (Planes((4,), 0, 0), "no channel 4; there are 0"),
        (Planes((0,), 3, 0), r"z=3 \(--z\), but there are 3 from 0"),
        (Planes((0,), 0, 2), r"time=2 \(--time\), but there are 2 from 0"),
    ):
        with pytest.raises(ValueError, match=message):
            open_image(path, planes=planes)


@pytest.mark.parametrize("kind", ["imagej", "ome", "zarr"])
@pytest.mark.parametrize("axes", ["ZYX", "CYX", "YX"])
def test_a_part_of_the_axes_will_do(tmp_path, kind, axes):
    path = tmp_path / ("a.zarr" if kind == "zarr" else "a.tif")
    write_stack(path, kind, axes)
    planes = Planes((1,) if "C" in axes else (), 2 if "Z" in axes else None)
    expected = STACK[0, 2 if "Z" in axes else 0, 1 if "C" in axes else 0]
    np.testing.assert_array_equal(whole(path, planes=planes)[..., 0], stretched(expected))


def test_pages_of_one_shape_are_depths(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, :, 0], photometric="minisblack")
    found = whole(tmp_path / "a.tif", planes=Planes(z="max"))
    np.testing.assert_array_equal(found[..., 0], stretched(STACK[0, :, 0].max(axis=0)))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_channels_within_a_page_are_no_alpha(tmp_path, planar):
    array = STACK[0, 0] if planar == "separate" else np.moveaxis(STACK[0, 0], 0, -1)
    options = {"photometric": "minisblack", "planarconfig": planar, "extrasamples": [0] * 3}
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    with pytest.raises(ValueError, match="4 channels"):
        open_image(tmp_path / "a.tif")
    found = whole(tmp_path / "a.tif", planes=Planes((3,)))
    np.testing.assert_array_equal(found[..., 2], stretched(STACK[0, 0, 3]))


def test_planes_of_no_meaning_are_refused():
    with pytest.raises(ValueError, match="2 channels"):
        Planes((0, 1))
    with pytest.raises(ValueError, match="z='top'"):
        Planes(z="top")


@pytest.mark.parametrize(
    ("unit", "per_unit", "mpp"),
    [
        ("micron", 2, 0.5),
        ("um", 4, 0.25),
        ("\\u00B5m", 2, 0.5),  # as Java writes the sign of micro
        ("nm", 0.002, 0.5),
        ("mm", 2000, 0.5),
        ("pixel", 2, None),
        ("inch", 2, None),
    ],
)
def test_pixel_size_of_fiji(tmp_path, unit, per_unit, mpp):
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.zeros((8, 9), np.uint8),
        imagej=True,
        resolution=(per_unit, per_unit),
        metadata={"unit": unit},
    )
    with open_image(tmp_path / "a.tif") as image:
        assert image.mpp == (None if mpp is None else pytest.approx(mpp))


def test_labels_with_the_compression_of_jpeg_are_refused(tmp_path):
    labels = np.where(NUCLEI, 20, 10).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", labels, compression="jpeg")
    with pytest.raises(ValueError, match=r"a\.tif: a TIFF with JPEG's compression.*Deflate"):
        read_label_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", ["scn", "mrxs", "bif", "vms"])
def test_slides_that_only_openslide_reads(tmp_path, suffix, monkeypatch):
    tifffile.imwrite(tmp_path / f"a.{suffix}", np.zeros((64, 64, 3), np.uint8))
    monkeypatch.setitem(__import__("sys").modules, "openslide", None)
    with pytest.raises(ImportError, match=r"needs OpenSlide: pip install jaxnuc\[slides\]"):
        open_image(tmp_path / f"a.{suffix}")


@pytest.fixture
def scanned(monkeypatch, tmp_path):
    """A slide of two levels whose pixels say where they lie, of which a part was scanned."""
    openslide = pytest.importorskip("openslide")
    row, col = np.mgrid[:300, :400]
    pixels = np.stack([row % 256, col % 256, row // 256 + col // 256 * 2], axis=-1)
    pictures = [Image.fromarray(pixels[::k, ::k].astype(np.uint8)).convert("RGBA") for k in (1, 4)]
    bounds = {"x": 130, "y": 40, "width": 200, "height": 160}

    def read_region(corner, level, size):
        x, y = (place // (1, 4)[level] for place in corner)
        return pictures[level].crop((x, y, x + size[0], y + size[1]))

    slide = SimpleNamespace(
        dimensions=(400, 300),
        level_dimensions=[(400, 300), (100, 75)],
        level_downsamples=[1.0, 4.0],
        properties={f"openslide.bounds-{key}": str(value) for key, value in bounds.items()},
        read_region=read_region,
        close=lambda: None,
    )
    monkeypatch.setattr(openslide, "OpenSlide", lambda path: slide)
    (tmp_path / "a.scn").touch()
    return slide, pixels


def test_a_slide_is_cropped_to_its_bounds(scanned, tmp_path):
    """As QuPath crops it: coordinates count from the corner of the bounds."""
    _, pixels = scanned
    with SlideImage(tmp_path / "a.scn") as image:
        assert [level.shape for level in image.levels] == [(160, 200), (40, 50)]
        found = image.read(3, 5, 100, 150)
        np.testing.assert_array_equal(found, pixels[40 + 3 : 140 + 3, 130 + 5 : 280 + 5])
        small = image.read(2, 3, 30, 40, level=1)
        np.testing.assert_array_equal(small, pixels[40::4, 130 - 2 :: 4][2:32, 3:43])
    with SlideImage(tmp_path / "a.scn", bounds=False) as image:
        np.testing.assert_array_equal(image.read(0, 0, 300, 400), pixels)


@pytest.mark.parametrize("bounds", [True, False])
def test_geojson_of_a_slide_counts_from_the_corner_of_its_bounds(scanned, tmp_path, bounds):
    """QuPath's rule, docs/prediction.md: full-resolution pixels, (0, 0) a corner of the first."""
    with SlideImage(tmp_path / "a.scn", bounds) as image:
        red, green, blue = np.moveaxis(image.read(0, 0, *image.shape).astype(int), -1, 0)
        scene = Scene("a", image.shape)
    row, col = red + 256 * (blue % 2), green + 256 * (blue // 2)  # on the slide
    nucleus = (row >= 60) & (row < 72) & (col >= 150) & (col < 166)
    top, left = np.argwhere(nucleus)[0].tolist()
    masks = (Mask(top, left, nucleus[top : top + 12, left : left + 16]),)
    create("geojson").write(tmp_path / "a.geojson", [NucleiTable(masks, np.ones(1))], scene)
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    corner = (130, 40) if bounds else (0, 0)
    (x0, y0), (x1, y1) = (150 - corner[0], 60 - corner[1]), (166 - corner[0], 72 - corner[1])
    assert {*map(tuple, *feature["geometry"]["coordinates"])} == {
        (x0, y0),
        (x1, y0),
        (x0, y1),
        (x1, y1),
    }


@pytest.mark.parametrize("bounds", [{"x": "390"}, {"x": "a"}, {"height": "0"}, {"y": "-4"}])
def test_bounds_outside_of_the_slide_are_left_aside(scanned, tmp_path, bounds):
    slide, pixels = scanned
    slide.properties |= {f"openslide.bounds-{key}": value for key, value in bounds.items()}
    with SlideImage(tmp_path / "a.scn") as image:
        np.testing.assert_array_equal(image.read(0, 0, *Box(0, 0, 300, 400)[2:]), pixels)


def test_camera_images_are_trained_on(tmp_path):
    labels = NUCLEI.astype(np.uint8)
    array = np.where(NUCLEI, 330, 210).astype(np.uint16)
    array[0] = np.linspace(210, 330, 69)
    for folder, content in (("images", array), ("labels", labels)):
        (tmp_path / "train" / folder).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "train" / folder / "a.tif", content, photometric="minisblack")
    source = sources.create("folder", root=tmp_path, split="train")
    np.testing.assert_array_equal(source[0].image[..., 0], stretched(array))


@pytest.mark.parametrize("kind", ["png", "tif", "npy", "array"])
def test_what_is_read_may_be_changed(tmp_path, kind):
    array = np.zeros((20, 30, 3), np.uint8)
    if kind == "tif":
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
    elif kind == "png":
        Image.fromarray(array).save(tmp_path / "a.png")
    else:
        np.save(tmp_path / "a.npy", array)
    with ArrayImage(array) if kind == "array" else open_image(tmp_path / f"a.{kind}") as image:
        image.read(0, 0, 20, 30)[:] = 9
        assert not image.read(0, 0, 20, 30).any()
    assert not array.any()
