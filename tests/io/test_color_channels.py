"""Red, green and blue of images in color, chosen as the channels of a microscope are."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.io import Planes, open_image

COLORS = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


def whole(path, channel, **arguments):
    with open_image(path, planes=Planes(channel, **arguments)) as image:
        assert image.contents.in_color
        return image.read(0, 0, *image.shape)


def write(path, kind, image):
    if kind in ("png", "bmp", "jpg"):
        Image.fromarray(image).save(path)
    elif kind == "npy":
        np.save(path, image)
    elif kind == "zarr":
        import zarr

        array = zarr.create_array(store=path, shape=image.shape, dtype=image.dtype)
        array[...] = image
    elif kind == "planar.tif":
        planes = np.moveaxis(image, -1, 0)
        tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    elif kind == "pages.tif":
        pages = np.moveaxis(image, -1, 0)
        tifffile.imwrite(path, pages, photometric="minisblack", metadata={"axes": "CYX"})
    else:
        tile = (32, 32) if kind == "tiles.tif" else None
        tifffile.imwrite(path, image, photometric="rgb", tile=tile)


@pytest.mark.parametrize(
    "kind",
    ["png", "bmp", "jpg", "npy", "zarr", "ome.tif", "tiles.tif", "planar.tif", "pages.tif"],
)
def test_a_color_is_shown_in_gray(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    write(path, kind, COLORS)
    seen = whole(path, ())
    if kind != "jpg":
        np.testing.assert_array_equal(seen, COLORS)
    for number, name in enumerate(("red", "green", "blue")):
        for channel in (name, name.upper(), number, str(number)):
            found = whole(path, (channel,))
            np.testing.assert_array_equal(found, np.repeat(seen[..., [number]], 3, axis=2))
    np.testing.assert_array_equal(whole(path, ("blue", 0, "1")), seen[..., [2, 0, 1]])
    np.testing.assert_array_equal(whole(path, ("blue",), z="max"), whole(path, ("blue",)))
    with pytest.raises(ValueError, match="no channel 'DAPI'; there are 0 red, 1 green, 2 blue"):
        whole(path, ("DAPI",))
    with pytest.raises(ValueError, match=r"z=1 \(--z\), but there is one depth; leave it out"):
        whole(path, ("blue",), z=1)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_what_is_transparent_is_white_in_one_color_too(tmp_path, kind):
    alpha = np.full((70, 90, 1), 255, np.uint8)
    alpha[:30] = 0
    path, image = tmp_path / f"a.{kind}", np.concatenate([COLORS, alpha], axis=2)
    if kind == "png":
        Image.fromarray(image).save(path)
    else:
        tifffile.imwrite(path, image, photometric="rgb", extrasamples=["unassalpha"])
    found = whole(path, ("blue",))
    assert (found[:30] == 255).all()
    np.testing.assert_array_equal(found[30:, :, 0], COLORS[30:, :, 2])


def test_a_color_of_a_palette(tmp_path):
    Image.fromarray(COLORS).quantize(8).save(tmp_path / "a.tif")
    seen = whole(tmp_path / "a.tif", ())
    np.testing.assert_array_equal(whole(tmp_path / "a.tif", ("green",))[..., 0], seen[..., 1])


def test_a_color_of_16_bits_has_its_own_range(tmp_path):
    image = np.zeros((20, 30, 3), np.uint16)
    image[..., 0] = 60000
    image[..., 2] = np.arange(600).reshape(20, 30) + 1000
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    found = whole(tmp_path / "a.tif", ("blue",))[..., 0]
    np.testing.assert_array_equal(found, np.rint((image[..., 2] - 1000.0) / 599 * 255))


def test_a_gray_image_has_one_channel(tmp_path):
    Image.fromarray(COLORS[..., 0]).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", COLORS[..., 0])
    for name in ("a.png", "a.tif"):
        with open_image(tmp_path / name, planes=Planes((0,))) as image:
            assert not image.contents.in_color
            np.testing.assert_array_equal(image.read(0, 0, 70, 90)[..., 1], COLORS[..., 0])
        with pytest.raises(ValueError, match=r"no channel 'blue': .* leave the channel \(--chan"):
            open_image(tmp_path / name, planes=Planes(("blue",)))


def test_channels_of_names_are_no_colors(tmp_path):
    about = {"axes": "CYX", "Channel": {"Name": ["DAPI", "actin", "tubulin"]}}
    planes = np.moveaxis(COLORS, -1, 0)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, planes, ome=True, metadata=about, photometric="minisblack")
    with pytest.raises(ValueError, match="no channel 'blue'; there are 0 DAPI, 1 actin, 2 tubulin"):
        open_image(path, planes=Planes(("blue",)))
    with open_image(path, planes=Planes(("dapi",))) as image:
        np.testing.assert_array_equal(image.read(0, 0, 70, 90)[..., 2], COLORS[..., 0])


def test_several_images_in_color_are_not_channels_of_one(tmp_path):
    two = np.stack([COLORS, COLORS])
    tifffile.imwrite(tmp_path / "a.ome.tif", two, photometric="rgb", metadata={"axes": "CYXS"})
    with pytest.raises(ValueError, match=r"a\.ome\.tif: axes CYXS .*; save each on its own"):
        open_image(tmp_path / "a.ome.tif", planes=Planes((0,)))


def test_a_data_set_of_one_color(tmp_path):
    for folder, image in (("images", COLORS), ("labels", (COLORS[..., 0] > 128).astype(np.uint8))):
        (tmp_path / "cells" / folder).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "cells" / folder / "a.png")
    (sample,) = sources.create("folder", root=tmp_path / "cells", planes={"channel": "blue"})
    np.testing.assert_array_equal(sample.image, np.repeat(COLORS[..., 2:], 3, axis=2))
