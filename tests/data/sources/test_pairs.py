import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data.sources._arrays import (
    check_classes,
    equal_components,
    foreground,
    instance_map,
    read_npz,
)
from jaxnuc.data.sources._pairs import File, find, named, pair, patient_split, published_split
from jaxnuc.io.archive import Files

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
    return named(pair(find(root, "set*.zip", "expected a set", [LAYOUT])))


@pytest.mark.parametrize("depth", ["", "Set/", "deep/Set/"])
def test_finds_the_set_at_any_depth_without_junk(tmp_path, depth):
    write(tmp_path, *(depth + n for n in ALL), "__MACOSX/Train/Images/._a9.png")
    write(tmp_path, depth + "Train/Overlay/a9.png", depth + "Train/Labels/.DS_Store")
    pairs = open_all(tmp_path)
    assert list(pairs) == ["test/A9", "train/a9", "train/a10"]
    assert pairs["test/A9"][1].name == depth + "Test/Labels/A9.npy"


def test_finds_zips_in_a_folder_and_joins_them(tmp_path):
    for k, names in enumerate((ALL[:3], ALL[3:])):
        with zipfile.ZipFile(tmp_path / f"SET_{k}.zip", "w") as file:
            for name in names:
                file.writestr("top/" + name, b"")
    pairs = pickle.loads(pickle.dumps(open_all(tmp_path)))
    assert [f.files.path.name for f in pairs["train/a9"]] == ["SET_0.zip", "SET_1.zip"]
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


def test_published_split_cuts_val_from_train():
    keyed = {("train", f"t{i}"): i for i in range(10)} | {("test", f"s{i}"): i for i in range(3)}
    files = {key: tuple(find_file(key, kind) for kind in ("images", "labels")) for key in keyed}
    parts = {s: list(published_split(files, s, 0, 0.2)) for s in ("train", "val", "test", "all")}
    assert [len(part) for part in parts.values()] == [8, 2, 3, 13]
    assert sorted(parts["train"] + parts["val"]) == [f"t{i}" for i in range(10)]
    assert parts["test"] == ["s0", "s1", "s2"]
    assert len({tuple(published_split(files, "val", seed, 0.2)) for seed in range(9)}) > 3
    assert len(published_split(files, "train", 0, 0)) == 10
    only_train = {key: pair for key, pair in files.items() if key[0] == "train"}
    for case in (("test", 0.2), ("val", 0)):
        with pytest.raises(ValueError, match=f"split '{case[0]}' is empty"):
            published_split(only_train, case[0], 0, case[1])
    with pytest.raises(ValueError, match=r"unknown split 'vla'.*did you mean 'val'"):
        published_split(files, "vla", 0, 0.2)
    with pytest.raises(ValueError, match="val_fraction=1: a share"):
        published_split(files, "val", 0, 1)


def find_file(key, kind):
    return File(None, f"{key[0]}/{kind}/{key[1]}.x")


def test_patients_stay_together():
    patients = {f"{p}_{k}": p for p in "abcdefghij" for k in range(3)}
    parts = [patient_split(patients, s, 0, (0.6, 0.2, 0.2)) for s in ("train", "val", "test")]
    assert [len({n[0] for n in part}) for part in parts] == [6, 2, 2]
    assert sorted(n for part in parts for n in part) == sorted(patients)


def test_instance_map_takes_whole_numbers_only():
    np.testing.assert_array_equal(instance_map(np.array([[0.0, 7.0]]), "f"), [[0, 7]])
    assert instance_map(np.array([[True]]), "f").dtype == np.int32
    for bad in ([[0.5]], [[np.nan]], [[np.inf]], [[-1]], [[2**31]], [1, 2], [["a"]], [[]]):
        with pytest.raises(ValueError, match=r"^f: "):
            instance_map(np.array(bad), "f")


def test_every_nucleus_has_one_class():
    instances = np.array([[9, 9, 0, 2**31 - 1]], np.int32)
    check_classes(instances, np.array([[1, 1, 0, 3]], np.int32), "f")
    for classes, message in (
        ([[1, 2, 0, 3]], r"f: nucleus 9 has pixels of several classes, \[1, 2\]"),
        ([[1, 0, 0, 3]], "f: 1 pixels have a nucleus and no class"),
        ([[1, 1, 1, 3]], "f: 1 pixels have a nucleus and no class"),
        ([[1], [1]], r"a class map of \(2, 1\) pixels for nuclei of \(1, 4\)"),
    ):
        with pytest.raises(ValueError, match=message):
            check_classes(instances, np.array(classes, np.int32), "f")


def test_foreground_ignores_alpha():
    grey = np.array([[0, 3]], np.uint8)
    opaque = np.full_like(grey, 255)
    zero = np.zeros_like(grey)
    for mask in (
        grey,
        grey.astype(bool),
        np.stack([grey, opaque], -1),
        np.stack([zero, grey, zero, opaque], -1),
    ):
        np.testing.assert_array_equal(foreground(mask, "f"), [[False, True]])
    with pytest.raises(ValueError, match=r"f: a mask of shape \(2,\)"):
        foreground(np.zeros(2), "f")


def test_equal_components_by_flood_fill():
    rng = np.random.default_rng(0)
    for connectivity, steps in ((1, 4), (2, 8)):
        labels = rng.integers(0, 3, (9, 11))
        parts = equal_components(labels, connectivity)
        expected = np.zeros_like(labels)
        around = [(0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)][:steps]
        n = 0
        for label in (1, 2):
            for start in zip(*np.nonzero(labels == label), strict=True):
                if expected[start]:
                    continue
                n += 1
                queue = [start]
                while queue:
                    y, x = queue.pop()
                    inside = 0 <= y < 9 and 0 <= x < 11
                    if inside and labels[y, x] == label and not expected[y, x]:
                        expected[y, x] = n
                        queue += [(y + dy, x + dx) for dy, dx in around]
        np.testing.assert_array_equal(parts, expected)


def test_npz(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", inst_map=[[1]], pickled=np.array([{}], object))
    files = Files(tmp_path)
    assert read_npz(files, "a.npz", ("inst_map",))["inst_map"].tolist() == [[1]]
    with pytest.raises(ValueError, match=r"a\.npz: no array 'type_map' in it; there are: inst_map"):
        read_npz(files, "a.npz", ("inst_map", "type_map"))
    with pytest.raises(ValueError, match=r"a\.npz: cannot be read as npz"):
        read_npz(files, "a.npz", ("pickled",))
    data = (tmp_path / "a.npz").read_bytes()
    for k in range(0, len(data), 40):
        (tmp_path / "a.npz").write_bytes(data[:k])
        with pytest.raises(ValueError, match=r"a\.npz: cannot be read as npz"):
            read_npz(files, "a.npz", ("inst_map",))
    Image.new("L", (2, 2)).save(tmp_path / "a.npz", format="png")
    with pytest.raises(ValueError, match=r"a\.npz: cannot be read as npz"):
        read_npz(files, "a.npz", ("inst_map",))
