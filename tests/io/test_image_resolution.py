"""The view at a model's resolution, against literal sums over the area of each pixel."""

import numpy as np
import pytest
import tifffile

from jaxnuc.io import ArrayImage, at_mpp, open_image


def colors(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def literal_line(values, i, factor):
    """The mean over [i * factor, (i + 1) * factor), or between the two nearest centers."""
    size = len(values)
    if factor > 1:
        low, high = i * factor, min((i + 1) * factor, size)
        parts = [(max(0, min(k + 1, high) - max(k, low)), values[k]) for k in range(size)]
        return sum(w * v for w, v in parts) / (high - low)
    center = min(max((i + 0.5) * factor - 0.5, 0), size - 1)
    return np.stack(
        [np.interp(center, range(size), line) for line in values.reshape(size, -1).T]
    ).reshape(values.shape[1:])


def literal(array, factor):
    for axis in (0, 1):
        lines = np.moveaxis(array.astype(float), axis, 0)
        count = max(1, round(len(lines) / factor))
        lines = np.stack([literal_line(lines, i, factor) for i in range(count)])
        array = np.moveaxis(lines, 0, axis)
    return array


@pytest.mark.parametrize("factor", [1.02, 1.37, 2, 2.5, 7.9, 0.98, 0.5, 0.31])
@pytest.mark.parametrize("shape", [(37, 23), (1, 1), (3, 50)])
def test_against_the_literal_sum(factor, shape):
    array = colors(*shape)
    view = at_mpp(ArrayImage(array, mpp=0.25), 0.25 * factor)
    expected = literal(array, factor)
    assert view.shape == expected.shape[:2]
    assert view.scale == pytest.approx((factor, factor))
    assert view.mpp == pytest.approx(0.25 * factor)
    assert np.abs(view.read(0, 0, *view.shape) - expected).max() <= 0.501


@pytest.mark.parametrize("mpp", [0.25, 0.33, 0.5, 0.61, 1.0, 1.9, 0.1, 0.2497])
def test_regions_agree(tmp_path, mpp):
    """Whatever the borders of regions and tiles, to the bit."""
    path, array = tmp_path / "a.tif", colors(203, 157)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(array, tile=(32, 16), photometric="rgb", subifds=1)
        tiff.write(array[:202:2, ::2][:, :78], tile=(16, 16), photometric="rgb", subfiletype=1)
    with at_mpp(open_image(path), mpp, given=0.25) as view:
        height, width = view.shape
        whole = view.read(0, 0, height, width)
        rng = np.random.default_rng(0)
        for _ in range(25):
            top, bottom = sorted(rng.choice(height + 1, 2, replace=False))
            left, right = sorted(rng.choice(width + 1, 2, replace=False))
            region = view.read(top, left, bottom - top, right - left)
            np.testing.assert_array_equal(region, whole[top:bottom, left:right])


def test_bands_agree(monkeypatch):
    """A region that is resampled in bands, for want of memory, is the same."""
    view = at_mpp(ArrayImage(colors(150, 90), mpp=0.2), 0.5)
    whole = view.read(0, 0, *view.shape)
    monkeypatch.setattr("jaxnuc.io.resample._PIXELS", 1000)
    np.testing.assert_array_equal(view.read(0, 0, *view.shape), whole)


def test_levels(tmp_path):
    path, array = tmp_path / "a.tif", colors(128, 96)
    half, quarter = colors(64, 48, 1), colors(32, 24, 2)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(array, tile=(16, 16), photometric="rgb", subifds=2)
        tiff.write(half, tile=(16, 16), photometric="rgb", subfiletype=1)
        tiff.write(quarter, tile=(16, 16), photometric="rgb", subfiletype=1)
    with open_image(path) as image:
        for mpp, expected in ((0.25, array), (0.5, half), (0.502, half), (0.498, half)):
            view = at_mpp(image, mpp, given=0.25)
            np.testing.assert_array_equal(view.read(0, 0, *view.shape), expected)
            assert view.scale == (128 / len(expected),) * 2
        for mpp, level, below in ((1.5, quarter, 1.5), (0.9, half, 1.8), (0.4, array, 1.6)):
            view = at_mpp(image, mpp, given=0.25)
            assert view.scale == pytest.approx((mpp / 0.25,) * 2)
            expected = literal(level, below)
            assert np.abs(view.read(0, 0, *view.shape) - expected).max() <= 0.501


def test_scale_leads_back():
    """The corner of a square in the view, times the scale, is its corner in the image."""
    array = np.zeros((400, 400), np.uint8)
    array[120:200, 240:300] = 255
    view = at_mpp(ArrayImage(array, mpp=0.25), 0.5)
    rows, cols = np.nonzero(view.read(0, 0, *view.shape)[..., 0])
    corner = rows.min() * view.scale[0], cols.min() * view.scale[1]
    assert corner == (120, 240)
    assert ((rows.max() + 1) * view.scale[0], (cols.max() + 1) * view.scale[1]) == (200, 300)


def test_unknown_and_given():
    image = ArrayImage(colors(20, 20), "a.png")
    with pytest.raises(ValueError, match=r"a\.png: .* unknown; give them, as --mpp"):
        at_mpp(image, 0.5)
    assert at_mpp(image, 0.5, given=0.25).shape == (10, 10)
    known = ArrayImage(colors(20, 20), "a.png", mpp=0.5)
    assert at_mpp(known, 0.5).shape == (20, 20)
    assert at_mpp(known, 0.5, given=0.25).shape == (10, 10)
    for bad in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            at_mpp(image, bad, given=0.5)
        with pytest.raises(ValueError, match="positive"):
            at_mpp(image, 0.5, given=bad)


def test_slide_at_half(shared_data):
    with at_mpp(open_image(shared_data("wsi/cmu-1-small-region.svs")), 0.998) as view:
        region = view.read(100, 200, 64, 64)
        assert view.shape == (1484, 1110)
    with open_image(shared_data("wsi/cmu-1-small-region.svs")) as image:
        fine = image.read(200, 400, 128, 128).astype(float)
    mean = fine.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(region - mean).max() <= 0.501
