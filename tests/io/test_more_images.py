"""Images of which values, planes or places could be lost silently, against what was written."""

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from jaxnuc.io import Planes, open_image
from jaxnuc.io.files import File, Files

RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (20, 30, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (20, 30), np.uint8)
ON_WHITE = np.rint(COLORS * (ALPHA[..., None] / 255) + 255 - ALPHA[..., None]).astype(np.uint8)
INDICES = RNG.integers(0, 4, (20, 30), np.uint8)
PALETTE = np.array([[0, 0, 0], [200, 10, 10], [10, 200, 10], [9, 9, 200]], np.uint8)
STACK = RNG.integers(0, 4000, (4, 20, 30), np.uint16)


def whole(path, **arguments):
    with open_image(path, **arguments) as image:
        return image.read(0, 0, *image.shape)


def stretched(array):
    """From its lowest to its highest value, by hand, as RGB."""
    low, high = float(array.min()), float(array.max())
    gray = np.rint((array - low) / (high - low) * 255).astype(np.uint8)
    return np.broadcast_to(gray[..., None], (*array.shape, 3))


def palette_image():
    image = Image.fromarray(INDICES, "P")
    image.putpalette(PALETTE.ravel().tolist())
    return image


def where(mask, array):
    """White where the mask is true."""
    return np.where(mask[..., None], np.uint8(255), array)


def gray_png(path):
    Image.fromarray(ALPHA).save(path, transparency=int(ALPHA[0, 0]))


def color_png(path):
    Image.fromarray(COLORS).save(path, transparency=tuple(map(int, COLORS[0, 0])))


def palette_png(path):
    palette_image().save(path, transparency=0)


def sixteen_bit_png(path):
    codecs = pytest.importorskip("imagecodecs")
    alpha = np.where(np.arange(30) < 15, 65535, 0).astype(np.uint16)
    image = np.dstack([STACK[0], np.broadcast_to(alpha, (20, 30))])
    path.write_bytes(codecs.png_encode(np.ascontiguousarray(image)))


def multiplied_tiff(path):
    colors = np.rint(COLORS * (ALPHA[..., None] / 255)).astype(np.uint8)
    tifffile.imwrite(
        path, np.dstack([colors, ALPHA]), photometric="rgb", extrasamples=["assocalpha"]
    )


def small_palette_tiff(path):
    colors = np.zeros((3, 256), np.uint16)
    colors[:, :4] = PALETTE.T
    tifffile.imwrite(path, INDICES, photometric="palette", colormap=colors)


def big_endian_tiff(path):
    tifffile.imwrite(path, STACK[0], byteorder=">", photometric="minisblack")


def planar_tiff(path):
    tifffile.imwrite(path, np.moveaxis(COLORS, -1, 0), photometric="rgb", planarconfig="separate")


GRAY = np.broadcast_to(ALPHA[..., None], COLORS.shape)
HALF = np.broadcast_to(np.arange(30) >= 15, (20, 30))


@pytest.mark.parametrize(
    ("write", "suffix", "expected"),
    [
        (gray_png, "png", where(ALPHA[0, 0] == ALPHA, GRAY)),
        (color_png, "png", where((COLORS[0, 0] == COLORS).all(axis=-1), COLORS)),
        (palette_png, "png", where(INDICES == 0, PALETTE[INDICES])),
        (sixteen_bit_png, "png", where(HALF, stretched(STACK[0]))),
        (multiplied_tiff, "tif", ON_WHITE),
        (small_palette_tiff, "tif", PALETTE[INDICES]),
        (big_endian_tiff, "tif", stretched(STACK[0])),
        (planar_tiff, "tif", COLORS),
    ],
)
def test_what_is_seen(tmp_path, write, suffix, expected):
    path = tmp_path / f"a.{suffix}"
    write(path)
    tolerance = 1 if write is multiplied_tiff else 0  # its colors were rounded before
    np.testing.assert_allclose(whole(path).astype(int), expected, atol=tolerance)
    with open_image(path) as image:
        part = image.read(3, 4, 9, 20).astype(int)
    np.testing.assert_allclose(part, expected[3:12, 4:24], atol=tolerance)


@pytest.mark.parametrize("write", [gray_png, color_png, palette_png])
def test_transparent_colors_are_white_in_training_too(tmp_path, write):
    write(tmp_path / "a.png")
    file = File(Files(tmp_path), "a.png")
    np.testing.assert_array_equal(file.rgb(on_white=True), whole(tmp_path / "a.png"))
    assert file.rgb().shape == (20, 30, 3)


def test_a_transparent_region_is_as_in_the_whole(tmp_path):
    """A region without anything opaque is white, though its colors are black."""
    image = np.zeros((64, 64, 4), np.uint8)
    image[:32] = 90, 30, 60, 255
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unassalpha"])
    with open_image(tmp_path / "a.tif") as opened:
        assert (opened.read(40, 8, 20, 20) == 255).all()
        assert (opened.read(8, 8, 20, 20) == (90, 30, 60)).all()
    image[..., 3] = 0  # nothing is opaque: no alpha
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unassalpha"])
    assert (whole(tmp_path / "a.tif")[:32] == (90, 30, 60)).all()


@pytest.mark.parametrize("kind", ["npy", "zarr"])
@pytest.mark.parametrize("count", [2, 4])
def test_channels_of_an_array_are_no_alpha(tmp_path, kind, count):
    array, path = np.moveaxis(STACK[:count], 0, -1), tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, array)
    else:
        zarr.save_array(path, array)
    with pytest.raises(ValueError, match=rf"a\.{kind}.*{count} channels"):
        open_image(path)
    np.testing.assert_array_equal(whole(path, planes=Planes((1,))), stretched(STACK[1]))
    with pytest.raises(ValueError, match=rf"^\S*a\.{kind}: z=2 \(--z\), but there is one depth"):
        open_image(path, planes=Planes((1,), 2))


def test_imagej_describes_the_first_plane_of_many(tmp_path):
    """As ImageJ writes stacks of more than 4 GB: one page, and all planes behind it."""
    stack = np.stack([STACK[:2], STACK[2:]])
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZCYX"}, truncate=True)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    for z, c in np.ndindex(2, 2):
        seen = whole(path, planes=Planes((c,), z))
        np.testing.assert_array_equal(seen, stretched(stack[z, c]))


def test_levels_in_sub_ifds_have_the_planes_that_are_chosen(tmp_path):
    stack = RNG.integers(0, 4000, (2, 64, 96), np.uint16)
    layout = {"photometric": "minisblack", "tile": (16, 16)}
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True, bigtiff=True) as tiff:
        tiff.write(stack, subifds=1, metadata={"axes": "CYX"}, **layout)
        tiff.write(stack[:, ::2, ::2], subfiletype=1, **layout)
    with open_image(tmp_path / "a.ome.tif", planes=Planes((1,))) as image:
        assert [level.shape for level in image.levels] == [(64, 96), (32, 48)]
        low, high = image.intensity_range
        share = np.clip((stack[1, ::2, ::2] - low) / (high - low), 0, 1)
        np.testing.assert_array_equal(
            image.read(0, 0, 32, 48, level=1)[..., 0], np.rint(share * 255)
        )


def test_a_number_that_is_none_is_found_wherever_it_lies(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxnuc.io.large_image.WHOLE_PIXELS", 1000)
    monkeypatch.setattr("jaxnuc.io.large_image._SIDE", 16)
    monkeypatch.setattr("jaxnuc.io.large_image._SQUARES", 2)
    array = RNG.random((100, 100)).astype(np.float32) * 300
    array[50, 50] = np.nan  # between the pixels by which the range is found
    np.save(tmp_path / "a.npy", array)
    with open_image(tmp_path / "a.npy") as image:
        assert image.read(0, 0, 40, 40).any()
        with pytest.raises(ValueError, match=r"a\.npy: .*no finite numbers"):
            image.read(40, 40, 20, 20)


def ome(group, axes, **more):
    described = [
        {"name": axis, "unit": "angstrom"} if axis in "yx" else {"name": axis} for axis in axes
    ]
    scale = {"type": "scale", "scale": [2500.0 if axis in "yx" else 1.0 for axis in axes]}
    image = {"axes": described, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image], **more}


def test_label_maps_and_plates_of_ome_zarr_are_no_images(tmp_path):
    field = zarr.open_group(tmp_path / "a.zarr", mode="w").create_group("A/1/0")
    field.create_array("0", shape=(1, 8, 9), dtype="uint8")
    ome(field, "cyx")
    labels = field.create_group("labels/nuclei")
    labels.create_array("0", shape=(8, 9), dtype="int32")
    ome(labels, "yx", **{"image-label": {}})
    plate = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    plate.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}]}}
    with pytest.raises(ValueError, match=r"a plate of 1 wells \(A/1\); .* such as A/1/0"):
        open_image(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="a label map; give the image"):
        open_image(tmp_path / "a.zarr/A/1/0/labels/nuclei")
    with open_image(tmp_path / "a.zarr/A/1/0") as image:
        assert image.shape == (8, 9)
        assert image.mpp == pytest.approx(0.25)


def two_files(path):
    """One of the two files of an OME-TIFF, a channel in each."""
    ids = [f"urn:uuid:11111111-0000-0000-0000-00000000000{k}" for k in range(2)]
    parts = "".join(
        f'<Channel ID="Channel:0:{k}" SamplesPerPixel="1"/><TiffData FirstC="{k}" IFD="0" '
        f'PlaneCount="1"><UUID FileName="{name}">{ids[k]}</UUID></TiffData>'
        for k, name in enumerate((path.name, "absent.ome.tif"))
    )
    xml = (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{ids[0]}">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
        f'SizeX="30" SizeY="20" SizeC="2" SizeZ="1" SizeT="1">{parts}</Pixels></Image></OME>'
    )
    tifffile.imwrite(path, STACK[0], description=xml, metadata=None, photometric="minisblack")


@pytest.mark.parametrize(
    ("write", "name", "message"),
    [
        (
            two_files,
            "a.ome.tif",
            r"axes CYX of shape \(2, 20, 30\); expected one image in one file",
        ),
        (
            lambda path: tifffile.imwrite(
                path, STACK[0].astype(np.int16), photometric="miniswhite"
            ),
            "a.tif",
            "a TIFF of int16 in which 0 is white",
        ),
        (
            lambda path: tifffile.imwrite(
                path, np.dstack([COLORS, ALPHA, ALPHA]), photometric="rgb", extrasamples=[0, 0]
            ),
            "a.tif",
            "5 samples, of which the first three are colors",
        ),
        (
            lambda path: tifffile.imwrite(path, STACK[:3] // 16, photometric="minisblack"),
            "a.tif",
            "3 depths",
        ),
        (
            lambda path: tifffile.imwrite(
                path, np.moveaxis(COLORS, -1, 0), ome=True, metadata={"axes": "TYX"}
            ),
            "a.ome.tif",
            "3 times",
        ),
        (lambda path: Image.fromarray(COLORS).convert("CMYK").save(path), "a.jpg", "CMYK colors"),
        (lambda path: Image.fromarray(COLORS).convert("LAB").save(path), "a.tif", "CIELAB colors"),
        (lambda path: Image.fromarray(COLORS).save(path, format="WEBP"), "a.png", "not an image"),
    ],
)
def test_what_is_refused(tmp_path, write, name, message):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        open_image(tmp_path / name)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_photo_lies_as_viewers_show_it(tmp_path, suffix, orientation, caplog):
    """By EXIF 2.32, 4.6.4: where the 0th row and the 0th column of the file are seen."""
    seen = np.zeros((16, 24, 3), np.uint8)
    seen[:8, :8], seen[:8, 16:], seen[8:, :8] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.transpose(1, 0, 2),
        6: np.rot90(seen, 1),  # 0th row right, 0th column top: turned clockwise to be seen
        7: seen[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(seen, -1),
    }[orientation]
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=95, subsampling=0)
    for _ in range(2):
        assert np.abs(whole(path).astype(int) - seen).max() < 60
    assert caplog.text.count(f"orientation {orientation}) says, as viewers") == (orientation > 1)


def test_a_tiff_that_some_programs_turn_is_read_as_stored(tmp_path, caplog):
    pixels = np.arange(96, dtype=np.uint8).reshape(8, 12)
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(274, 3, 1, 6, True)])
    for _ in range(2):
        np.testing.assert_array_equal(whole(tmp_path / "a.tif")[..., 0], pixels)
    assert caplog.text.count("though its tag (orientation 6) asks to turn it") == 1
