"""Against loops over channels and ids, on folds written as published: float64, repeated ids."""

import pickle
import shutil
import zipfile

import numpy as np
import pytest

from jaxnuc.data import sources
from jaxnuc.data.sources.pannuke import PROTOCOL, Source

SIZE = 16
TILES = {1: 6, 2: 3, 3: 4}
TISSUES = ["Breast", "Bile-duct", "Adrenal_gland"]


def arrays(fold):
    rng = np.random.default_rng(fold)
    n = TILES[fold]
    images = rng.integers(0, 256, (n, SIZE, SIZE, 3)).astype(np.float64)
    masks = np.zeros((n, SIZE, SIZE, 6))
    for tile in range(n):
        for channel in range(5):
            if channel == 0 and tile % 3 == 2:
                continue  # no neoplastic nucleus in every third tile
            for number in (1, 7 + tile):  # the same ids in every channel
                r, c = rng.integers(0, SIZE - 5, 2)
                masks[tile, r : r + 4, c : c + 5, channel][rng.random((4, 5)) < 0.8] = number
    # The background channel contradicts the ids, as it does in places.
    masks[..., 5] = rng.random((n, SIZE, SIZE)) < 0.5
    types = np.array([TISSUES[i % 3] for i in range(n)])
    return images, masks, types


def write(root, fold, outer="Fold {}", inner="fold{}"):
    images, masks, types = arrays(fold)
    for kind, names in (("images", ("images", "types")), ("masks", ("masks",))):
        folder = root / outer.format(fold) / kind / inner.format(fold)
        folder.mkdir(parents=True)
        for name in names:
            np.save(folder / name, {"images": images, "masks": masks, "types": types}[name])
    (root / outer.format(fold) / "README.md").write_text("# Fold\n")


def zipped(root, fold, compression):
    folder = root / f"Fold {fold}"
    with zipfile.ZipFile(root / f"fold_{fold}.zip", "w", compression) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(root).as_posix())
        file.writestr(f"__MACOSX/Fold {fold}/images/fold{fold}/._images.npy", b"junk")
    shutil.rmtree(folder)


@pytest.fixture
def root(tmp_path):
    for fold in TILES:
        write(tmp_path, fold)
    return tmp_path


def expected(masks):
    """Nuclei by (channel, id), larger ones painted first."""
    found = []
    for channel in range(masks.shape[-1]):
        for number in np.unique(masks[..., channel]):
            if number:
                found.append((masks[..., channel] == number, channel + 1))
    instances, classes = np.zeros((2, SIZE, SIZE), np.int32)
    for i in sorted(range(len(found)), key=lambda i: -found[i][0].sum()):
        instances[found[i][0]], classes[found[i][0]] = i + 1, found[i][1]
    return instances, classes


@pytest.mark.parametrize("form", ["folders", "stored zips"])
def test_every_tile_of_every_fold(root, form):
    if form == "stored zips":
        for fold in TILES:
            zipped(root, fold, zipfile.ZIP_STORED)
    source = pickle.loads(pickle.dumps(sources.create("pannuke", root=root, split="all")))
    assert len(source) == sum(TILES.values())
    assert source.ids[:2] == ["fold1_0", "fold1_1"]
    assert source.ids[-1] == "fold3_3"
    assert source.label_set.groups[0] == "neoplastic"
    i = 0
    for fold in TILES:
        images, masks, types = arrays(fold)
        for tile in range(TILES[fold]):
            sample = source[i]
            np.testing.assert_array_equal(sample.image, images[tile])
            instances, classes = expected(masks[tile, ..., :5])
            np.testing.assert_array_equal(sample.instances, instances)
            np.testing.assert_array_equal(sample.classes, classes)
            assert (sample.image.dtype, sample.instances.dtype) == (np.uint8, np.int32)
            assert sample.meta == {
                "name": f"fold{fold}_{tile}",
                "source": "pannuke",
                "mpp": 0.25,
                "tissue": types[tile],
                "modality": "H&E",
                "fold": fold,
            }
            i += 1


def test_the_three_published_splits(root):
    assert sorted(PROTOCOL) == [1, 2, 3]
    for protocol, by_split in {1: (1, 2, 3), 2: (2, 1, 3), 3: (3, 2, 1)}.items():
        for split, fold in zip(("train", "val", "test"), by_split, strict=True):
            source = Source(root, split, protocol)
            assert {source[i].meta["fold"] for i in range(len(source))} == {fold}
            assert len(source) == TILES[fold]
    assert len(Source(root, "all", folds=(2,))) == TILES[2]
    with pytest.raises(ValueError, match=r"folds=\(1,\) for split 'val'.*take split='all'"):
        Source(root, "val", folds=(1,))
    for arguments, message in (
        ({"split": "valid"}, "did you mean 'val'"),
        ({"protocol": 4}, "unknown protocol '4'; known: 1, 2, 3"),
        ({"split": "all", "folds": (0,)}, "unknown fold '0'"),
        ({"variant": "neoplastc"}, "did you mean 'neoplastic'"),
    ):
        with pytest.raises(ValueError, match=message):
            Source(root, **arguments)


def test_any_nesting_and_name(tmp_path):
    write(tmp_path / "data" / "PanNuke", 1, "Part {}", "")  # as on Kaggle
    assert len(Source(tmp_path, "train")) == TILES[1]
    assert len(Source(tmp_path / "data" / "PanNuke" / "Part 1", "train")) == TILES[1]
    with pytest.raises(FileNotFoundError, match=r"fold 2 has no images\.npy \(folds here: 1\)"):
        Source(tmp_path, "val")
    for path in (tmp_path / "absent", tmp_path / "data" / "PanNuke" / "Part 1" / "masks"):
        with pytest.raises(FileNotFoundError, match="warwick"):
            Source(path)


def test_a_compressed_zip_says_that_it_must_be_unpacked(root, tmp_path_factory):
    kept = tmp_path_factory.mktemp("kept") / "Fold 1"
    shutil.copytree(root / "Fold 1", kept)
    zipped(root, 1, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"images\.npy: compressed.*unzip fold_1\.zip"):
        Source(root)
    shutil.copytree(kept, root / "Fold 1")
    assert len(Source(root)) == TILES[1]  # the unpacked folder beside its zip is read


def test_neoplastic_tiles_split_by_tile(tmp_path, monkeypatch):
    monkeypatch.setitem(TILES, 1, 60)
    write(tmp_path, 1)
    _, masks, _ = arrays(1)
    parts = {s: Source(tmp_path, s, variant="neoplastic") for s in ("train", "val", "test")}
    assert {s: len(part) for s, part in parts.items()} == {"train": 32, "val": 6, "test": 2}
    names = [name for part in parts.values() for name in part.ids]
    assert sorted(names) == sorted(f"fold1_{i}" for i in range(60) if i % 3 != 2)
    sample, tile = parts["val"][0], int(parts["val"].ids[0].split("_")[1])
    np.testing.assert_array_equal(sample.instances, expected(masks[tile, ..., :1])[0])
    assert (sample.classes, parts["val"].label_set) == (None, None)
    assert Source(tmp_path, variant="neoplastic", seed=1).ids != parts["train"].ids


def test_neoplastic_compat_has_copies_a_leak_and_wide_nuclei(tmp_path, monkeypatch):
    monkeypatch.setitem(TILES, 1, 60)
    write(tmp_path, 1)
    images, masks, _ = arrays(1)
    sources_ = {s: Source(tmp_path, s, variant="neoplastic_compat") for s in ("train", "val")}
    tiles = {s: {n.split("_")[1] for n in source.ids} for s, source in sources_.items()}
    assert tiles["train"] & tiles["val"]
    whole = Source(tmp_path, "all", variant="neoplastic_compat")
    assert len(whole) == 240
    assert (len(sources_["train"]), len(sources_["val"])) == (192, 36)
    turns = {
        "rot0": lambda a: a,
        "rot90": np.rot90,
        "rot180": lambda a: a[::-1, ::-1],
        "rot270": lambda a: np.rot90(a, -1),
        "mirror": np.fliplr,
        "flip": np.flipud,
    }
    assert [name.split("_")[2] for name in whole.ids[:6]] == list(turns)
    for i, turn in enumerate(turns.values()):
        sample = whole[i]
        np.testing.assert_array_equal(sample.image, turn(images[0]))
        mask = np.pad(masks[0, ..., 0] > 0, 1)
        near = [mask[r : r + SIZE, c : c + SIZE] for r in range(3) for c in range(3)]
        np.testing.assert_array_equal(sample.instances > 0, turn(np.any(near, axis=0)))
        kept = turn(expected(masks[0, ..., :1])[0])
        np.testing.assert_array_equal(sample.instances[kept > 0], kept[kept > 0])


def test_the_published_counts_of_copies():
    from jaxnuc.data.sources.pannuke import neoplastic_items as items

    tiles = [(1, i) for i in range(1452)]
    counts = [len(items(tiles, s, 0, True)) for s in ("train", "val", "test", "all")]
    assert counts == [6969, 1306, 437, 8712]


def damage(root, kind, change):
    path = next(root.glob(f"Fold 1/*/fold1/{kind}.npy"))
    array = np.load(path)
    np.save(path, change(array))
    return path


def put(value):
    def change(array):
        array[0, 0, 0, 0] = value
        return array

    return change


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("images", put(256.0), r"images\.npy, tile 0: pixels in .* 256"),
        ("images", put(0.5), "expected whole numbers in 0"),
        ("images", put(np.nan), r"images\.npy, tile 0"),
        ("masks", put(-1), r"masks\.npy, tile 0: ids in -1"),
        ("masks", put(1.5), r"masks\.npy, tile 0"),
        ("masks", put(np.inf), r"masks\.npy, tile 0"),
        ("masks", lambda a: a[..., :5], r"shape \(N, H, W, 6\)"),
        ("masks", lambda a: a[:-1], "they are not of one fold"),
        ("types", lambda a: a[:-1], "they are not of one fold"),
        ("types", lambda a: np.arange(len(a)), r"types\.npy: int64"),
        ("images", lambda a: a.astype(str), "expected numbers"),
        ("images", lambda a: a[:0], "an empty array"),
    ],
)
def test_bad_arrays(root, kind, change, message):
    damage(root, kind, change)
    with pytest.raises(ValueError, match=message):
        Source(root)[0]


def test_truncated_and_pickled_files(root):
    path = damage(root, "masks", lambda a: a)
    data = path.read_bytes()
    for content, message in (
        (data[: len(data) // 2], r"masks\.npy: .* bytes, but .*truncated"),
        (data[:20], "not a readable"),
        (b"", "not a readable"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            Source(root)
    np.save(path, np.array([{}] * 6, object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickled Python objects"):
        Source(root)


def test_two_copies_of_a_fold(root):
    shutil.copytree(root / "Fold 1", root / "copy of Fold 1")
    with pytest.raises(ValueError, match=r"are both images\.npy of fold 1"):
        Source(root)
