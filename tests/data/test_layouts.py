import pickle
import zipfile

import pytest

from jaxnuc.data.layouts import find, pair

LAYOUT = {
    "image": r"(train|test)/images/([^/]+)\.png",
    "label": r"(train|test)/labels/([^/]+)\.npy",
}


def write(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


NAMES = ("Train/Images/a10.png", "Train/Images/a9.png", "Test/Images/A9.png")
ALL = (*NAMES, *(n.replace("Images", "Labels").replace("png", "npy") for n in NAMES))


def open_all(root):
    return pair(find(root, "set*.zip", "expected a set", [LAYOUT]))


@pytest.mark.parametrize("depth", ["", "Set/", "deep/Set/"])
def test_finds_the_set_at_any_depth_without_junk(tmp_path, depth):
    write(tmp_path, *(depth + n for n in ALL), "__MACOSX/Train/Images/._a9.png")
    write(tmp_path, depth + "Train/Overlay/a9.png", depth + "Train/Labels/.DS_Store")
    pairs = open_all(tmp_path)
    assert list(pairs) == ["test/A9", "train/a9", "train/a10"]
    assert pairs["test/A9"].label.name == depth + "Test/Labels/A9.npy"


def test_finds_zips_in_a_folder_and_joins_them(tmp_path):
    for k, names in enumerate((ALL[:3], ALL[3:])):
        with zipfile.ZipFile(tmp_path / f"SET_{k}.zip", "w") as file:
            for name in names:
                file.writestr("top/" + name, b"")
    pairs = pickle.loads(pickle.dumps(open_all(tmp_path)))
    assert [f.files.path.name for f in pairs["train/a9"][1:]] == ["SET_0.zip", "SET_1.zip"]
    with pytest.raises(FileNotFoundError, match=r"SET_0\.zip: no label in it; expected a set"):
        open_all(tmp_path / "SET_0.zip")


def test_what_is_missing_or_doubled_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent: no such folder or zip file; expected a"):
        open_all(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="no image in it; expected a set"):
        open_all(tmp_path)
    write(tmp_path, *ALL)
    (tmp_path / "Train/Labels/a9.npy").unlink()
    with pytest.raises(ValueError, match=r"Train/Images/a9\.png: no label with this stem \(1 such"):
        open_all(tmp_path)
    (tmp_path / "Train/Images/a9.png").unlink()
    write(tmp_path, "Train/Labels/b.npy", "Train/Labels/c.npy")
    with pytest.raises(ValueError, match=r"Labels/b\.npy: no image with this stem \(2 such"):
        open_all(tmp_path)
    write(tmp_path, "copy/Train/Images/z.png")
    with pytest.raises(ValueError, match="lie in different folders"):
        open_all(tmp_path)
    write(tmp_path, "copy/Train/Images/a10.png")
    with pytest.raises(ValueError, match="are both the image of 'train/a10'"):
        open_all(tmp_path)


def test_a_folder_of_the_set_may_be_the_root(tmp_path):
    write(tmp_path, *ALL)
    assert list(open_all(tmp_path / "Train")) == ["a9", "a10"]
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as file:
        for name in ("Images/a.png", "Labels/a.npy"):
            file.writestr(name, b"")
    (found,) = open_all(tmp_path / "train.zip").values()
    assert found.key == ("train", "a")
