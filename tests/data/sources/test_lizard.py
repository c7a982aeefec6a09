import pickle
import shutil

import numpy as np
import pytest
import scipy.io
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.lizard import Source

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 7, 3), np.uint8)
IDS = np.array([[0, 40, 40, 0, 7, 7, 2]] * 3)
LISTED, CLASSES = [40, 2, 7], [5, 6, 1]  # in no order, as published; the classes follow the ids
NAMES = ("consep_1", "dpath_2", "dpath_10", "glas_1", "crag_3", "Pannuke_9")


def save_labels(path, **changes):
    variables = {
        "inst_map": IDS,
        "id": np.array([LISTED]).T,
        "class": np.array([CLASSES]).T,
        "bbox": np.zeros((3, 4)),
        "centroid": np.zeros((3, 2)),
    }
    kept = {key: value for key, value in (variables | changes).items() if value is not None}
    scipy.io.savemat(path, kept)


@pytest.fixture
def root(tmp_path):
    labels = tmp_path / "Lizard_Labels" / "Labels"
    labels.mkdir(parents=True)
    lines = ["Filename,Source,Split"]
    for k, name in enumerate(NAMES):
        folder = tmp_path / f"Lizard_Images{k % 2 + 1}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(IMAGE).save(folder / f"{name}.png")
        save_labels(labels / f"{name}.mat")
        lines.append(f"{name},{name.split('_')[0]},{k % 3 + 1}")
    (tmp_path / "Lizard_Labels" / "info.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n")
    return tmp_path


def pack(root, form):
    names = ("Lizard_Images1", "Lizard_Images2", "Lizard_Labels")
    if form == "three zips":
        for name in names:
            shutil.make_archive(str(root / name.lower()), "zip", root, name)
            shutil.rmtree(root / name)
    if form == "nested folders":
        for name in names:
            shutil.move(root / name, root / "x")
            shutil.move(root / "x", root / name.lower() / name)
    if form == "one zip":
        path = root.parent / f"{root.name}_lizard.zip"
        shutil.make_archive(str(path.with_suffix("")), "zip", root)
        return path
    return root


@pytest.mark.parametrize("form", ["folders", "three zips", "nested folders", "one zip"])
def test_classes_follow_the_ids(root, form):
    source = sources.create("lizard", root=pack(root, form), split="all")
    source = pickle.loads(pickle.dumps(source))
    assert sorted(source.ids) == sorted(NAMES)
    groups = {name: k for k, name in enumerate(source.label_set.groups, 1)}
    expected = np.zeros_like(IDS)
    expected[IDS == 40] = groups["plasma/eosinophil"]
    expected[IDS == 7] = groups["neutrophil"]
    expected[IDS == 2] = groups["connective"]
    for k in range(len(source)):
        sample = source[k]
        np.testing.assert_array_equal(sample.image, IMAGE)
        np.testing.assert_array_equal(sample.instances, IDS)
        np.testing.assert_array_equal(sample.classes, expected)
    sample = source[source.ids.index("dpath_10")]
    assert sample.meta == {
        "name": "dpath_10",
        "source": "lizard",
        "mpp": 0.5,
        "tissue": "Colon",
        "origin": "dpath",
        "fold": 3,
    }


def test_published_folds_are_the_test_split(root):
    for fold in (1, 2, 3):
        test = Source(root, "test", fold=fold).ids
        assert sorted(test) == sorted(n for k, n in enumerate(NAMES) if k % 3 == fold - 1)
        rest = Source(root, "train", fold=fold).ids + Source(root, "val", fold=fold).ids
        assert sorted(test + rest) == sorted(NAMES)
    with pytest.raises(ValueError, match=r"unknown fold of Lizard '4'; known: 1, 2, 3"):
        Source(root, fold=4)


def test_the_table_and_the_files_must_agree(root):
    path = root / "Lizard_Labels" / "info.csv"
    text = path.read_text()
    for old, new, message in (
        ("glas_1,glas,1\n", "", "1 images are not listed and 0 listed ones are not there.*glas_1"),
        ("glas_1,", "glas_2,", "1 images are not listed and 1 listed ones"),
        ("crag_3,", "glas_1,", "'glas_1' twice"),
        ("crag,2", "crag,4", "fold '4'"),
        ("Split", "Fold", "no column Split"),
        ("crag_3,crag,2", "crag_3", "fold ''"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=rf"info\.csv[:,] .*{message}"):
            Source(root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": np.array([[40], [2], [8]])}, "1 nuclei of inst_map, such as 7, are not in `id`"),
        ({"id": np.array([[40], [2], [2]])}, "3 ids, 2 of them distinct, for 3 classes"),
        ({"class": np.array([[5], [6]])}, "3 ids, 3 of them distinct, for 2 classes"),
        ({"class": np.array([[5], [6], [7]])}, "7 is no class of the data set"),
        ({"class": np.array([[5], [6], [0]])}, "an id or class of 0"),
        ({"class": np.eye(3)}, r"`class` of shape \(3, 3\); expected \(N, 1\)"),
        ({"class": None}, "no variable 'class' in it; there are: bbox, centroid, id, inst_map"),
    ],
)
def test_bad_labels_name_the_file(root, changes, message):
    save_labels(root / "Lizard_Labels" / "Labels" / "glas_1.mat", **changes)
    source = Source(root, "all")
    with pytest.raises(ValueError, match=rf"glas_1\.mat: {message}"):
        source[source.ids.index("glas_1")]


def test_an_image_without_nuclei(root):
    empty = np.zeros((0, 0))
    path = root / "Lizard_Labels" / "Labels" / "glas_1.mat"
    save_labels(path, **{"inst_map": IDS * 0, "id": empty, "class": empty})
    source = Source(root, "all")
    sample = source[source.ids.index("glas_1")]
    assert not sample.instances.any()
    assert not sample.classes.any()
