"""Damaged images cost themselves, and nothing else."""

import logging
import random

import numpy as np
import pytest
import tifffile

from jaxnuc.io import ArrayImage, CorruptRegion, FilledImage, open_image

SVS = {"metadata": None, "description": "Aperio Image Library v1\n64x64 |AppMag = 20|MPP = 0.5"}


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def test_whatever_tifffile_raises_names_the_file(tmp_path, pixels):
    """Bytes of the header, where the tags are, are changed: tifffile stumbles in many ways."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels[:, :, 0], tile=(16, 16), compression="deflate")
    data, draw, errors = path.read_bytes(), random.Random(0), []
    for _ in range(150):
        found = bytearray(data)
        for _ in range(draw.choice((1, 2, 4))):
            place = draw.randrange(8, 260)
            found[place] = draw.choice((0, 1, 0xFF, found[place] ^ 1 << draw.randrange(8)))
        path.write_bytes(found)
        try:
            with open_image(path) as image:
                height, width = image.shape
                image.read(0, 0, min(height, 64), min(width, 64))
        except (ValueError, ImportError) as error:
            errors.append(error)
    assert len({type(error.__cause__) for error in errors}) > 2
    assert all(str(path) in str(error) and "\n" not in str(error) for error in errors)


class Odd(ArrayImage):
    """An image whose decoder raises what no base class knows of."""

    def _read(self, level, box):
        if box.row + box.height > 20:
            raise IndexError("list index out of range")
        return super()._read(level, box)


def test_whatever_a_decoder_raises_is_a_corrupt_region(pixels):
    image = Odd(pixels, "a.odd")
    np.testing.assert_array_equal(image.read(0, 0, 20, 64), pixels[:20])
    with pytest.raises(CorruptRegion, match=r"a\.odd: level 0 .* list index out of range"):
        image.read(10, 0, 20, 10)
    filled = FilledImage(image)
    np.testing.assert_array_equal(filled.read(0, 0, 20, 64), pixels[:20])
    assert (filled.read(20, 0, 20, 64) == 255).all()


def test_a_slide_that_ends_the_process(tmp_path, pixels):
    openslide = pytest.importorskip("openslide")
    whole, bomb = tmp_path / "whole.svs", tmp_path / "bomb.svs"
    for path in (whole, bomb):
        tifffile.imwrite(path, pixels, tile=(16, 16), photometric="rgb", compression="jpeg", **SVS)
    with tifffile.TiffFile(bomb, mode="r+b") as file:
        for name in ("TileWidth", "TileLength"):
            file.pages[0].tags[name].overwrite(2**17)  # 64 GiB in one tile
    assert openslide.OpenSlide.detect_format(bomb) == "aperio"
    for _ in range(2):
        with pytest.raises(ValueError, match=r"bomb\.svs: damaged; OpenSlide ended the process"):
            open_image(bomb)
        with open_image(whole) as image:
            assert np.abs(image.read(0, 0, 64, 64).astype(int).mean() - pixels.mean()) < 20
