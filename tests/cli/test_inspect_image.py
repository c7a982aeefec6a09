"""`jaxnuc inspect FILE`, against what the file was written with."""

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
        "as a network sees it: inspected/a.png",
    ):
        assert line in lines
    with open_image(tmp_path / "a.ome.tif", planes=Planes(("DAPI",), "max", 1)) as image:
        expected = image.read(0, 0, 40, 50)
    np.testing.assert_array_equal(Image.open(tmp_path / "inspected" / "a.png"), expected)


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
    assert (tmp_path / "out" / "a.png").is_file()


def test_what_cannot_be_read_is_an_error(jaxnuc, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    done = jaxnuc("inspect", "a.png")
    assert done.status == 1
    assert "a.png: not an image" in done.error
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save(tmp_path / "b.png")
    assert "leave --channel" in jaxnuc("inspect", "b.png", "--z=1").error
    assert "no such file" in jaxnuc("inspect", "absent/b.png").error
    assert "2 channels" in jaxnuc("inspect", "b.png", "--channel=0,1").error
