import csv
import io
import pickle
import shutil
import zipfile
from collections import Counter

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from jaxnuc.data import sources
from jaxnuc.data.sources.dsb2018 import Runs, Source, decode_runs


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path)


def add(root, name, image, masks):
    save(root / name / "images" / f"{name}.png", image)
    for stem, mask in masks.items():
        save(root / name / "masks" / f"{stem}.png", np.asarray(mask, np.uint8) * 255)


IMAGE = np.random.default_rng(0).integers(0, 256, (4, 5, 4), np.uint8)
BIG, SMALL = np.zeros((2, 4, 5), np.uint8)
BIG[:3, :3] = 1
SMALL[2:, 2:4] = 1


@pytest.fixture
def root(tmp_path):
    """`a` RGBA, `b` RGB, `c` gray, as in the published folder; with what a Mac leaves behind."""
    data = tmp_path / "stage1_train"
    add(data, "a", IMAGE, {"m10": BIG, "m9": SMALL})
    add(data, "b", IMAGE[..., :3], {"m1": BIG})
    add(data, "c", IMAGE[..., 0], {"m1": SMALL})
    (data / "a" / "masks" / "._m9.png").write_bytes(b"junk")
    (data / ".DS_Store").write_bytes(b"junk")
    return tmp_path


def zipped(root, prefix=""):
    data = root / "stage1_train"
    with zipfile.ZipFile(root / "stage1_train.zip", "w") as file:
        for path in data.rglob("*"):
            file.write(path, prefix + path.relative_to(data).as_posix())
    shutil.rmtree(data)


def write_table(root, rows, columns=("image_id", "split", "modality")):
    with (root / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.mark.parametrize("layout", ["folder", "zip", "zip with a folder in it"])
@pytest.mark.parametrize("cache", [True, False])
def test_reads_the_published_layout(root, layout, cache):
    if layout != "folder":
        zipped(root, "stage1_train/" if "in it" in layout else "")
    source = sources.create("dsb2018", root=root, split="all", cache=cache)
    assert (source.name, source.ids, len(source)) == ("dsb2018", ["a", "b", "c"], 3)
    for _ in range(2):
        a, b, c = (source[i] for i in range(3))
        np.testing.assert_array_equal(a.image, IMAGE[..., :3])
        np.testing.assert_array_equal(b.image, IMAGE[..., :3])
        np.testing.assert_array_equal(c.image, np.stack([IMAGE[..., 0]] * 3, -1))
        # Natural order: m9 (small) is 1, m10 (big) is 2; the small one is on top at (2, 2).
        np.testing.assert_array_equal(a.instances, np.where(SMALL, 1, BIG * 2))
        assert (a.instances.dtype, a.image.dtype, a.classes) == (np.int32, np.uint8, None)
        assert a.meta == {"name": "a", "source": "dsb2018", "mpp": None, "modality": None}
        a.image[:], a.instances[:] = 0, 0  # must not reach what the source keeps


def test_root_may_be_the_data_itself(root):
    assert len(Source(root / "stage1_train", split="all")) == 3
    zipped(root)
    assert len(Source(str(root / "stage1_train.zip"), split="all")) == 3


def test_pickled_source_reads_the_same_and_carries_no_samples(root):
    zipped(root)
    source = Source(root, split="all")
    before = source[0]
    copy = pickle.loads(pickle.dumps(source))
    assert copy._kept == {}
    np.testing.assert_array_equal(copy[0].instances, before.instances)


def test_random_split_is_a_seeded_partition(tmp_path):
    for i in range(20):
        add(tmp_path / "stage1_train", f"{i:02}", IMAGE, {"m": BIG})
    parts = {s: Source(tmp_path, s).ids for s in ("train", "val", "test")}
    assert [len(p) for p in parts.values()] == [16, 2, 2]
    assert sorted(i for part in parts.values() for i in part) == Source(tmp_path, "all").ids
    assert parts["train"] == Source(tmp_path, "train").ids
    assert parts["train"] != Source(tmp_path, "train", seed=1).ids
    assert len(Source(tmp_path, "val", fractions=(0.5, 0.3, 0.2))) == 6
    with pytest.raises(ValueError, match=r"'val' is empty: 20 images"):
        Source(tmp_path, "val", fractions=(1, 0, 0))
    with pytest.raises(ValueError, match="sum to 1"):
        Source(tmp_path, fractions=(0.8, 0.1, 0.2))
    with pytest.raises(ValueError, match=r"unknown split 'vla'.*did you mean 'val'"):
        Source(tmp_path, "vla")
    with pytest.raises(ValueError, match=r"modality='gray' needs a split\.csv"):
        Source(tmp_path, modality="gray")


def test_table_decides_the_split(root):
    write_table(root, [("c", "train", "gray"), ("a", "train", "stained"), ("b", "test", "gray")])
    assert Source(root).ids == ["a", "c"]
    assert Source(root, "test")[0].meta["modality"] == "gray"
    assert Source(root, "all", modality="gray").ids == ["b", "c"]
    assert Source(root, modality="gray").ids == ["c"]
    assert Source(root, "all", modality=("stained", "gray")).ids == ["a", "b", "c"]
    assert Source(root, "all", modality=["stained"]).ids == ["a"]
    with pytest.raises(ValueError, match=r"unknown split 'val'; known: all, test, train"):
        Source(root, "val")
    with pytest.raises(ValueError, match=r"unknown modality 'grya'.*did you mean 'gray'"):
        Source(root, modality="grya")
    with pytest.raises(ValueError, match="no image of modality 'stained'"):
        Source(root, "test", modality="stained")


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("z", "train", "")], None, r"split\.csv, line 2: image_id 'z' is not in"),
        ([("a", "train", ""), ("a", "test", "")], None, r"line 3: image_id 'a' twice"),
        ([("a", "")], ("image_id", "modality"), "no column split"),
        ([], None, "lists no images"),
    ],
)
def test_bad_table(root, rows, columns, message):
    write_table(root, rows, columns or ("image_id", "split", "modality"))
    with pytest.raises(ValueError, match=message):
        Source(root)


def test_missing_data_says_what_is_expected_and_where_it_is_published(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match=r"stage1_train\.zip.*bbbc/BBBC038"):
            Source(path)
    (tmp_path / "stage1_train").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images in it.*bbbc/BBBC038"):
        Source(tmp_path)


def test_damaged_data(root):
    masks = root / "stage1_train" / "c" / "masks"
    data = (masks / "m1.png").read_bytes()
    (masks / "m1.png").write_bytes(data[: len(data) // 2])
    save(root / "stage1_train" / "b" / "masks" / "m2.png", np.zeros((5, 4), np.uint8))
    zipped(root)
    source = Source(root, "all")
    with pytest.raises(ValueError, match=r"stage1_train\.zip/c/masks/m1\.png: cannot be decoded"):
        source[2]
    with pytest.raises(ValueError, match=r"m2\.png: a mask of \(5, 4\).*image of \(4, 5\)"):
        source[1]


def test_image_without_masks_or_with_a_twin(root):
    save(root / "stage1_train" / "d" / "images" / "d.png", IMAGE)
    with pytest.raises(ValueError, match=r"d\.png: an image without masks"):
        Source(root)
    save(root / "stage1_train" / "d" / "images" / "e.png", IMAGE)
    with pytest.raises(ValueError, match="two images for 'd'"):
        Source(root)


def test_create_names_unknown_and_missing_arguments(root):
    with pytest.raises(ValueError, match=r"unknown source 'dsb2081'.*did you mean 'dsb2018'"):
        sources.create("dsb2081")
    with pytest.raises(ValueError, match=r"'splti'.*did you mean 'split'"):
        sources.create("dsb2018", root=root, splti="val")
    with pytest.raises(ValueError, match="needs the argument 'root'"):
        sources.create("dsb2018")


def run_lengths(mask):
    """Start and length of each run down the columns, counted from 1."""
    text, before = [], 0
    for k, value in enumerate([*np.asarray(mask).T.ravel(), 0], 1):
        if value and not before:
            text.append(k)
        elif before and not value:
            text.append(k - text[-1])
        before = value
    return " ".join(map(str, text))


def write_runs(path, rows, columns="ImageId,EncodedPixels,Height,Width,Usage"):
    path.write_text("\n".join([columns, *rows]) + "\n")


@pytest.fixture
def with_test(root):
    """Stage 1 with its test images: `t1` two nuclei, `t2` none, `t3` not scored."""
    for name in ("t1", "t2", "t3"):
        add(root / "stage1_test", name, IMAGE, {})
    rows = [f"t1,{run_lengths(BIG)},4,5,Public", f"t1,{run_lengths(SMALL)},4,5,Private"]
    rows += ["t2,,4,5,Public", "t3,1 1,4,5,Ignored", "t3,3 1,4,5,Ignored"]
    write_runs(root / "stage1_solution.csv", rows)
    return root


def test_run_lengths_of_a_drawn_nucleus():
    assert run_lengths(BIG) == "1 3 5 3 9 3"
    assert run_lengths([[0, 1], [1, 1]]) == "2 3"  # a run goes on at the top of the next column


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_run_lengths_of_any_mask(mask):
    mask.flat[0] = True
    pixels = decode_runs(Runs("", run_lengths(mask), mask.shape), mask.shape)
    np.testing.assert_array_equal(np.sort(pixels), np.flatnonzero(mask))


@pytest.mark.parametrize("layout", ["folder", "zip"])
def test_published_test_images_with_run_lengths(with_test, layout):
    root = with_test
    if layout == "zip":
        shutil.make_archive(str(root / "stage1_test"), "zip", root / "stage1_test")
        shutil.rmtree(root / "stage1_test")
    for path in (root, root / "stage1_train", next(root.glob("stage1_test*"))):
        source = Source(path, "test", test="stage1", cache=False)
        source = pickle.loads(pickle.dumps(source))
        assert source.ids == ["t1", "t2"]
        np.testing.assert_array_equal(source[0].image, IMAGE[..., :3])
        np.testing.assert_array_equal(source[0].instances, np.where(SMALL, 2, BIG))
        assert not source[1].instances.any()
        assert source[0].meta == {"name": "t1", "source": "dsb2018", "mpp": None, "modality": None}
    assert Source(root, "all", test="stage1").ids == ["a", "b", "c"]
    with pytest.raises(ValueError, match="modality='gray'"):
        Source(root, "test", test="stage1", modality="gray")
    with pytest.raises(ValueError, match=r"unknown test set 'stage3'"):
        Source(root, "test", test="stage3")
    with pytest.raises(FileNotFoundError, match=r"no stage2_test_final or stage2_test_final\.zip"):
        Source(root, "test", test="stage2")


def test_training_nuclei_from_run_lengths_instead_of_masks(root):
    rows = [f"a,{run_lengths(SMALL)}", f"a,{run_lengths(BIG)}", f"b,{run_lengths(BIG)}"]
    write_runs(root / "stage1_train_labels.csv", [*rows, "c,"], "ImageId,EncodedPixels")
    by_masks = [Source(root, "all")[i].instances for i in range(2)]
    shutil.rmtree(root / "stage1_train" / "a" / "masks")
    by_runs = Source(root, "all", labels="runs")
    for i in range(2):
        np.testing.assert_array_equal(by_runs[i].instances, by_masks[i])
    assert not by_runs[2].instances.any()
    with pytest.raises(ValueError, match="did you mean 'runs'"):
        Source(root, labels="run")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("t1,1 2 3,4,5,Public", "line 2: EncodedPixels: run lengths must be pairs"),
        ("t1,1 x,4,5,Public", "line 2: EncodedPixels: run lengths must be pairs"),
        ("t1,1.5 2,4,5,Public", "line 2: EncodedPixels: run lengths must be pairs"),
        ("t1,19 3,4,5,Public", "line 2: runs up to pixel 21 .* pixels 1 to 20"),
        ("t1,0 3,4,5,Public", "line 2: EncodedPixels: .* both from 1, got '0 3'"),
        ("t1,5 0,4,5,Public", "line 2: EncodedPixels: .* both from 1, got '5 0'"),
        ("t1,1 2,5,4,Public", r"line 2: an image of \(5, 4\) pixels, but the file has \(4, 5\)"),
        ("t1,1 2,four,5,Public", "line 2: Height 'four'"),
        ("t9,1 2,4,5,Public", "image 't9' of .*solution.csv is not in"),
        ("t2,1 2,4,5,Public", r"image 't1' is not in .*solution\.csv \(1 such images\)"),
    ],
)
def test_bad_run_lengths(with_test, row, message):
    rows = [row, "t2,,4,5,Public", "t3,1 1,4,5,Ignored"]
    rows += ["t1,,4,5,Public"] if row.startswith("t9") else []
    write_runs(with_test / "stage1_solution.csv", rows)
    with pytest.raises(ValueError, match=message):
        Source(with_test, "test", test="stage1")[0]


def test_bad_tables_of_run_lengths(with_test):
    write_runs(with_test / "stage1_solution.csv", [], "ImageId,Pixels")
    with pytest.raises(ValueError, match="no column EncodedPixels"):
        Source(with_test, "test", test="stage1")
    write_runs(with_test / "stage1_solution.csv", [f"t{i},1 1,4,5,Ignored" for i in (1, 2, 3)])
    with pytest.raises(ValueError, match="no image that was scored"):
        Source(with_test, "test", test="stage1")
    (with_test / "stage1_solution.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"stage1_solution\.csv: not there"):
        Source(with_test, "test", test="stage1")


def test_stardists_subset_is_a_folder_source(tmp_path):
    """`dsb2018.zip` as StarDist's examples fetch it: label images called masks."""
    labels = (BIG + 2 * SMALL).astype(np.uint16)
    for split, names in (("train", ("a", "b")), ("test", ("c",))):
        for folder, array in (("images", IMAGE[..., 0]), ("masks", labels)):
            for name in names:
                path = tmp_path / "dsb2018" / split / folder / f"{name}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(path, array)
    train = sources.create("folder", root=tmp_path / "dsb2018", labels="masks", split="train")
    assert (train.name, train.ids) == ("dsb2018", ["a", "b"])
    np.testing.assert_array_equal(train[1].image, np.stack([IMAGE[..., 0]] * 3, -1))
    np.testing.assert_array_equal(train[1].instances, labels)
    shutil.make_archive(str(tmp_path / "dsb2018"), "zip", tmp_path, "dsb2018")
    test = sources.create(
        "folder",
        root=tmp_path / "dsb2018.zip",
        images="dsb2018/test/images",
        labels="dsb2018/test/masks",
    )
    np.testing.assert_array_equal(test[0].instances, labels)


@pytest.mark.slow
def test_real_counts(shared_data):
    path = shared_data("dsb2018/stage1_train.zip")
    shared_data("dsb2018/split.csv")
    counts = {s: len(Source(path.parent, s)) for s in ("train", "val", "test", "all")}
    assert counts == {"train": 463, "val": 67, "test": 67, "all": 597}
    source = Source(path.parent, "all")
    modalities = Counter(source.about(name)["modality"] for name in source.ids)
    gray = "brightfield-grey"  # codespell:ignore grey
    assert modalities == {"fluorescence": 487, "stained": 96, gray: 14}


@pytest.mark.slow
def test_real_image_against_its_masks(shared_data):
    path = shared_data("dsb2018/stage1_train.zip")
    source = Source(path.parent, "all")
    name = "00071198d059ba7f5914a526d124d28e6d010c92466da21d4a04cd5413362552"
    sample = source[source.ids.index(name)]
    with zipfile.ZipFile(path) as file:
        masks = [
            np.array(Image.open(io.BytesIO(file.read(n)))) > 0
            for n in file.namelist()
            if n.startswith(f"{name}/masks/")
        ]
        image = np.array(Image.open(io.BytesIO(file.read(f"{name}/images/{name}.png"))))
    np.testing.assert_array_equal(sample.image, image[..., :3])
    np.testing.assert_array_equal(sample.instances > 0, np.any(masks, axis=0))
    assert sorted(np.unique(sample.instances)) == list(range(len(masks) + 1))
    # Each mask is one nucleus, but for pixels that a smaller one takes.
    shared = np.sum(masks, axis=0) > 1
    for mask in masks:
        assert len(np.unique(sample.instances[mask & ~shared])) == 1
    assert sample.meta["modality"] == "fluorescence"
