"""Every format, written by another program and compared with the array that was written."""

import pickle
import threading
import tracemalloc

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from jaxnuc.io import ArrayImage, CorruptRegion, Planes, open_image
from jaxnuc.io.large_image import downsample


def colors(height, width, channels=3, dtype=np.uint8, seed=0):
    most = np.iinfo(dtype).max
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, most, shape, dtype, endpoint=True)


def seen(array):
    """What should be read: 8 bits, on white, gray repeated; pixel by pixel."""
    array = array[..., None] if array.ndim == 2 else array
    channels = array.shape[2]
    color = array[..., : channels - 1 + channels % 2].astype(float)
    if array.dtype.itemsize == 2:
        low, high = np.quantile(color, [1e-4, 0.9999], method="nearest")
        color = np.rint(np.clip((color - low) / (high - low), 0, 1) * 255)
    if channels in (2, 4):
        opaque = array[..., -1:] / np.iinfo(array.dtype).max
        color = np.rint(opaque * color + (1 - opaque) * 255)
    return np.broadcast_to(color, (*array.shape[:2], 3)).astype(np.uint8)


def check_file(path, expected, **arguments):
    with open_image(path, **arguments) as image:
        check_regions(image, expected)


def check_regions(image, expected, level=0):
    height, width, _ = expected.shape
    assert image.levels[level].shape == (height, width)
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(image.read(0, 0, height, width, level), expected)
    for _ in range(8):
        top, bottom = sorted(rng.choice(height + 1, 2, replace=False))
        left, right = sorted(rng.choice(width + 1, 2, replace=False))
        region = image.read(top, left, bottom - top, right - left, level)
        assert region.dtype == np.uint8
        np.testing.assert_array_equal(region, expected[top:bottom, left:right])


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_pictures(tmp_path, suffix, channels):
    if suffix == "bmp" and channels == 4:
        pytest.skip("Pillow's BMP has no alpha")
    array, path = colors(20, 31, channels), tmp_path / f"a.{suffix}"
    Image.fromarray(array).save(path)
    with open_image(path) as image:
        assert image.mpp is None
        check_regions(image, seen(array))


def test_jpeg(tmp_path):
    path = tmp_path / "a.JPG"
    Image.fromarray(colors(20, 31)).save(path)
    check_file(path, np.asarray(Image.open(path)))


@pytest.mark.parametrize("channels", [0, 3, 4])
def test_png_of_16_bits(tmp_path, channels):
    imagecodecs = pytest.importorskip("imagecodecs")
    array, path = colors(20, 31, channels, np.uint16), tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(array))
    check_file(path, seen(array))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [0, 3, 4])
@pytest.mark.parametrize(
    "layout",
    [
        {"tile": (32, 16)},
        {"tile": (32, 16), "compression": "deflate", "bigtiff": True, "byteorder": ">"},
        {"rowsperstrip": 7},
        {"tile": (16, 16), "planarconfig": "separate"},
    ],
)
def test_tiff(tmp_path, layout, channels, dtype):
    array, path = colors(75, 53, channels, dtype), tmp_path / "a.tif"
    stored, layout = array, dict(layout)
    if not channels:
        layout.pop("planarconfig", None)
    elif "planarconfig" in layout:
        stored = np.moveaxis(array, -1, 0)
    photometric = "rgb" if channels else "minisblack"
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(path, stored, photometric=photometric, **layout, **extra)
    with open_image(path) as image:
        check_regions(image, seen(array))


def test_tiff_of_a_palette_and_of_white_zero(tmp_path):
    array = colors(40, 40, 0)
    color_map = colors(3, 256, 0, np.uint16)
    tifffile.imwrite(tmp_path / "palette.tif", array, photometric="palette", colormap=color_map)
    by_hand = np.stack([color_map[c][array] for c in range(3)], axis=-1)
    check_file(tmp_path / "palette.tif", np.rint(by_hand / 257).astype(np.uint8))
    tifffile.imwrite(tmp_path / "white.tif", array, photometric="miniswhite", tile=(16, 16))
    check_file(tmp_path / "white.tif", seen(255 - array))


@pytest.mark.parametrize("subifds", [True, False])
def test_pyramid(tmp_path, subifds):
    array, path = colors(131, 90), tmp_path / "a.tif"
    levels = [array, array[::2, ::2][:65], array[::4, ::4][:32, :22]]
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            array,
            tile=(16, 16),
            photometric="rgb",
            subifds=2 if subifds else 0,
            resolution=(40000, 40000),
            resolutionunit="CENTIMETER",
        )
        for each in levels[1:]:
            tiff.write(each, tile=(16, 16), photometric="rgb", subfiletype=1)
    with open_image(path) as image:
        assert image.shape == (131, 90)
        assert [level.downsample for level in image.levels] == [1, 2, 4]
        assert image.mpp == pytest.approx(0.25)
        for n, each in enumerate(levels):
            check_regions(image, each, n)


@pytest.mark.parametrize(("size", "unit", "mpp"), [(0.5, "µm", 0.5), (250, "nm", 0.25)])
@pytest.mark.parametrize("axes", ["YXS", "CYX", "TCYX"])
def test_ome_tiff(tmp_path, size, unit, mpp, axes):
    array, path = colors(50, 40), tmp_path / "a.ome.tif"
    stored = {"YXS": array, "CYX": np.moveaxis(array, -1, 0)}.get(axes)
    stored = np.moveaxis(array, -1, 0)[None] if stored is None else stored
    keys = {"PhysicalSizeX": size, "PhysicalSizeXUnit": unit}
    keys |= {"PhysicalSizeY": size, "PhysicalSizeYUnit": unit, "axes": axes}
    photometric = "rgb" if axes == "YXS" else "minisblack"
    tifffile.imwrite(path, stored, photometric=photometric, tile=(16, 16), metadata=keys)
    with open_image(path) as image:
        assert image.mpp == pytest.approx(mpp)
        check_regions(image, array)


def test_tiff_of_jpeg_tiles(tmp_path):
    pytest.importorskip("imagecodecs")
    smooth = np.add.outer(np.arange(64), np.arange(48))[..., None] * [1, 2, 0] + [9, 0, 80]
    array, path = smooth.astype(np.uint8), tmp_path / "a.tif"
    tifffile.imwrite(
        path, array, photometric="ycbcr", tile=(64, 48), compression="jpeg", subsampling=(2, 2)
    )
    with open_image(path) as image:
        region = image.read(10, 10, 40, 30)
    truth = np.asarray(Image.open(path))[10:50, 10:40]
    assert np.abs(region.astype(int) - truth).max() <= 3
    assert truth.std() > 5


def test_series(tmp_path):
    first, second, path = colors(40, 40), colors(30, 70, seed=1), tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(first, photometric="rgb")
        tiff.write(second, photometric="rgb")
    check_file(path, first, series=0)
    check_file(path, second, series=1)
    with pytest.raises(ValueError, match=r"2 images \(0: '', 40 x 40 x 3 YXS; 1: .*--image=0"):
        open_image(path)
    with pytest.raises(ValueError, match=r"image 2 \(--image\), but it has 2"):
        open_image(path, series=2)
    tifffile.imwrite(path, np.zeros((5, 20, 20), np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match=r"a\.tif: 5 depths; choose one \(--z=0 to 4\)"):
        open_image(path)


@pytest.mark.parametrize(
    ("resolution", "unit", "mpp"),
    [((72, 72), 2, None), ((50800, 50800), 2, 0.5), ((20000, 20000), 3, 0.5), ((2, 2), 1, None)],
)
def test_mpp_of_the_resolution(tmp_path, resolution, unit, mpp):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colors(20, 20), resolution=resolution, resolutionunit=unit)
    with open_image(path) as image:
        assert image.mpp == (None if mpp is None else pytest.approx(mpp))


def test_mpp_of_aperio(tmp_path):
    path = tmp_path / "a.tif"
    text = "Aperio Image Library v11\n20x20|AppMag = 20|MPP = 0.4990|Left = 3"
    tifffile.imwrite(path, colors(20, 20), description=text, metadata=None, tile=(16, 16))
    with open_image(path) as image:
        assert image.mpp == 0.499


def test_pixels_that_are_not_square(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colors(20, 20), resolution=(20000, 40000), resolutionunit=3)
    with open_image(path) as image:
        check_regions(image, colors(20, 20))
        with pytest.raises(ValueError, match=r"a\.tif: pixels of 0.5 um along x and 0.25 um"):
            _ = image.mpp


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2"])
@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_npy(tmp_path, dtype, channels):
    array = colors(21, 33, channels, np.dtype(dtype).newbyteorder("=")).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    check_regions(ArrayImage(array), seen(array))
    if channels == 4 and dtype != np.uint8:  # more likely of a microscope than colors and alpha
        with pytest.raises(ValueError, match="4 channels"):
            open_image(tmp_path / "a.npy")
        with open_image(tmp_path / "a.npy", planes=Planes((2, 0, 1))) as image:
            check_regions(image, seen(array[..., [2, 0, 1]]))
    else:
        check_file(tmp_path / "a.npy", seen(array))


def test_npy_of_bool_and_floats(tmp_path):
    array = np.random.default_rng(0).random((20, 20, 3), np.float32)
    np.save(tmp_path / "a.npy", np.asfortranarray(array))
    check_file(tmp_path / "a.npy", np.floor(array * 255 + 0.5).astype(np.uint8))
    np.save(tmp_path / "b.npy", array[..., 0] > 0.5)
    check_file(tmp_path / "b.npy", seen((array[..., 0] > 0.5) * np.uint8(255)))
    np.save(tmp_path / "c.npy", np.where(array > 0.99, np.inf, array))
    with pytest.raises(ValueError, match=r"c\.npy: .* no finite numbers \(from 0.* to inf\)"):
        open_image(tmp_path / "c.npy").read(0, 0, 5, 5)
    np.save(tmp_path / "d.npy", np.zeros((5, 5), np.complex64))
    with pytest.raises(ValueError, match=r"d\.npy: an image of complex64"):
        open_image(tmp_path / "d.npy")
    (tmp_path / "b.npy").write_bytes((tmp_path / "b.npy").read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"b\.npy: truncated"):
        open_image(tmp_path / "b.npy")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("channels", [0, 3])
def test_plain_zarr(tmp_path, zarr_format, channels):
    array = colors(50, 37, channels, np.uint16)
    chunks = (16, 16, 3)[: array.ndim]
    stored = zarr.create_array(
        tmp_path / "a.zarr",
        shape=array.shape,
        dtype=array.dtype,
        chunks=chunks,
        zarr_format=zarr_format,
    )
    stored[:] = array
    with open_image(tmp_path / "a.zarr") as image:
        assert image.mpp is None
        check_regions(image, seen(array))


def write_ome_zarr(path, levels, axes, version, unit="micrometer"):
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    kinds = {"t": "time", "c": "channel"}
    described = [
        {"name": axis, "type": kinds.get(axis, "space")} | ({"unit": unit} if axis in "yx" else {})
        for axis in axes
    ]
    datasets = []
    for n, array in enumerate(levels):
        group.create_array(str(n), shape=array.shape, dtype=array.dtype, chunks=(16,) * len(axes))
        group[str(n)][:] = array
        scale = [0.25 * 2**n if axis in "yx" else 1.0 for axis in axes]
        transforms = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(n), "coordinateTransformations": transforms})
    whole = [{"type": "scale", "scale": [2.0 if axis in "yx" else 1.0 for axis in axes]}]
    image = {"axes": described, "datasets": datasets, "coordinateTransformations": whole}
    if version == "0.4":
        group.attrs["multiscales"] = [image | {"version": version}]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [image]}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["yxc", "cyx", "tczyx", "yx"])
def test_ome_zarr(tmp_path, version, axes):
    array = colors(51, 40, 3 if "c" in axes else 0)
    levels = [array, array[:50:2, ::2]]

    def stored(level):
        source = "yxc"[: level.ndim]
        order = [axis for axis in axes if axis in source]
        level = level.transpose([source.index(axis) for axis in order])
        return level.reshape([level.shape[order.index(a)] if a in order else 1 for a in axes])

    write_ome_zarr(tmp_path / "a.zarr", [stored(level) for level in levels], axes, version)
    with open_image(tmp_path / "a.zarr") as image:
        assert image.mpp == 0.5
        assert [level.downsample for level in image.levels] == [1, 2]
        for n, level in enumerate(levels):
            check_regions(image, seen(level), n)


def test_levels_of_other_depths_are_left_aside(tmp_path):
    stack = np.random.default_rng(0).integers(0, 256, (8, 12, 10), np.uint8)
    levels = [stack, stack[:, ::2, ::2], stack[::2, ::4, ::4]]
    write_ome_zarr(tmp_path / "a.zarr", levels, "zyx", "0.5")
    for z in (3, 7, "max"):
        with open_image(tmp_path / "a.zarr", planes=Planes(z=z)) as image:
            assert [level.downsample for level in image.levels] == [1, 2]
            for n, level in enumerate(levels[:2]):
                gray = level.max(axis=0) if z == "max" else level[z]
                check_regions(image, seen(gray), n)


def test_zarr_that_is_no_image(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", [np.zeros((2, 8, 8), np.uint8)], "tyx", "0.5")
    with pytest.raises(ValueError, match=r"a\.zarr: .*2 times; choose one \(--time=0 to 1\)"):
        open_image(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "b.zarr", mode="w")
    group.create_array("inside", shape=(4, 4), dtype="uint8")
    with pytest.raises(ValueError, match=r"without multiscales.*inside"):
        open_image(tmp_path / "b.zarr")
    write_ome_zarr(tmp_path / "c.zarr", [np.zeros((8, 8), np.uint8)], "yx", "0.4", "pixel")
    assert open_image(tmp_path / "c.zarr").mpp is None


def test_what_is_no_image(tmp_path):
    for name, data in {
        "a.txt": b"hello, world",
        "b.png": b"\x89PNG but no more",
        "c.tif": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=name):
            open_image(tmp_path / name)
    with pytest.raises(ValueError, match=r"a\.txt: not an image; known are PNG, JPEG"):
        open_image(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="a folder, not an image"):
        open_image(tmp_path)
    with pytest.raises(FileNotFoundError, match="missing"):
        open_image(tmp_path / "missing.png")
    (tmp_path / "d.tif").write_bytes(b"II*\0" + bytes(range(100)))
    with pytest.raises(ValueError, match=r"d\.tif: not a readable TIFF"):
        open_image(tmp_path / "d.tif")


@pytest.mark.parametrize(
    "box", [(-1, 0, 2, 2), (0, 0, 21, 2), (0, 25, 1, 7), (3, 3, 0, 2), (0, 0, 2, -1)]
)
def test_regions_lie_inside(tmp_path, box):
    np.save(tmp_path / "a.npy", colors(20, 31))
    with open_image(tmp_path / "a.npy") as image:
        with pytest.raises(ValueError, match=r"a\.npy") as caught:
            image.read(*box)
        assert str(box) in str(caught.value)
        assert "(0, 0, 20, 31)" in str(caught.value)
        with pytest.raises(ValueError, match="level 1, but it has 1"):
            image.read(0, 0, 1, 1, level=1)


@pytest.mark.parametrize("shape", [(1, 1), (3, 100000)])
@pytest.mark.parametrize("kind", ["png", "npy", "tif", "tiled.tif", "zarr"])
def test_odd_sizes(tmp_path, shape, kind):
    array, path = colors(*shape), tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, array)
    elif kind == "zarr":
        zarr.save_array(path, array)
    elif kind == "tiled.tif":
        tifffile.imwrite(path, array, photometric="rgb", tile=(256, 256))
    else:
        Image.fromarray(array).save(path)
    with open_image(path) as image:
        assert image.shape == shape
        np.testing.assert_array_equal(image.read(0, 0, *shape), array)
        np.testing.assert_array_equal(image.read(shape[0] - 1, shape[1] - 1, 1, 1), array[-1:, -1:])


def test_corrupt_tile(tmp_path):
    array, path = colors(100, 100), tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="rgb", tile=(32, 32), compression="deflate")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        start, count = page.dataoffsets[6], page.databytecounts[6]  # in row 1, column 2 of tiles
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(b"\xff" * count)
    with open_image(path) as image:
        with pytest.raises(CorruptRegion, match=r"a\.tif: level 0 .*\(32, 64, 32, 32\)") as caught:
            image.read(0, 0, 100, 100)
        # Packages such as Dask pickle causes too, and not all of those can be read.
        caught.value.__cause__ = caught.value.__context__ = None
        again = pickle.loads(pickle.dumps(caught.value))
        assert (again.box, str(again)) == ((32, 64, 32, 32), str(caught.value))
        np.testing.assert_array_equal(image.read(64, 0, 36, 100), array[64:])
        np.testing.assert_array_equal(image.read(0, 0, 100, 64), array[:, :64])


def test_truncated_tiff(tmp_path):
    array, path = colors(100, 100), tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="rgb", tile=(32, 32))
    path.write_bytes(path.read_bytes()[:-10])
    with open_image(path) as image:
        np.testing.assert_array_equal(image.read(0, 0, 96, 96), array[:96, :96])
        with pytest.raises(CorruptRegion, match="the file ends"):
            image.read(90, 90, 10, 10)


def test_corrupt_chunk(tmp_path):
    zarr.save_array(tmp_path / "a.zarr", colors(20, 20))
    (chunk,) = (path for path in (tmp_path / "a.zarr").rglob("*/0") if path.is_file())
    chunk.write_bytes(b"not compressed")
    with pytest.raises(CorruptRegion, match=r"a\.zarr: level 0 .*\(2, 3, 4, 5\)"):
        open_image(tmp_path / "a.zarr").read(2, 3, 4, 5)


def test_memory_of_a_large_sparse_tiff(tmp_path):
    path, side, tile = tmp_path / "a.tif", 20000, colors(512, 512)
    across = -(-side // 512)

    def tiles():
        yield tile
        yield from (None for _ in range(across * across - 2))
        yield tile[::-1]

    tifffile.imwrite(
        path,
        tiles(),
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(512, 512),
        photometric="rgb",
        bigtiff=True,
    )
    assert path.stat().st_size < 2**22
    tracemalloc.start()
    try:
        with open_image(path) as image:
            first = image.read(0, 0, 600, 600)
            last = image.read(side - 32, side - 32, 32, 32)
            for row in range(0, side - 2000, 1000):  # more than is kept
                image.read(row, 0, 100, 2000)
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(first[:512, :512], tile)
    assert (first[512:] == 255).all()
    left = side - 512 * (across - 1)
    np.testing.assert_array_equal(last, tile[::-1][left - 32 : left, left - 32 : left])
    assert peak < 100 * 2**20 < side * side * 3 / 10


def test_threads_read_the_same(tmp_path):
    array, path = colors(300, 300), tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="rgb", tile=(16, 16), compression="deflate")
    wrong = []

    def read(seed):
        rng = np.random.default_rng(seed)
        for row, col in rng.integers(0, 250, (40, 2)):
            if (image.read(row, col, 50, 50) != array[row : row + 50, col : col + 50]).any():
                wrong.append((row, col))

    with open_image(path) as image:
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_downsample_of_rounded_sides():
    for factor in (2, 3, 4, 16, 32):
        for sides in ((1000, 777), (4001, 9999), (3567, 4443)):
            for rounded in (np.floor, np.ceil):
                smaller = tuple(int(rounded(side / factor)) for side in sides)
                assert downsample(sides, smaller) == factor
    assert downsample((100, 100), (50, 25)) is None
    assert downsample((100, 100), (200, 200)) is None
    assert downsample((1000, 2000), (400, 800)) == 2.5
