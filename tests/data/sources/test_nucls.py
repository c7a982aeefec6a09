import shutil

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.nucls import Source
from jaxnuc.postprocess import class_votes

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
IDS = np.array([[0, 5, 5, 0, 2, 2]] * 4, np.int32)
TYPES = np.array([[0, 2, 2, 0, 1, 1]] * 4, np.int32)
TABLE = '1: "Non-Tumor"\n2: "Tumor"\n'


@pytest.fixture
def root(tmp_path):
    data = tmp_path / "NuCLS-mini"
    for stem in ("train_1", "train_10", "train_2", "test_1"):
        side = data / stem.split("_")[0]
        for kind in ("images", "labels"):
            (side / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGE).save(side / "images" / f"{stem}.png")
        np.savez(side / "labels" / f"{stem}.npz", inst_map=IDS, type_map=TYPES)
    (data / "label_map.yaml").write_text(TABLE)
    return tmp_path


@pytest.mark.parametrize("zipped", [False, True])
def test_reads_the_tiles(root, zipped):
    if zipped:
        shutil.make_archive(str(root / "nucls_mini"), "zip", root, "NuCLS-mini")
        shutil.rmtree(root / "NuCLS-mini")
    source = sources.create("nucls", root=root, split="all", mpp=0.2)
    assert source.ids == ["test_1", "train_1", "train_2", "train_10"]
    assert source.label_set.groups == ("Non-Tumor", "Tumor")
    sample = source[3]
    np.testing.assert_array_equal(sample.image, IMAGE)
    np.testing.assert_array_equal(sample.instances, IDS)
    np.testing.assert_array_equal(sample.classes, TYPES)
    meta = {"name": "train_10", "source": "nucls", "mpp": 0.2, "tissue": "Breast"}
    assert sample.meta == meta
    assert Source(root, "test").ids == ["test_1"]
    assert Source(root, "test")[0].meta["mpp"] is None


def test_the_table_must_name_these_classes(root):
    table = root / "NuCLS-mini" / "label_map.yaml"
    table.write_text('1: "Tumor"\n2: "Non-Tumor"\n')
    with pytest.raises(ValueError, match=r"label_map\.yaml: classes {1: 'Tumor', 2: 'Non-Tumor'}"):
        Source(root)
    table.unlink()
    assert len(Source(root, "all")) == 4


def test_bad_labels(root):
    path = root / "NuCLS-mini" / "test" / "labels" / "test_1.npz"
    np.savez(path, inst_map=IDS, type_map=TYPES + (TYPES > 0))
    with pytest.raises(ValueError, match=r"test_1\.npz: 3 is no class of the data set"):
        Source(root, "test")[0]
    np.savez(path, inst_map=IDS)
    with pytest.raises(ValueError, match=r"test_1\.npz: no array 'type_map'"):
        Source(root, "test")[0]


def test_real_counts(shared_data):
    path = shared_data("nucls_mini.zip")
    source = Source(path, "all")
    classes = [c for k in range(15) for c in class_votes(source[k].instances, source[k].classes)[0]]
    assert (len(source), len(classes), classes.count(1), classes.count(2)) == (15, 640, 317, 323)
    assert [len(Source(path, s)) for s in ("train", "val", "test")] == [8, 2, 5]
