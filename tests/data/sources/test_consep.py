import pickle
import shutil
from collections import Counter

import numpy as np
import pytest
import scipy.io
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.consep import Source
from jaxnuc.postprocess import class_votes

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 7, 4), np.uint8)
IDS = np.array([[0, 3, 3, 0, 9, 9, 1]] * 4)  # gaps, as after cropping
TYPES = np.array([[0, 4, 4, 0, 7, 7, 1]] * 4)


def add(root, side, stem, image=IMAGE, labels=None, **variables):
    for kind in ("Images", "Labels", "Overlay"):
        (root / side / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(root / side / "Images" / f"{stem}.png")
    Image.fromarray(image).save(root / side / "Overlay" / f"{stem}.png")
    variables = variables or {"inst_map": IDS * 1.0, "type_map": TYPES * 1.0}
    scipy.io.savemat(root / side / "Labels" / f"{stem}.mat", variables)


@pytest.fixture
def root(tmp_path):
    data = tmp_path / "CoNSeP"
    add(data, "Train", "train_1")
    add(data, "Train", "train_10", IMAGE[..., :3], inst_map=np.int32(IDS), type_map=np.uint8(TYPES))
    add(data, "Train", "train_2", labels=np.stack([IDS, TYPES], -1) * 1.0)
    add(data, "Test", "test_1", IMAGE[..., 0])
    (data / "Test" / "Labels" / "test_1.mat").unlink()
    np.save(data / "Test" / "Labels" / "test_1.npy", np.stack([IDS, TYPES], -1))
    return tmp_path


@pytest.mark.parametrize("form", ["above", "folder", "zip", "zip in a folder"])
def test_reads_both_label_forms_from_folder_and_zip(root, form):
    path = {"above": root, "folder": root / "CoNSeP"}.get(form)
    if path is None:
        path = root / "consep.zip"
        shutil.make_archive(str(path.with_suffix("")), "zip", root, "CoNSeP")
        shutil.rmtree(root / "CoNSeP")
    source = sources.create("consep", root=root if "in a" in form else path, split="all")
    source = pickle.loads(pickle.dumps(source))
    assert source.ids == ["test_1", "train_1", "train_2", "train_10"]
    for sample, name in zip([source[i] for i in range(4)], source.ids, strict=True):
        expected = np.stack([IMAGE[..., 0]] * 3, -1) if name == "test_1" else IMAGE[..., :3]
        np.testing.assert_array_equal(sample.image, expected)
        np.testing.assert_array_equal(sample.instances, IDS)
        np.testing.assert_array_equal(sample.classes, TYPES)
        assert (sample.instances.dtype, sample.classes.dtype) == (np.int32, np.int32)
        assert sample.meta == {"name": name, "source": "consep", "mpp": 0.25, "tissue": "Colon"}


def test_older_form_as_the_only_variable_of_a_mat_file(root):
    add(root / "CoNSeP", "Train", "train_2", labels=None, anything=np.stack([IDS, TYPES], -1))
    source = Source(root, "all")
    np.testing.assert_array_equal(source[2].instances, IDS)
    np.testing.assert_array_equal(source[2].classes, TYPES)
    add(root / "CoNSeP", "Train", "train_2", anything=IDS)
    with pytest.raises(ValueError, match=r"train_2\.mat: one array of shape \(4, 7\)"):
        Source(root, "all")[2]


def test_merged_classes_and_the_meaning_of_other(root):
    merged = Source(root, "test", merge=True)
    assert merged.label_set.groups == ("other", "inflammatory", "epithelial", "spindle")
    np.testing.assert_array_equal(merged[0].classes[0], [0, 3, 3, 0, 4, 4, 1])
    np.testing.assert_array_equal(
        Source(root, "test", other="ignore")[0].classes[0], [0, 3, 3, 0, 6, 6, -1]
    )
    with pytest.raises(ValueError, match="unknown meaning of CoNSeP's class other 'dead'"):
        Source(root, other="dead")


def test_splits(root):
    parts = {s: Source(root, s, val_fraction=0.34).ids for s in ("train", "val", "test")}
    assert parts["test"] == ["test_1"]
    assert sorted(parts["train"] + parts["val"]) == ["train_1", "train_10", "train_2"]
    assert len(parts["val"]) == 1
    shutil.rmtree(root / "CoNSeP" / "Test")
    with pytest.raises(ValueError, match="split 'test' is empty"):
        Source(root, "test")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"inst_map": IDS.T, "type_map": TYPES.T}, r"labels of \(7, 4\).*image of \(4, 7\)"),
        ({"inst_map": IDS, "type_map": TYPES + 1}, "no class, or a class and no nucleus"),
        ({"inst_map": IDS, "type_map": np.where(TYPES == 7, 8, TYPES)}, "8 is no class of the"),
        ({"inst_map": IDS + 0.5, "type_map": TYPES}, "expected whole numbers|no whole number"),
        ({"inst_map": IDS, "inst_type": IDS}, "no variable 'type_map' in it; there are: inst_map"),
    ],
)
def test_bad_labels_name_the_file(root, variables, message):
    add(root / "CoNSeP", "Train", "train_1", **variables)
    with pytest.raises(ValueError, match=rf"train_1\.mat: .*({message})"):
        Source(root, "all")[1]


def test_missing_data_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected `consep\.zip`.*warwick"):
        Source(tmp_path)


@pytest.mark.slow
def test_real_counts(shared_data):
    path = shared_data("consep_train.zip")
    source = Source(path, "all")
    counts: Counter[int] = Counter()
    for k in range(len(source)):
        sample = source[k]
        assert sample.image.shape == (1000, 1000, 3)
        counts.update(class_votes(sample.instances, sample.classes)[0].tolist())
    assert (len(source), counts.total()) == (27, 15555)
    assert counts == {1: 371, 2: 3941, 3: 1117, 4: 4420, 5: 4765, 6: 901, 7: 40}
    assert [len(Source(path, s)) for s in ("train", "val")] == [22, 5]
