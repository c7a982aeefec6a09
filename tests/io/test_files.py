import io
import os
import pickle
import shutil
import struct
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxnuc.io.files import File, Files
from jaxnuc.io.image_files import decode, decode_image, image_size, natural_key
from jaxnuc.io.rgb import to_rgb


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    for name in ("a/10.png", "a/9.png", "b/1.png", ".DS_Store", "a/._9.png", "__MACOSX/a/9.png"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 3), len(name), np.uint8)).save(path, format="png")
    return root


@pytest.fixture
def archive(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for entry in folder.rglob("*"):
            file.write(entry, entry.relative_to(folder))
    return path


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_folder_and_zip_read_the_same(kind, request):
    files = Files(request.getfixturevalue(kind))
    assert files.names == ["a/9.png", "a/10.png", "b/1.png"]
    assert File(files, "a/10.png").array().tolist() == [[8, 8, 8], [8, 8, 8]]
    assert File(files, "a/10.png").rgb().shape == (2, 3, 3)
    with pytest.raises(FileNotFoundError, match=r"c\.png"):
        files.read("c.png")


def test_zip_handle_is_lazy_and_stays_behind_in_pickling(archive):
    files = Files(archive)
    files.read("b/1.png")
    copy = pickle.loads(pickle.dumps(files))
    assert copy._zip is None
    assert copy.read("b/1.png") == files.read("b/1.png")


def test_zip_is_opened_again_in_another_process(archive, monkeypatch):
    files = Files(archive)
    first = files._archive()
    assert files._archive() is first
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert files._archive() is not first


def test_damage_names_the_file_inside(archive, tmp_path):
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo("b/1.png")
    data[info.header_offset + 30 + len("b/1.png") + 40] ^= 255
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"set\.zip/b/1\.png: damaged in the zip"):
        Files(archive).read("b/1.png")
    (tmp_path / "no.zip").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="not a readable zip"):
        Files(tmp_path / "no.zip")
    with pytest.raises(FileNotFoundError, match="absent"):
        Files(tmp_path / "absent")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".jpg"])
def test_truncated_file_is_named(suffix, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    path = tmp_path / f"x{suffix}"
    np.save(path, noise) if suffix == ".npy" else Image.fromarray(noise).save(path)
    data = path.read_bytes()
    for length in (0, 5, len(data) // 2):
        with pytest.raises(ValueError, match=rf"x\{suffix}: (cannot be decoded|not a readable)"):
            decode(data[:length], str(path))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_tiff_keeps_its_dtype(dtype, compression, tmp_path):
    labels = (np.arange(20).reshape(4, 5) * (np.iinfo(dtype).max // 20)).astype(dtype)
    tifffile.imwrite(tmp_path / "x.tif", labels, compression=compression)
    read = File(Files(tmp_path), "x.tif").array()
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, labels)


def test_tiff_with_lzw_is_read_by_pillow(tmp_path):
    image = np.random.default_rng(0).integers(0, 9, (8, 9, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "x.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(File(Files(tmp_path), "x.tif").array(), image)


def test_png_of_16_bit_keeps_its_values(tmp_path):
    labels = np.array([[0, 300], [65535, 7]], np.uint16)
    Image.fromarray(labels).save(tmp_path / "x.png")
    np.testing.assert_array_equal(File(Files(tmp_path), "x.png").array(), labels)


def test_to_rgb():
    gray = np.array([[1, 2]], np.uint8)
    alpha = np.full_like(gray, 51)  # a fifth
    rgb = np.stack([gray, gray + 1, gray + 2], -1)
    np.testing.assert_array_equal(to_rgb(gray, ""), np.stack([gray] * 3, -1))
    np.testing.assert_array_equal(to_rgb(np.stack([gray, alpha], -1), "")[0, :, 0], [204, 204])
    np.testing.assert_array_equal(to_rgb(np.stack([gray, 0 * alpha], -1), ""), to_rgb(gray, ""))
    np.testing.assert_array_equal(to_rgb(rgb, ""), rgb)
    np.testing.assert_array_equal(to_rgb(gray > 1, "")[..., 0], [[0, 255]])
    with pytest.raises(ValueError, match="here: an image of complex64"):
        to_rgb(gray.astype(np.complex64), "here")
    with pytest.raises(ValueError, match=r"here: an array of shape \(1, 2, 5\)"):
        to_rgb(np.zeros((1, 2, 5), np.uint8), "here")


NOISE = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
BLACK = Image.new("RGB", (9, 6))


def saved(image, form, **options):
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, form, **options)
    return stream.getvalue()


def tiff(array, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def rgb(data, name):
    return to_rgb(decode_image(data, name), name)


def png(width, height, bits, colors, row):
    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, bits, colors, 0, 0, 0)
    body = zlib.compress(b"\0" + row)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("form", ["png", "tiff", "bmp"])
def test_a_palette_is_colors_in_an_image_and_numbers_in_labels(form):
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    colors = np.array([[250, 0, 9], [1, 2, 3], [7, 200, 8]], np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colors.tobytes())
    data = saved(image, form)
    np.testing.assert_array_equal(rgb(data, f"x.{form}"), colors[indices])
    np.testing.assert_array_equal(decode(data, f"x.{form}"), indices)


@pytest.mark.parametrize("transparency", [bytes([0, 128, 255]), 1])
def test_transparency_of_a_palette_is_dropped(transparency):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette(bytes(range(10, 19)))
    data = saved(image, "png", transparency=transparency)
    np.testing.assert_array_equal(rgb(data, "x.png"), np.arange(10, 19).reshape(1, 3, 3))
    np.testing.assert_array_equal(decode(data, "x.png"), [[0, 1, 2]])


@pytest.mark.parametrize(
    ("bits", "row", "stored"),
    [(1, b"\x50", [0, 1, 0, 1]), (2, b"\x1b", [0, 1, 2, 3]), (4, b"\x01\x2f", [0, 1, 2, 15])],
)
def test_gray_of_few_bits(bits, row, stored):
    data = png(4, 1, bits, 0, row)
    np.testing.assert_array_equal(decode(data, "x.png"), [stored])
    np.testing.assert_array_equal(
        rgb(data, "x.png")[0, :, 0], np.multiply(stored, 255) // (2**bits - 1)
    )


@pytest.mark.parametrize("form", ["png", "tiff"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_is_white(mode, form):
    image = Image.fromarray(NOISE).convert("L" if mode == "LA" else "RGB")
    clear = image.copy()
    alpha = NOISE[..., 0] // 2 + 100
    clear.putalpha(Image.fromarray(alpha))
    share = alpha[..., None] / 255
    expected = np.rint(share * np.asarray(image.convert("RGB")) + (1 - share) * 255)
    np.testing.assert_array_equal(rgb(saved(clear, form), "x.tif"), expected)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.tif", tiff(np.where(NOISE > 9, 1, np.float32(np.nan)), photometric="rgb"), "no finite"),
        ("x.jpg", saved(Image.fromarray(NOISE).convert("CMYK"), "jpeg"), "CMYK colors; convert"),
        ("x.tif", saved(Image.fromarray(NOISE).convert("CMYK"), "tiff"), "colors; convert"),
        ("x.tif", saved(Image.fromarray(NOISE).convert("YCbCr"), "tiff"), "colors; convert"),
        ("x.tif", tiff(np.stack([NOISE] * 3), photometric="rgb"), r"\(3 pages; save each"),
        ("x.tif", tiff(np.stack([NOISE[..., 0]] * 3), imagej=True), r"\(3 pages; save each"),
        ("x.tif", tiff(NOISE.repeat(2, -1), planarconfig="contig", photometric=1), "6 channels"),
        ("x.png", saved(NOISE, "png", save_all=True, append_images=[BLACK]), r"\(2 images"),
        ("x.png", saved(NOISE[..., 0], "gif"), "cannot be decoded"),
        ("x.png", png(60_000, 60_000, 8, 0, b""), "60000 x 60000 pixels, more than"),
        ("x.png", png(30_000, 20_000, 8, 0, b""), "30000 x 20000 pixels, more than the 536870912"),
        ("x.bmp", b"", "it is empty"),
    ],
)  # fmt: skip
def test_images_that_are_refused(name, data, message):
    with pytest.raises(ValueError, match=rf"^a/{name}: .*{message}"):
        rgb(data, f"a/{name}")


def test_channels_stored_one_after_the_other_are_put_together():
    data = tiff(np.moveaxis(NOISE, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(rgb(data, "x.tif"), NOISE)
    np.testing.assert_array_equal(decode(data, "x.tif"), NOISE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_lie_as_they_are_stored(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    for name, data in (
        ("x.png", saved(NOISE, "png", exif=exif)),
        ("x.tif", saved(NOISE, "tiff", compression="tiff_lzw", tiffinfo={274: orientation})),
        ("x.tif", saved(NOISE, "tiff", tiffinfo={274: orientation})),
    ):
        np.testing.assert_array_equal(rgb(data, name), NOISE)
        np.testing.assert_array_equal(decode(data, name), NOISE)
        assert image_size(data, name) == (6, 9)
    data = saved(NOISE, "jpeg", exif=exif)
    np.testing.assert_array_equal(rgb(data, "x.jpg"), rgb(saved(NOISE, "jpeg"), "x.jpg"))


def test_tiff_in_which_0_is_white():
    gray = NOISE[..., 0]
    data = tiff(gray, photometric="miniswhite")
    np.testing.assert_array_equal(rgb(data, "x.tif")[..., 0], 255 - gray)
    for mask in (data, tiff(gray > 99, photometric="miniswhite")):
        with pytest.raises(ValueError, match=r"x\.tif: .*0 is white"):
            decode(mask, "x.tif")
    fax = saved(Image.fromarray(gray > 99), "tiff", compression="group4")
    np.testing.assert_array_equal(decode(fax, "x.tif"), gray > 99)


def test_a_jpeg_under_another_name_is_an_image_but_no_labels():
    data = saved(NOISE, "jpeg")
    np.testing.assert_array_equal(rgb(data, "x.png"), rgb(data, "x.jpg"))
    with pytest.raises(ValueError, match=r"x\.png: a JPEG in a \.png file"):
        decode(data, "x.png")
    lossless = saved(NOISE, "png")  # any name will do
    np.testing.assert_array_equal(decode(lossless, "x.tif"), NOISE)


def test_tiff_of_a_compression_that_would_drop_bits():
    for array in (NOISE.astype(np.uint16), NOISE[..., 0].astype(np.int8)):
        data = bytearray(tiff(array, photometric="rgb" if array.ndim == 3 else "minisblack"))
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            place = file.pages.first.tags["Compression"].valueoffset
        data[place : place + 2] = struct.pack("<H", tifffile.COMPRESSION.LZW)
        with pytest.raises(ValueError, match=r"x\.tif: u?int\d+ in this compression"):
            decode(data, "x.tif")


def test_damage_that_decoders_do_not_see():
    data = bytearray(saved(NOISE, "png"))
    data[-13] ^= 1  # the checksum of the pixels
    with pytest.raises(ValueError, match=r"x\.png: cannot be decoded"):
        decode(data, "x.png")
    whole = tiff(NOISE, photometric="rgb")
    with tifffile.TiffFile(io.BytesIO(whole)) as file:
        place = file.pages.first.tags["StripByteCounts"].valueoffset
    data = bytearray(whole)
    data[place : place + 4] = bytes(4)  # such a part would be read as black
    with pytest.raises(ValueError, match=r"x\.tif: .*a part of the image is missing"):
        decode(data, "x.tif")


def test_objects_are_never_unpickled(tmp_path):
    class Writes:
        def __reduce__(self):
            return (open, (str(tmp_path / "unpickled"), "w"))

    objects = np.empty(1, object)
    objects[0] = Writes()
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    with pytest.raises(ValueError, match=r"x\.npy: holds pickled Python objects"):
        File(Files(tmp_path), "x.npy").array()
    assert not (tmp_path / "unpickled").exists()


def test_links_are_followed_but_never_in_circles(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "c").mkdir(parents=True)
    shutil.move(folder / "b" / "1.png", elsewhere / "c" / "1.png")
    (folder / "b" / "1.png").symlink_to(elsewhere / "c" / "1.png")
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "c" / "above").symlink_to(elsewhere)
    (elsewhere / "self").symlink_to(elsewhere / "self")
    (elsewhere / "nowhere.png").symlink_to(elsewhere / "gone.png")
    os.mkfifo(elsewhere / "pipe.png")  # reading it would never end
    files = Files(folder)
    assert files.names == ["a/9.png", "a/10.png", "b/1.png", "linked/c/1.png"]
    assert files.read("b/1.png") == files.read("linked/c/1.png")


def test_names_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in ("b\\2.txt", "./c//3.txt", "d/", "e\\", "b/10.txt"):
            file.writestr(zipfile.ZipInfo(name), name if name[-1] == "t" else "")
    files = Files(tmp_path / "a.zip")
    assert files.names == ["b/2.txt", "b/10.txt", "c/3.txt"]
    files = pickle.loads(pickle.dumps(files))
    assert [files.read(name) for name in files.names] == [b"b\\2.txt", b"b/10.txt", b"./c//3.txt"]
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/x", "C:/x", "C:\\x", "..\\x", "\\\\host\\d\\x"]
)
def test_names_that_lead_out_of_a_zip(name, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(zipfile.ZipInfo(name), "x")
    with pytest.raises(ValueError, match=r"a\.zip/.*x: a path that leads out of the zip"):
        Files(tmp_path / "a.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_in_a_zip(tmp_path):
    for content in ("1", "2"):
        with zipfile.ZipFile(tmp_path / f"{content}.zip", "w") as file:
            file.writestr("x.txt", "1")
            file.writestr("x.txt", content)
    assert Files(tmp_path / "1.zip").names == ["x.txt"]
    with pytest.raises(ValueError, match=r"2\.zip/x\.txt: twice in the zip"):
        Files(tmp_path / "2.zip")


def test_zip_members_that_are_not_read(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.txt", bytes(10**6))
    whole = (tmp_path / "a.zip").read_bytes()
    directory = whole.find(b"PK\1\2")

    def patched(place, value):
        data = bytearray(whole)
        data[directory + place : directory + place + len(value)] = value
        (tmp_path / "a.zip").write_bytes(data)
        return Files(tmp_path / "a.zip")

    for place, value, message in (
        (8, b"\1", "encrypted; unzip a.zip with its password"),
        (10, b"\x63", "compression method is not supported; unzip a.zip"),
        (24, struct.pack("<I", 10), "damaged in the zip"),  # says it is small, and is not
        (24, struct.pack("<I", 2**31), "2147483648 bytes when unpacked, more than the 1073741824"),
    ):
        with pytest.raises(ValueError, match=rf"a\.zip/x\.txt: .*{message}"):
            patched(place, value).read("x.txt")
    monkeypatch.setattr("jaxnuc.io.files.LARGEST", 10**6 - 1)
    with pytest.raises(ValueError, match="1000000 bytes when unpacked"):
        patched(0, b"").read("x.txt")


def test_numbers_in_names_may_be_of_any_length():
    names = ["a" + "9" * 5000, "a10", "a" + "0" * 5000 + "7", "b1"]
    assert sorted(names, key=natural_key) == [names[2], "a10", names[0], "b1"]
