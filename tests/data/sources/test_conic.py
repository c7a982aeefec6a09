import pickle
import zipfile

import numpy as np
import pytest

from jaxnuc.data import sources
from jaxnuc.data.sources.conic import Source
from jaxnuc.labels import label_set

PATCHES = [f"{image}-{k:04}" for image in ("consep_1", "consep_10", "dpath_2") for k in range(3)]
PATCHES += [f"glas_{image}-0000" for image in range(1, 8)]
N = len(PATCHES)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N, 8, 8, 3), np.uint8)
LABELS = np.zeros((N, 8, 8, 2), np.uint16)
LABELS[:, 1:4, 1:4, 0] = 300  # ids have gaps
LABELS[:, 5:8, 2:6, 0] = 2
LABELS[:, 1:4, 1:4, 1] = np.arange(N)[:, None, None] % 6 + 1
LABELS[:, 5:8, 2:6, 1] = 5
CLASSES = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")


@pytest.fixture
def root(tmp_path):
    write(tmp_path)
    return tmp_path


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", IMAGES)
    np.save(folder / "labels.npy", LABELS)
    (folder / "patch_info.csv").write_text("\r\n".join(["patch_info", *PATCHES, ""]))


def test_patches_and_classes(root):
    source = pickle.loads(pickle.dumps(sources.create("conic", root=root, split="all")))
    assert (source.name, source.ids, len(source)) == ("conic", PATCHES, N)
    merged = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 5}  # plasma and eosinophil are one leaf
    for i in range(N):
        sample = source[i]
        np.testing.assert_array_equal(sample.image, IMAGES[i])
        np.testing.assert_array_equal(sample.instances, LABELS[i, ..., 0])
        np.testing.assert_array_equal(
            sample.classes, np.vectorize(merged.__getitem__)(LABELS[i, ..., 1])
        )
        assert (sample.image.dtype, sample.instances.dtype) == (np.uint8, np.int32)
        sample.image[:] = 0  # a copy: must not reach the file
    assert source[3].meta == {
        "name": "consep_10-0000",
        "source": "conic",
        "mpp": 0.5,
        "tissue": "colon",
        "modality": "H&E",
        "center": "consep",
        "image": "consep_10",
    }
    assert source.label_set == label_set("lizard")


def test_six_classes_where_they_are_to_be_separate(root):
    source = Source(root, "all", separate=True)
    assert source.label_set.groups == CLASSES
    np.testing.assert_array_equal(source[3].classes, LABELS[3, ..., 1])


def test_split_by_image(root):
    parts = {s: Source(root, s, fractions=(0.6, 0.2, 0.2)) for s in ("train", "val", "test")}
    images = {s: {n.split("-")[0] for n in part.ids} for s, part in parts.items()}
    assert [len(i) for i in images.values()] == [6, 2, 2]
    assert len(set.union(*images.values())) == 10
    assert sorted(n for part in parts.values() for n in part.ids) == sorted(PATCHES)
    part = parts["train"]
    for i, name in enumerate(part.ids):
        np.testing.assert_array_equal(part[i].image, IMAGES[PATCHES.index(name)])


def test_nested_folder_and_zips(root):
    write(root / "x" / "data")
    with pytest.raises(ValueError, match=r"and .*x/data/images\.npy are both the images\.npy"):
        Source(root)
    for name in ("images.npy", "labels.npy", "patch_info.csv"):
        (root / name).unlink()
    assert len(Source(root, "all")) == N
    for compression, name in ((zipfile.ZIP_STORED, "a.zip"), (zipfile.ZIP_DEFLATED, "b.zip")):
        with zipfile.ZipFile(root / name, "w", compression) as file:
            for path in (root / "x" / "data").iterdir():
                file.write(path, f"data/{path.name}")
    source = Source(root / "a.zip", "all")
    np.testing.assert_array_equal(source[N - 1].image, IMAGES[-1])
    with pytest.raises(ValueError, match=r"b\.zip/data/images\.npy: compressed.*unzip b\.zip"):
        Source(root / "b.zip")


def test_missing_files(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"conic-challenge\.grand-challenge"):
        Source(tmp_path / "absent")
    (root / "patch_info.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no patch_info\.csv"):
        Source(root)
    (root / "images.npy").unlink()
    (root / "labels.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected images\.npy"):
        Source(root)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("images", lambda a: a.astype(float), "float64.*expected uint8"),
        ("images", lambda a: a[:-1], r"labels\.npy: shape"),
        ("labels", lambda a: a[..., :1], "instances and classes"),
        ("labels", lambda a: a * np.uint16(2), r"labels\.npy, patch 1: 10 is no class"),
        ("labels", lambda a: a + 0.5, r"labels\.npy, patch 1: fractions"),
        ("labels", lambda a: a.astype(int) - 1, r"patch 1: ids in -1 \.\. 299"),
    ],
)
def test_bad_arrays(root, name, change, message):
    path = root / f"{name}.npy"
    np.save(path, change(np.load(path)))
    with pytest.raises(ValueError, match=message):
        Source(root, "all")[1]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("patch_info.csv", "patch\nconsep_1-0000\n", "no column patch_info .*, only patch"),
        ("patch_info.csv", "patch_info\nconsep_1-0000\n", f"1 patches, but {N} in images.npy"),
        ("patch_info.csv", "patch_info\n" + "consep_1-0000\n" * N, "line 3: .*is there twice"),
        ("patch_info.csv", "patch_info\n" + "consep\n" * N, "line 2: 'consep' is no name"),
    ],
)
def test_bad_tables(root, name, text, message):
    (root / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        Source(root)
