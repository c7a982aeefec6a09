import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.pranet import TEST_SETS, Source

MASK = np.zeros((9, 12), np.uint8)
MASK[2:6, 3:8] = 255


def image(seed):
    return np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)


def write(folder, names, seed):
    for stem in names:
        for kind, array in ((names[stem][0], image(seed)), (names[stem][1], MASK)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / kind / f"{stem}.png")


@pytest.fixture
def root(tmp_path):
    """`image`, `mask` for training and `images`, `masks` for testing; the same stems everywhere."""
    write(tmp_path / "TrainDataset", {str(i): ("image", "mask") for i in range(20)}, 0)
    for k, name in enumerate(TEST_SETS, 1):
        stems = {str(i): ("images", "masks") for i in range(1, k + 1)}
        write(tmp_path / "TestDataset" / name, stems, k)
    return tmp_path


@pytest.mark.parametrize("form", ["folders", "zips"])
def test_training_set_and_five_test_sets(root, form):
    if form == "zips":
        for name in ("TrainDataset", "TestDataset"):
            shutil.make_archive(str(root / name), "zip", root, name)
            shutil.rmtree(root / name)
    parts = [sources.create("pranet", root=root, split=s) for s in ("train", "val", "all")]
    assert [len(part) for part in parts] == [18, 2, 20]
    assert {*parts[0].ids, *parts[1].ids} == set(parts[2].ids)
    np.testing.assert_array_equal(parts[2][0].image, image(0))
    for k, name in enumerate(TEST_SETS, 1):
        one = pickle.loads(pickle.dumps(Source(root, "test", test_set=name)))
        assert one.ids == [str(i) for i in range(1, k + 1)]
        np.testing.assert_array_equal(one[0].image, image(k))
        np.testing.assert_array_equal(one[0].instances, MASK > 0)
    every = Source(root, "test")
    assert len(every) == len(set(every.ids)) == 15
    assert every.ids[:2] == ["CVC-300_1", "CVC-ClinicDB_1"]
    assert every[14].meta["name"] == "Kvasir_5"
    np.testing.assert_array_equal(every[14].image, image(5))


def test_one_of_the_folders_as_root(root):
    assert len(Source(root / "TrainDataset", "all")) == 20
    assert len(Source(root / "TestDataset", "test")) == 15
    with pytest.raises(FileNotFoundError, match=r"TestDataset.*expected `TrainDataset`"):
        Source(root / "TestDataset")
    shutil.rmtree(root / "TrainDataset")
    shutil.rmtree(root / "TestDataset" / "Kvasir")
    with pytest.raises(FileNotFoundError, match="expected `TrainDataset`"):
        Source(root)
    with pytest.raises(FileNotFoundError, match="expected `TestDataset/Kvasir`"):
        Source(root, "test")
    assert len(Source(root, "test", test_set="CVC-300")) == 1


def test_names(root):
    with pytest.raises(ValueError, match="did you mean 'CVC-300'"):
        Source(root, "test", test_set="CVC-30")
    with pytest.raises(ValueError, match="did you mean 'val'"):
        Source(root, "vla")
    with pytest.raises(ValueError, match="'val' is empty"):
        Source(root, "val", val_fraction=0)
