import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.cnseg import Source
from jaxnuc.io.annotations.labelme import read_labelme

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
IDS = np.zeros((16, 20), np.uint16)
IDS[1:4, 1:4], IDS[3:8, 4:9], IDS[12:, 15:] = 300, 7, 2
SQUARE = [[2.0, 2.0], [8.0, 2.0], [8.0, 8.0], [2.0, 8.0]]
BEYOND = [[15.5, -3.0], [26.0, -3.0], [26.0, 5.0], [15.5, 5.0]]


def shapes(*pairs, size=(16, 20), **more):
    found = [{"label": n, "points": p, "shape_type": "polygon", "flags": {}} for n, p in pairs]
    height, width = size
    return {"version": "4.5", "shapes": found, "imageHeight": height, "imageWidth": width} | more


CELLS = shapes(
    ("nuc", SQUARE), ("nn", BEYOND), ("m", [[9, 9], [12, 9]]), ("b", [[9, 9], [13, 9], [9, 13]])
)
TRUTH = np.zeros((16, 20), int)
TRUTH[2:8, 2:8] = 1
TRUTH[:5, 15:] = 2  # column 15 has its center, 15.5, on the outline's left side: that is inside
for row in range(3):
    TRUTH[9 + row, 9 : 12 - row] = 4


def save(path, array=IMAGE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def root(tmp_path):
    """Names as published: `_` here, `-` there."""
    for k in range(1, 11):
        save(tmp_path / "PatchSeg" / "train-images" / f"{k}.png")
        save(tmp_path / "PatchSeg" / "train-labels" / f"{k}.png", IDS)
    save(tmp_path / "PatchSeg" / "test-images" / "1.jpg")
    save(tmp_path / "PatchSeg" / "test-labels" / "1.png", IDS)
    for kind in ("difficult", "normal", "sample", "test-difficult", "test-normal", "test-sample"):
        save(tmp_path / "clusteredCell" / kind / "1.jpg")
        write(tmp_path / "clusteredCell" / f"{kind}_json" / "1.json", CELLS)
    save(tmp_path / "TargetA" / "test_images" / "1.png")
    write(tmp_path / "TargetA" / "test_json" / "1.json", CELLS)
    save(tmp_path / "TargetA" / "train_images" / "7.png")
    save(tmp_path / "TargetB" / "test-images" / "1.png")
    write(tmp_path / "TargetB" / "test-labels" / "1.json", CELLS)
    for k in (2, 10):
        save(tmp_path / "TargetB" / "train-images" / f"{k}.png")
    (tmp_path / "TargetB" / "test-images" / ".DS_Store").write_bytes(b"junk")
    return tmp_path


def test_label_images(root):
    source = sources.create("cnseg", root=root, split="all")
    assert source.ids == [f"train/{k}" for k in range(1, 11)] + ["test/1"]
    sample = source[1]
    np.testing.assert_array_equal(sample.image, IMAGE)
    np.testing.assert_array_equal(sample.instances, IDS)
    assert (sample.instances.dtype, sample.ignore, sample.classes) == (np.int32, None, None)
    assert sample.meta == {
        "name": "train/2",
        "source": "cnseg",
        "mpp": None,
        "subset": "patch",
        "modality": "cytology",
    }
    splits = {split: Source(root, split=split).ids for split in ("train", "val", "test")}
    assert [len(ids) for ids in splits.values()] == [8, 2, 1]
    assert sorted(splits["train"] + splits["val"]) == sorted(source.ids[:-1])


@pytest.mark.parametrize("subset", ["cluster", "target_a", "target_b"])
def test_outlines(root, subset):
    source = Source(root, "test", subset=subset)
    for sample in (source[0], pickle.loads(pickle.dumps(source))[0], source[0]):
        np.testing.assert_array_equal(sample.instances, TRUTH)
        assert sample.ignore is None
        assert {k: v for k, v in sample.meta.items() if k.endswith("regions")} == {
            "regions": 4,
            "skipped_regions": 1,
            "hidden_regions": 0,
            "other_regions": 0,
        }
    assert not source.ignores


def test_clusters(root):
    source = Source(root, "all", subset="cluster")
    kinds = ("difficult", "normal", "sample")
    assert source.ids == [f"{side}/{kind}/1" for side in ("train", "test") for kind in kinds]
    assert [source[k].meta["difficulty"] for k in range(3)] == list(kinds)
    assert len(Source(root, "train", subset="cluster", val_fraction=0.4)) == 2


@pytest.mark.parametrize("cache", [True, False])
def test_outlines_that_overlap(root, cache):
    outer = [[4.0, 3.0], [12.0, 3.0], [12.0, 12.0], [4.0, 12.0]]
    write(root / "TargetA" / "test_json" / "1.json", shapes(("nuc", SQUARE), ("b", outer)))
    source = Source(root, "test", subset="target_a", cache=cache)
    for sample in (source[0], source[0]):
        whole = np.zeros((2, 16, 20), bool)
        whole[0, 2:8, 2:8] = whole[1, 3:12, 4:12] = True
        np.testing.assert_array_equal(sample.instances, np.where(whole[0], 1, 2 * whole[1]))
        np.testing.assert_array_equal(sample.covered[..., 0], 2 * (whole[0] & whole[1]))
        assert sample.covered.dtype == np.int32
        assert sample.covered.shape == (16, 20, 1)
        sample.covered[:] = 0  # may be changed
    assert Source(root, "test", subset="target_b")[0].covered is None


def test_which_outlines_are_nuclei(root):
    sample = Source(root, "test", subset="target_a", outlines={"nuclei": ("nuc", "b")})[0]
    # Ids are positions among the nuclei.
    np.testing.assert_array_equal(sample.instances, np.array([0, 1, 0, 0, 2])[TRUTH])
    assert (sample.meta["regions"], sample.meta["other_regions"]) == (2, 2)
    sample = Source(root, "test", subset="target_a", outlines={"min_points": 4})[0]
    assert set(np.unique(sample.instances)) == {0, 1, 2}
    assert sample.meta["skipped_regions"] == 2
    haru = Source(root, "test", subset="target_a", outlines={"convention": "haru"})[0]
    assert haru.instances[8, 8] == 1


def test_unlabeled_images_of_the_targets(root):
    source = Source(root, "unlabeled", subset="target_b")
    assert source.ids == ["train/2", "train/10"]
    assert source.ignores
    sample = source[1]
    np.testing.assert_array_equal(sample.image, IMAGE)
    assert sample.ignore.all()
    assert sample.ignore.shape == sample.instances.shape == (16, 20)
    assert not sample.instances.any()
    assert Source(root, "all", subset="target_b").ids == ["test/1"]
    for split in ("train", "val"):
        with pytest.raises(ValueError, match="without annotations: 'unlabeled'"):
            Source(root, split, subset="target_a")
    with pytest.raises(ValueError, match="unknown split of 'patch' 'unlabeled'"):
        Source(root, "unlabeled", subset="patch")


def test_any_root(root):
    assert Source(root / "TargetA", "test", subset="target_a").ids == ["test/1"]
    zips = root / "zips"
    zips.mkdir()
    with zipfile.ZipFile(zips / "archive.zip", "w") as file:
        for path in root.rglob("*"):
            if zips not in (path, path.parent):
                file.write(path, f"CNSeg/{path.relative_to(root).as_posix()}")
    for subset in ("patch", "cluster", "target_a", "target_b"):
        for path in (zips, zips / "archive.zip"):
            assert (
                Source(path, "test", subset=subset).ids == Source(root, "test", subset=subset).ids
            )
    shutil.rmtree(root / "TargetA")
    shutil.rmtree(zips)
    with pytest.raises(FileNotFoundError, match="nothing of the subset 'target_a'; expected"):
        Source(root, "test", subset="target_a")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        Source(root / "nowhere")


def test_masks_are_not_taken_for_nuclei(root):
    file = root / "PatchSeg" / "test-labels" / "1.png"
    mask = (IDS > 0).astype(np.uint8) * 255
    save(file, np.stack([mask] * 3, -1))  # gray, saved as colors
    with pytest.raises(ValueError, match=r"1\.png: 2 separate parts .* components=True"):
        Source(root, split="test")[0]
    labels = Source(root, split="test", components=True)[0].instances
    np.testing.assert_array_equal(labels, np.select([IDS == 2, IDS > 0], [2, 1]))
    save(file, (IDS == 7).astype(np.uint8))
    assert Source(root, split="test")[0].instances.max() == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (shapes(("nucleolus", SQUARE)), "unknown label 'nucleolus'.*'nucleus'"),
        (shapes(("nuc", SQUARE), size=(16, 21)), r"\(16, 21\) pixels, not \(16, 20\)"),
        (shapes(("nuc", [[1, 1], [2, float("nan")], [3, 3]])), r"shape 0 \(nuc\): vertex 1"),
        (shapes(("nuc", [[1, 1], [2, "x"], [3, 3]])), r"shape 0 \(nuc\): vertices"),
        (shapes(("nuc", [[1, 1], [2], [3, 3]])), r"shape 0 \(nuc\): vertices"),
        (shapes(("nuc", [[1, 1, 1]] * 3)), r"shape 0 \(nuc\): vertices of shape \(3, 3\)"),
        (shapes(("nuc", [[10**400, 1]] * 3)), r"shape 0 \(nuc\): vertices"),
        (shapes(("nuc", [[50, 50], [60, 50], [60, 60]])), "belongs to another image"),
        (shapes((3, SQUARE)), "shape 0 has the label 3"),
        (shapes(("nuc", None)), "shape 0 has no list `points`"),
        (shapes() | {"shapes": [7]}, "shape 0 has no list `points`"),
        (shapes() | {"shapes": None}, "no list `shapes`"),
        (shapes(size=("16", 20)), "imageHeight='16'"),
        ([1, 2], "no list `shapes`"),
        ("{", "not readable as JSON"),
        ("", "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
    ],
)
def test_bad_outlines_name_the_file(root, content, message):
    write(root / "TargetA" / "test_json" / "1.json", content)
    with pytest.raises(ValueError, match=message) as error:
        Source(root, "test", subset="target_a")[0]
    assert "1.json" in str(error.value)


def test_shapes_that_are_no_polygons():
    strip = {"label": "nuc", "points": SQUARE, "shape_type": "linestrip"}
    with pytest.raises(ValueError, match=r"a\.json: shape 0 \(nuc\) is a 'linestrip'"):
        read_labelme(json.dumps({"shapes": [strip]}).encode(), "a.json")
    with pytest.raises(ValueError, match="UTF-8"):
        read_labelme('{"shapes": [], "imagePath": "宫颈"}'.encode("gbk"), "a.json")


def test_files_that_do_not_match(root):
    labels = root / "PatchSeg" / "train-labels"
    save(labels / "1.png", IDS[:9])
    with pytest.raises(ValueError, match=r"train-labels/1\.png: labels of \(9, 20\)"):
        Source(root, split="all")[0]
    save(labels / "77.png", IDS)
    with pytest.raises(ValueError, match=r"77\.png: no image with this stem \(1 such"):
        Source(root)
    (labels / "2.png").unlink()
    with pytest.raises(ValueError, match=r"train-images/2\.png: no label file \(\.json, "):
        Source(root)
    save(root / "PatchSeg" / "train-images" / "2.bmp")
    with pytest.raises(ValueError, match="same stem"):
        Source(root)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subset": "patches"}, "did you mean 'patch'"),
        ({"outlines": {"nuclei": ("nuc", "x")}}, "unknown label 'x'"),
        ({"outlines": {"min_points": 2}}, "min_points=2"),
        ({"outlines": {"convention": "x"}}, "unknown rasterization convention"),
        ({"val_fraction": 1}, "val_fraction=1"),
        ({"split": "val", "val_fraction": 0}, "split 'val' is empty"),
    ],
)
def test_bad_arguments(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        Source(root, **arguments)
