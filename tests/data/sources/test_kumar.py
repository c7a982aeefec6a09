import csv
import pickle
import zipfile

import numpy as np
import pytest
import scipy.io
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.kumar import Source

rng = np.random.default_rng(0)
IMAGE = rng.integers(0, 256, (10, 12, 3), np.uint8)
MAP = np.zeros((10, 12))
MAP[2:5, 3:6], MAP[7:, 9:] = 4, 900
PARTS = {"train": 16, "test_same": 8, "test_diff": 6}
NAMES = {
    part: [f"TCGA-{part[-2:].upper()}-{k:04}-01Z-00-DX1" for k in range(n)]
    for part, n in PARTS.items()
}
ALL = [name for names in NAMES.values() for name in names]
XML = (
    '<Annotations MicronsPerPixel="0.25"><Annotation><Regions><Region Id="1"><Vertices>'
    '<Vertex X="2" Y="2"/><Vertex X="8" Y="2"/><Vertex X="8" Y="7"/></Vertices></Region>'
    "</Regions></Annotation></Annotations>"
)


@pytest.fixture
def redistribution(tmp_path):
    for part, names in NAMES.items():
        for folder in ("Images", "Labels", "Overlay"):
            (tmp_path / "kumar" / part / folder).mkdir(parents=True)
        for name in names:
            Image.fromarray(IMAGE).save(tmp_path / "kumar" / part / "Images" / f"{name}.tif")
            Image.fromarray(IMAGE).save(tmp_path / "kumar" / part / "Overlay" / f"{name}.tif")
            scipy.io.savemat(
                tmp_path / "kumar" / part / "Labels" / f"{name}.mat", {"inst_map": MAP}
            )
    return tmp_path


@pytest.fixture
def originals(tmp_path):
    """MoNuSeg's training images, seven more than Kumar's."""
    top = tmp_path / "MoNuSeg 2018 Training Data"
    (top / "Tissue Images").mkdir(parents=True)
    (top / "Annotations").mkdir()
    for name in [*ALL, *(f"TCGA-XX-{k}" for k in range(7))]:
        Image.fromarray(IMAGE).save(top / "Tissue Images" / f"{name}.tif", compression="tiff_lzw")
        (top / "Annotations" / f"{name}.xml").write_text(XML)
    return tmp_path


def table(path, rows, columns):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


PUBLISHED = [(name, part) for part, names in NAMES.items() for name in names]
ORGANS = [
    (name, organ)
    for part, per_organ, organs in (
        ("train", 4, ("Breast", "Kidney", "Liver", "Prostate")),
        ("test_same", 2, ("Breast", "Kidney", "Liver", "Prostate")),
        ("test_diff", 2, ("Bladder", "Colon", "Stomach")),
    )
    for name, organ in zip(NAMES[part], np.repeat(organs, per_organ), strict=True)
]


@pytest.mark.parametrize("layout", ["folder", "inner folder", "zip", "folder with zip"])
def test_hovernets_folders(redistribution, layout):
    root = redistribution if layout == "folder" else redistribution / "kumar"
    if "zip" in layout:
        (redistribution / "zips").mkdir()
        root = redistribution / "zips" / "kumar.zip"
        with zipfile.ZipFile(root, "w") as file:
            for path in (redistribution / "kumar").rglob("*"):
                file.write(path, path.relative_to(redistribution).as_posix())
        root = root if layout == "zip" else root.parent
    sizes = {"train": 13, "val": 3, "test_same": 8, "test_diff": 6, "test": 14, "all": 30}
    ids = {}
    for split, size in sizes.items():
        source = sources.create("kumar", root=root, split=split)
        ids[split] = source.ids
        assert len(source) == size
    assert sorted(ids["train"] + ids["val"]) == NAMES["train"]
    assert ids["test"] == NAMES["test_same"] + NAMES["test_diff"]
    assert (ids["test_same"], ids["test_diff"]) == (NAMES["test_same"], NAMES["test_diff"])
    assert Source(root, "train", val_fraction=0).ids == NAMES["train"]
    source = Source(root, "test_diff")
    sample, again = source[2], pickle.loads(pickle.dumps(source))[2]
    np.testing.assert_array_equal(sample.image, IMAGE)
    np.testing.assert_array_equal(sample.instances, MAP)
    np.testing.assert_array_equal(again.instances, MAP)
    assert sample.instances.dtype == np.int32
    name = NAMES["test_diff"][2]
    assert sample.meta == {
        "name": name,
        "source": "kumar",
        "patient": name[:12],
        "modality": "H&E",
        "mpp": 0.25,
    }


def test_originals_by_a_table_of_splits(originals):
    file = table(originals / "kumar.csv", PUBLISHED[::-1], ["image_id", "split"])
    for part in ("test_same", "test_diff"):
        assert Source(originals, part, split_file=file).ids == NAMES[part]
    assert len(Source(originals, "all", split_file=file)) == 30  # of the 37
    inner = Source(
        originals / "MoNuSeg 2018 Training Data", "train", split_file=str(file), val_fraction=0
    )
    assert inner.ids == NAMES["train"]
    sample = inner[0]
    assert sample.instances[3, 6] == 1
    assert sample.meta["regions"] == 1
    assert "tissue" not in sample.meta


def test_originals_by_a_table_of_organs(originals):
    file = table(originals / "organs.csv", ORGANS, ["image_id", "organ"])
    organs = dict(ORGANS)
    same = Source(originals, "test_same", split_file=file)
    assert sorted(organs[n] for n in same.ids) == sorted(
        ["Breast", "Kidney", "Liver", "Prostate"] * 2
    )
    assert Source(originals, "test_diff", split_file=file).ids == NAMES["test_diff"]
    train = Source(originals, "train", split_file=file, val_fraction=0)
    assert len(train) == 16
    assert not set(train.ids) & set(same.ids)
    assert Source(originals, "test_same", split_file=file).ids == same.ids
    assert Source(originals, "test_same", split_file=file, seed=1).ids != same.ids
    assert train[0].meta["tissue"] == organs[train.ids[0]]
    both = [(n, part, organs[n]) for n, part in PUBLISHED]
    file = table(originals / "both.csv", both, ["image_id", "split", "organ"])
    source = Source(originals, "test_same", split_file=file)
    assert source.ids == NAMES["test_same"]
    assert source[0].meta["tissue"] == "Breast"


def test_what_is_missing_is_said(originals, redistribution):
    with pytest.raises(FileNotFoundError, match=r"kumar/.*pass split_file"):
        Source(originals / "MoNuSeg 2018 Training Data")
    with pytest.raises(ValueError, match="did you mean 'test_same'"):
        Source(redistribution, "test_sane")
    with pytest.raises(FileNotFoundError):
        Source(originals, split_file=originals / "nowhere.csv")


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (PUBLISHED, ["image", "split"], "no column image_id .*, only image, split"),
        ([("TCGA-0", "train")], ["image_id", "split"], "line 2: no image .* 'TCGA-0'"),
        ([PUBLISHED[0]] * 2, ["image_id", "split"], "line 3: .* a second time"),
        ([(ALL[0], "test")], ["image_id", "split"], "line 2: unknown split 'test'"),
        ([(ALL[0], "lung")], ["image_id", "organ"], "line 2: unknown organ 'lung'"),
        ([PUBLISHED[0]], ["image_id", "split"], "split 'test' is empty"),
    ],
)
def test_bad_tables(originals, rows, columns, message):
    file = table(originals / "kumar.csv", rows, columns)
    with pytest.raises(ValueError, match=message):
        Source(originals, "test", split_file=file)


def test_bad_files_are_named(redistribution):
    labels = redistribution / "kumar" / "train" / "Labels"
    first, second, third = (labels / f"{name}.mat" for name in NAMES["train"][:3])
    scipy.io.savemat(first, {"inst_map": MAP[:5]})
    scipy.io.savemat(second, {"map": MAP})
    third.write_bytes(third.read_bytes()[:150])
    source = Source(redistribution, "train", val_fraction=0)
    for k, message in enumerate([r"\(5, 12\) pixels", "no variable 'inst_map'", "MAT file"]):
        with pytest.raises(ValueError, match=message) as error:
            source[k]
        assert NAMES["train"][k] in str(error.value)
    first.unlink()
    with pytest.raises(ValueError, match="no label with this stem"):
        Source(redistribution)
