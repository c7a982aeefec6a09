"""Which files are meant."""

import os

import numpy as np
import pytest
import zarr

from jaxnuc.io import image_name, list_images


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def names(paths):
    return [path.name for path in paths]


def test_folder(tmp_path):
    touch(tmp_path, "a10.png", "a9.TIF", "a2.svs", "notes.txt", "._a2.svs", ".DS_Store", "b.npy")
    zarr.save_array(tmp_path / "a3.zarr", np.zeros((4, 4), np.uint8))
    zarr.open_group(tmp_path / "c.ome.zarr", mode="w")
    touch(tmp_path / "below", "z.png")
    expected = ["a2.svs", "a3.zarr", "a9.TIF", "a10.png", "b.npy", "c.ome.zarr"]
    assert names(list_images([tmp_path])) == expected
    assert names(list_images([str(tmp_path / "a*")])) == expected[:4]
    assert names(list_images([tmp_path / "c.ome.zarr"])) == ["c.ome.zarr"]
    assert names(list_images([str(tmp_path / "**" / "z.*")])) == ["z.png"]


def test_files_in_the_order_given_and_once(tmp_path):
    touch(tmp_path, "b.png", "a.png", "odd.scan", "x[1].png")
    given = [tmp_path / "odd.scan", tmp_path / "b.png", tmp_path / "x[1].png", tmp_path]
    assert names(list_images(given)) == ["odd.scan", "b.png", "x[1].png", "a.png"]


def test_two_links_to_one_file_are_two_images(tmp_path):
    touch(tmp_path / "store", "x.png")
    (tmp_path / "links").mkdir()
    for name in ("day 1.png", "day 2.png"):
        (tmp_path / "links" / name).symlink_to(tmp_path / "store" / "x.png")
    assert names(list_images([tmp_path / "links"])) == ["day 1.png", "day 2.png"]
    once = [tmp_path / "links", tmp_path / "store" / ".." / "links" / "day 1.png"]
    assert len(list_images(once)) == 2


def test_nothing_found(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(FileNotFoundError, match=r"missing\.png: no such file"):
        list_images([tmp_path / "missing.png"])
    with pytest.raises(FileNotFoundError, match=r"\*\.svs: no image is named so"):
        list_images([str(tmp_path / "*.svs")])
    with pytest.raises(FileNotFoundError, match=r"no image in this folder; known are .*\.svs"):
        list_images([tmp_path])


def test_one_input_needs_no_list(tmp_path):
    touch(tmp_path, "a.png", "b.tif")
    for one in (tmp_path, str(tmp_path)):
        assert list_images(one) == list_images([one]) == [tmp_path / "a.png", tmp_path / "b.tif"]


@pytest.mark.parametrize("other", ["a.tif", "a.ome.tif", "b/a.png"])
def test_two_of_one_name(tmp_path, other):
    touch(tmp_path, "a.png")
    touch((tmp_path / other).parent, (tmp_path / other).name)
    with pytest.raises(ValueError, match="named 'a'") as caught:
        list_images([tmp_path / "a.png", tmp_path / other])
    assert str(tmp_path / "a.png") in str(caught.value)
    assert str(tmp_path / other) in str(caught.value)


def test_image_name():
    assert image_name("x/.ome.tif") == ".ome"


def test_a_name_of_stray_bytes_can_be_written():
    name = image_name(os.fsdecode(b"slides/a\xff.svs"))
    assert name == "a\ufffd"
    assert name.encode()
