"""Two slides: OpenSlide, tifffile and OpenSlide's own answer agree."""

import numpy as np
import pytest
import tifffile

from jaxnuc.io import open_image
from jaxnuc.io.large_image import CorruptRegion

openslide = pytest.importorskip("openslide")
pytest.importorskip("imagecodecs")
JPEG, JPEG_2000 = "wsi/cmu-1-small-region.svs", "wsi/tcga-cr-7395-01a-01-ts1.svs"


@pytest.mark.parametrize(
    ("name", "shapes", "mpp"),
    [(JPEG, [(2967, 2220)], 0.499), (JPEG_2000, [(3567, 4443), (1783, 2221)], None)],
)
@pytest.mark.parametrize("backend", [None, "openslide", "tifffile"])
def test_metadata(shared_data, name, shapes, mpp, backend):
    with open_image(shared_data(name), backend=backend) as image:
        assert [level.shape for level in image.levels] == shapes
        assert [level.downsample for level in image.levels] == [1, 2][: len(shapes)]
        assert image.mpp == mpp


@pytest.mark.parametrize("name", [JPEG, JPEG_2000])
@pytest.mark.parametrize(
    "box", [(600, 900, 300, 300), (1000, 700, 530, 600), (2400, 1500, 567, 720)]
)
def test_backends_agree(shared_data, name, box):
    path = shared_data(name)
    row, col, height, width = box
    with openslide.OpenSlide(path) as slide:
        truth = np.asarray(slide.read_region((col, row), 0, (width, height)))
    assert (truth[..., 3] == 255).all()
    with open_image(path) as a, open_image(path, backend="tifffile") as b:
        by_openslide, by_tifffile = a.read(*box), b.read(*box)
    np.testing.assert_array_equal(by_openslide, truth[..., :3])
    # Decoders of JPEG round in their own ways.
    assert np.abs(by_tifffile.astype(int) - by_openslide).max() <= 3
    assert by_openslide.std() > 5


def test_smaller_level(shared_data):
    path = shared_data(JPEG_2000)
    with open_image(path) as a, open_image(path, backend="tifffile") as b:
        height, width = a.levels[1].shape
        whole = a.read(0, 0, height, width, 1)
        other = b.read(0, 0, height, width, 1)
    # OpenSlide goes by the ratio 2.0005, so that it gets between the pixels further on.
    np.testing.assert_array_equal(whole[:500, :500], other[:500, :500])
    assert np.abs(whole.astype(int) - other).mean() < 3
    with open_image(path) as image:  # the same pixels, whichever region is read
        np.testing.assert_array_equal(image.read(511, 301, 99, 777, 1), whole[511:610, 301:1078])


def test_damaged_slide(shared_data, tmp_path):
    path = tmp_path / "a.svs"
    data = bytearray(shared_data(JPEG).read_bytes())
    with tifffile.TiffFile(shared_data(JPEG)) as tiff:
        page = tiff.pages[0]
        across = -(-2220 // 240)
        number = 5 * across + 4
        start, count = page.dataoffsets[number], page.databytecounts[number]
    data[start : start + count] = bytes(count)
    path.write_bytes(data)
    for backend in ("openslide", "tifffile"):
        with open_image(path, backend=backend) as image:
            with pytest.raises(CorruptRegion, match=r"a\.svs: level 0"):
                image.read(1250, 1000, 50, 50)
            assert image.read(0, 0, 300, 300).std() > 5  # it goes on elsewhere


def test_errors(shared_data, tmp_path):
    with pytest.raises(ValueError, match="image 1"):
        open_image(shared_data(JPEG), series=1, backend="openslide")
    with pytest.raises(ValueError, match="backend 'vips'"):
        open_image(shared_data(JPEG), backend="vips")
    (tmp_path / "a.mrxs").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"a\.mrxs: not a slide that OpenSlide reads"):
        open_image(tmp_path / "a.mrxs")
    with open_image(shared_data(JPEG), series=1) as thumbnail:
        assert thumbnail.shape == (768, 574)
