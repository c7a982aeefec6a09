import pickle
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxnuc.data.files import Files, to_rgb
from jaxnuc.image_files import decode


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
    assert files.array("a/10.png").tolist() == [[8, 8, 8], [8, 8, 8]]
    assert files.rgb("a/10.png").shape == (2, 3, 3)
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
    read = Files(tmp_path).array("x.tif")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, labels)


def test_tiff_with_lzw_is_read_by_pillow(tmp_path):
    image = np.random.default_rng(0).integers(0, 9, (8, 9, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "x.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(Files(tmp_path).array("x.tif"), image)


def test_png_of_16_bit_keeps_its_values(tmp_path):
    labels = np.array([[0, 300], [65535, 7]], np.uint16)
    Image.fromarray(labels).save(tmp_path / "x.png")
    np.testing.assert_array_equal(Files(tmp_path).array("x.png"), labels)


def test_to_rgb():
    grey = np.array([[1, 2]], np.uint8)
    alpha = np.full_like(grey, 9)
    rgb = np.stack([grey, grey + 1, grey + 2], -1)
    np.testing.assert_array_equal(to_rgb(grey, ""), np.stack([grey] * 3, -1))
    np.testing.assert_array_equal(to_rgb(np.stack([grey, alpha], -1), ""), to_rgb(grey, ""))
    np.testing.assert_array_equal(to_rgb(rgb, ""), rgb)
    np.testing.assert_array_equal(to_rgb(np.concatenate([rgb, rgb[..., :1]], -1), ""), rgb)
    np.testing.assert_array_equal(to_rgb(grey > 1, "")[..., 0], [[0, 255]])
    with pytest.raises(ValueError, match="here: an image of uint16"):
        to_rgb(grey.astype(np.uint16), "here")
    with pytest.raises(ValueError, match=r"here: an image of shape \(1, 2, 5\)"):
        to_rgb(np.zeros((1, 2, 5), np.uint8), "here")
