"""`jaxnuc inspect FILE`, against what the file was written with."""

import shutil

import numpy as np
import tifffile
from PIL import Image

from jaxnuc.io import Planes, open_image


def test_a_stack_is_described_and_shown(jaxnuc, tmp_path):
    stack = np.random.default_rng(0).integers(100, 4000, (2, 3, 2, 40, 50), np.uint16)
    about = {"axes": "TZCYX", "Channel": {"Name": ["actin", "DAPI"]}}
    about |= {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, ome=True, metadata=about)
    done = jaxnuc("inspect", "a.ome.tif")
    assert done.status == 0
    for part in ("2 channels (0 actin, 1 DAPI)", "--channel=0", "3 depths", "--z=max", "--time=0"):
        assert part in done.out
    assert not (tmp_path / "inspected").exists()
    done = jaxnuc("inspect", "a.ome.tif", "--channel=DAPI", "--z=max", "--time=1")
    lines = done.out.splitlines()
    seen = stack[1, :, 1].max(axis=0)
    for line in (
        "rows x columns: 40 x 50",
        "times (--time): 2",
        "depths (--z): 3",
        "channels: 2 (actin, DAPI)",
        "axes: TZCYX, 2 x 3 x 2 x 40 x 50",
        f"values: uint16, {seen.min()} to {seen.max()} become 0 to 255",
        "microns per pixel: 0.5 (OME-XML)",
        "as a network sees it: inspected/a.seen.png",
    ):
        assert line in lines
    with open_image(tmp_path / "a.ome.tif", planes=Planes(("DAPI",), "max", 1)) as image:
        expected = image.read(0, 0, 40, 50)
    np.testing.assert_array_equal(Image.open(tmp_path / "inspected" / "a.seen.png"), expected)


def test_an_image_in_color_is_described_and_one_of_its_colors_shown(jaxnuc, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    assert "channels: color (red, green, blue)\n" in jaxnuc("inspect", "a.png").out
    for blue in ("blue", "2"):
        assert jaxnuc("inspect", "a.png", f"--channel={blue}").status == 0
        seen = np.asarray(Image.open(tmp_path / "inspected" / "a.seen.png"))
        np.testing.assert_array_equal(seen, np.repeat(image[..., 2:], 3, axis=2))
    done = jaxnuc("inspect", "a.png", "--channel=DAPI")
    assert done.error.endswith("a.png: no channel 'DAPI'; there are 0 red, 1 green, 2 blue")
    Image.fromarray(image[..., 0]).save(tmp_path / "b.png")
    assert "color" not in jaxnuc("inspect", "b.png").out


def test_images_of_a_file_and_its_levels(jaxnuc, tmp_path):
    dark = np.full((64, 96), 210, np.uint16)
    dark[0] = 220
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(dark, photometric="minisblack", subifds=1)
        tiff.write(dark[::2, ::2], subfiletype=1)
        tiff.write(dark[:30], photometric="minisblack")
    listed = "2 images (0: '', 64 x 96 YX; 1: '', 30 x 96 YX)"
    assert listed in jaxnuc("inspect", "a.tif").out
    done = jaxnuc("inspect", "a.tif", "--image=0", "--output=out")
    assert "levels: 64 x 96, 32 x 48\n" in done.out
    assert "microns per pixel: unknown; say them (--mpp)" in done.out
    assert "no more than 11 levels, from 210 to 220" in done.err
    assert (tmp_path / "out" / "a.seen.png").is_file()


def test_what_cannot_be_read_is_an_error(jaxnuc, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    done = jaxnuc("inspect", "a.png")
    assert done.status == 1
    assert "a.png: not an image" in done.error
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(tmp_path / "b.png")
    assert "there is one depth; leave it out" in jaxnuc("inspect", "b.png", "--z=1").error
    (tmp_path / "c.tif").write_bytes(b"II*\0")
    assert "c.tif: not a readable TIFF" in jaxnuc("inspect", "c.tif").error
    assert "no such file" in jaxnuc("inspect", "absent/b.png").error
    assert "absent.ome.tif: no such file" in jaxnuc("inspect", "absent.ome.tif").error
    assert "'my.set' cannot be imported" in jaxnuc("inspect", "my.set", "x").error
    assert "2 channels" in jaxnuc("inspect", "b.png", "--channel=0,1").error


def test_the_image_is_not_overwritten(jaxnuc, tmp_path):
    deep = np.arange(30, dtype=np.uint16).reshape(5, 6) * 1000
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert jaxnuc("inspect", "a.png", "--output=.").status == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), deep)
    assert (tmp_path / "a.seen.png").is_file()


def test_images_and_data_sets_are_told_apart(jaxnuc, tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "cells" / part).mkdir(parents=True)
        Image.fromarray(np.ones((5, 6), np.uint8)).save(tmp_path / "cells" / part / "a.png")
    shutil.make_archive(str(tmp_path / "cells"), "zip", tmp_path / "cells")
    image = "cells/images/a.png"
    for given, message in (
        ((image, "cells"), "an image, which takes no ROOT (cells)"),
        ((image, "--limit=3", "--all-notes"), "a data set; leave --limit, --all-notes out"),
        (("cells",), "cells: a folder, not an image"),
        (("cells/",), "write: jaxnuc inspect folder cells"),
        (("cells.zip",), "write: jaxnuc inspect folder cells.zip"),
        (("synthetic", "--z=0"), "synthetic is a data set, not an image; leave --z out"),
        (
            ("folder", "cells", "--channel=DAPI", "--z=max"),
            """write 'folder(planes={"channel": ["DAPI"], "z": "max"})' in place of --channel""",
        ),
    ):
        done = jaxnuc("inspect", *given)
        assert done.status == 1
        assert message in done.error
    (tmp_path / "folder").mkdir()  # which has the name of a data set
    assert jaxnuc("inspect", "folder", "cells").out.startswith("folder: 1 images, 1 nuclei")
