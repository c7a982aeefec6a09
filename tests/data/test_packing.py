import hashlib
import json
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordReader
from PIL import Image

from jaxnuc import labels
from jaxnuc.cli.main import main
from jaxnuc.data import shards, sources
from jaxnuc.data.packing import pack
from jaxnuc.data.pipeline import batches
from jaxnuc.data.sample import Source
from jaxnuc.data.sources.folder import Source as Folder
from jaxnuc.data.sources.packed import Source as Packed
from jaxnuc.data.sources.synthetic import Source as Synthetic
from jaxnuc.data.transforms import parse


class Classed(Source):
    """Synthetic nuclei with classes, regions to ignore and the like."""

    name, ignores = "classed", True

    def __init__(self, length=7, **changes):
        self.label_set = labels.label_set("consep")
        self.ids = [f"image {k}" for k in range(length)]
        self._inner, self._changes = Synthetic("val", size=48, length=length), changes

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        sample = self._inner[index]
        classes = np.where(sample.instances > 0, sample.instances % 3 + 1, 0).astype(np.int32)
        ignore = np.zeros(classes.shape, bool)
        ignore[:, :index] = True
        meta = {"name": self.ids[index], "source": "dsb2018", "mpp": None, "ids": [index, 0.1]}
        sample = replace(sample, classes=classes, ignore=ignore if index % 2 else None, meta=meta)
        return replace(sample, **self._changes)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same(a, b):
    for key in ("image", "instances", "classes", "ignore"):
        left, right = getattr(a, key), getattr(b, key)
        assert (left is None) == (right is None)
        if left is not None:
            np.testing.assert_array_equal(left, right, strict=True)
    assert a.meta == b.meta


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cells")
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (root / "train" / kind).mkdir(parents=True)
    for i in range(9):
        image = rng.integers(0, 256, (20 + i, 30, 3), np.uint8)
        labels = np.kron(np.arange(12).reshape(4, 3), np.ones((8, 10)))[: 20 + i]
        Image.fromarray(image).save(root / "train" / "images" / f"{i}.png")
        Image.fromarray(labels.astype(np.uint8)).save(root / "train" / "labels" / f"{i}.png")
    return root


@pytest.fixture
def packed(tmp_path):
    pack(Classed(), tmp_path / "p", shards=3)
    return tmp_path / "p"


def shard(folder, number):
    return folder / f"shard-{number:05d}.arrayrecord"


# Packing


def test_packed_samples_are_those_of_the_source(packed):
    source, found = Classed(), Packed(packed, verify=True)
    assert (len(found), found.name, found.ids) == (7, "classed", source.ids)
    assert (found.label_set, found.ignores, found.split) == (source.label_set, True, "train")
    for index in (6, 0, 3, 3, 1, 2, 4, 5):
        assert_same(found[index], source[index])
    for index in (-1, 7):
        with pytest.raises(IndexError, match=f"sample {index} of 7"):
            found[index]


def test_the_manifest_tells_what_is_in_the_files(packed):
    manifest = json.loads((packed / "manifest.json").read_text())
    nuclei = sum(len(np.unique(Classed()[k].instances)) - 1 for k in range(7))
    assert manifest["counts"] == {"samples": 7, "nuclei": nuclei}
    assert manifest["names"] == Classed().ids
    assert manifest["label_set"] == Classed().label_set.to_json()
    terms = manifest["data_sets"]["dsb2018"]
    assert (terms["license"], terms["published"]) == (
        "CC0 1.0",
        "https://data.broadinstitute.org/bbbc/BBBC038/",
    )
    assert [entry["records"] for entry in manifest["shards"]] == [2, 2, 3]
    for number, entry in enumerate(manifest["shards"]):
        path = packed / entry["file"]
        assert path == shard(packed, number)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
        assert path.stat().st_size == entry["bytes"]
        reader = ArrayRecordReader(str(path))
        assert reader.num_records() == entry["records"]
        assert "group_size:1," in reader.writer_options_string()
        reader.close()
    assert len(list(packed.iterdir())) == 4


@pytest.mark.slow
def test_command_with_workers_writes_the_same_files(folder, tmp_path, capsys):
    def pack_from(images):
        paths = [str(folder), str(tmp_path / "b")]
        return main(["pack", f"folder({images=})", *paths, "--shards=2", "--workers=2"])

    assert pack_from("images") == 0
    assert "9 samples, 84 nuclei, 2 shards" in capsys.readouterr().out
    settings = {"source": "folder", "arguments": {"images": "images"}, "mpp": None}
    pack(Folder(folder, split="train"), tmp_path / "a", settings=settings, shards=2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    # Again: nothing is to be done, and nothing is changed.
    before = shard(tmp_path / "b", 0).stat().st_mtime_ns
    assert pack_from("images") == 0
    assert shard(tmp_path / "b", 0).stat().st_mtime_ns == before
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert pack_from("pictures") == 1
    assert "pictures: no files here" in capsys.readouterr().err


def test_without_a_root_the_data_are_below_the_variable(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAXNUC_DATA", str(tmp_path))
    (tmp_path / "folder").symlink_to(folder)
    assert main(["pack", "folder", str(tmp_path / "a"), "--shards", "2"]) == 0
    assert main(["pack", "folder", str(folder), str(tmp_path / "b"), "--shards", "2"]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_mixtures_and_resampling_are_packed_by_a_section(tmp_path, capsys):
    parts = '[{"name":"synthetic","size":32,"mpp":0.5},{"name":"synthetic","size":40,"mpp":0.5}]'
    source = f"mixture(sources={parts}, seed=3)"
    command = ["pack", source, str(tmp_path), str(tmp_path / "p"), "--mpp", "1"]
    assert main(command) == 1
    assert "is endless; give --samples" in capsys.readouterr().err
    assert main([*command, "--samples", "6"]) == 0
    found = Packed(tmp_path / "p")
    assert found.manifest["settings"]["arguments"]["seed"] == 3
    assert found.manifest["data_sets"] == {"synthetic": None}
    assert len(found) == len(set(found.ids)) == 6
    assert {found[k].image.shape[0] for k in range(6)} == {16, 20}
    assert all(found[k].meta["mpp"] == 1 for k in range(6))
    assert not found.endless


def test_an_image_that_comes_again_gets_another_name(tmp_path):
    class Again(Classed):
        endless = True

        def __getitem__(self, index):
            return super().__getitem__(index % 2)

    pack(Again(50), tmp_path, samples=3)
    assert Packed(tmp_path).ids == ["00000000/image 0", "00000001/image 1", "00000002/image 0"]


@pytest.mark.slow
def test_shards_are_about_as_large_as_asked(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    labels = np.pad(np.ones((9, 9), np.int32), (0, 247))
    source = Classed(16, image=noise, instances=labels, classes=labels, ignore=None)
    entries = pack(source, tmp_path, shards="0.5 MiB")["shards"]
    whole = sum(entry["bytes"] for entry in entries)
    assert whole > 16 * noise.size
    # 64 KiB are the blocks of the files.
    assert whole / len(entries) == pytest.approx(2**19, abs=2**17)


def test_splits_lie_in_one_root(tmp_path):
    for split in ("train", "val"):
        source = Synthetic(split, size=32, length=3)
        pack(source, tmp_path / split, split)
        assert_same(sources.create("packed", root=tmp_path, split=split)[2], source[2])
    with pytest.raises(ValueError, match=r"split 'train' was packed, not 'val'; pack that"):
        Packed(tmp_path / "train", "val")
    with pytest.raises(FileNotFoundError, match=r"expected manifest.json or test/manifest.json"):
        Packed(tmp_path, "test")


# What is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"settings": {"arguments": {"label_set": "b"}}},
            r'arguments.label_set = "a", now it is "b"',
        ),
        ({"settings": {}}, r'arguments.label_set = "a", now it is null'),
        (
            {"settings": {"arguments": {"label_set": "a", "n": 1}}},
            "arguments.n = null, now it is 1",
        ),
        ({"split": "val"}, r'split = "train", now it is "val"'),
        ({"shards": 3}, "shard_count = 2, now it is 3"),
        ({"samples": 4}, "samples = 5, now it is 4"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_is_of_one_packing(tmp_path, changes, message, finished):
    arguments = {"settings": {"arguments": {"label_set": "a"}}, "shards": 2, "samples": 5}
    source = Classed()
    if finished:
        pack(source, tmp_path, **arguments)
    else:
        with pytest.raises(ValueError, match="has the name None"):
            pack(Classed(meta={}), tmp_path, **arguments)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"was packed with .*{message}; pack into another folder"):
        pack(source, tmp_path, **{**arguments, **changes})
    assert contents(tmp_path) == before


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds other files, such as thesis.txt"):
        pack(Classed(), tmp_path)
    assert list(contents(tmp_path)) == ["thesis.txt"]


def test_data_that_inspection_finds_wrong_are_not_packed(tmp_path):
    flat = Classed(image=np.full((48, 48, 3), 9, np.uint8))
    with pytest.raises(ValueError, match=r"sample 'image 0' of 'classed': image of one color"):
        pack(flat, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    pack(flat, tmp_path / "a", allow=["image of one color"])
    assert len(Packed(tmp_path / "a")) == 7
    twice = Classed()
    twice.ids[5] = "image 0"
    with pytest.raises(ValueError, match="2 samples of 'classed' have the name 'image 0'"):
        pack(twice, tmp_path / "b", shards=3)
    assert not (tmp_path / "b" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shards": 8}, "8 shards for 7 samples: 1 to 7 are possible"),
        ({"shards": 0}, "0 shards for 7 samples"),
        ({"samples": 8}, "8 samples of source 'classed', which has 7"),
        ({"samples": 0}, "0 samples"),
        ({"shards": "0 MiB"}, "shards='0 MiB': a number of files, or a size"),
        ({"shards": "nan MiB"}, "shards='nan MiB'"),
        ({"settings": {"root": ("a",)}}, r"settings\['root'\]: JSON cannot hold"),
    ],
)
def test_refuses_bad_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        pack(Classed(), tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


# Interruptions

_STOPPED = """
import sys, time
from jaxnuc.data.packing import pack
from jaxnuc.data.sources.synthetic import Source

class Stopped(Source):
    def __getitem__(self, index):
        time.sleep(600 * (index == 11))
        return super().__getitem__(index)

pack(Stopped("val", size=48, length=30), sys.argv[1], "val", shards=10)
"""


@pytest.mark.slow
def test_killed_and_run_again_it_equals_an_uninterrupted_run(tmp_path):
    source, killed, whole = Synthetic("val", size=48, length=30), tmp_path / "k", tmp_path / "w"
    run = subprocess.Popen([sys.executable, "-c", _STOPPED, str(killed)])
    try:
        # In the middle of the fourth shard.
        while not (killed / ".shard-00003.arrayrecord.partial").exists():
            assert run.poll() is None
            time.sleep(0.01)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert run.returncode == -signal.SIGKILL
    pack(source, whole, "val", shards=10)
    there = contents(killed)
    for number in range(10):
        name = shard(killed, number).name
        assert (name in there) == (number < 3)
        assert number >= 3 or there[name] == contents(whole)[name]
    assert "manifest.json" not in there
    with pytest.raises(FileNotFoundError, match=r"shard-0000.* has not finished: run it again"):
        Packed(killed, "val")
    before = shard(killed, 0).stat().st_mtime_ns
    pack(source, killed, "val", shards=10)
    assert shard(killed, 0).stat().st_mtime_ns == before
    assert contents(killed) == contents(whole)


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_no_shard(tmp_path, folder):
    code = (
        "import resource, sys; from jaxnuc.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)); sys.exit(main(sys.argv[1:]))"
    )
    command = ["pack", "folder", str(folder), str(tmp_path / "p"), "--shards", "1"]
    run = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert run.returncode == 1
    assert ".shard-00000.arrayrecord.partial: cannot be written (" in run.stderr
    assert not shard(tmp_path / "p", 0).exists()
    assert main(command) == 0
    assert len(Packed(tmp_path / "p", verify=True)) == 9


@pytest.mark.parametrize("number", [0, 1])
def test_damaged_and_missing_shards_are_written_again(packed, capsys, number):
    before = contents(packed)
    data = bytearray(before[shard(packed, 0).name])
    data[len(data) // 2 if number else 12345] ^= 8
    shard(packed, 0).write_bytes(data)
    shard(packed, 2).unlink()
    pack(Classed(), packed, shards=3)
    assert contents(packed) == before
    assert "shard-00000.arrayrecord: " in capsys.readouterr().out


def test_a_shard_of_changed_data_does_not_join_the_others(packed):
    before = contents(packed)
    shard(packed, 1).unlink()
    with pytest.raises(ValueError, match=r"shard-00001.* written anew it differs from the manif"):
        pack(Classed(ignore=np.ones((48, 48), bool)), packed, shards=3)
    assert not shard(packed, 1).exists()
    pack(Classed(), packed, shards=3)
    assert contents(packed) == before


# Reading


@pytest.mark.slow
def test_grain_reads_the_same_batches_as_from_the_source(folder, tmp_path):
    def encode(instances, classes, ignore, covered):
        return {"id": instances[..., None], "mask": (instances > 0)[..., None]}

    def take(source, workers):
        stream = batches(source, parse(["random_crop(16)", "flip_turn()"]), encode, 4, 0,
                         workers=workers)  # fmt: skip
        found = [next(stream) for _ in range(6)]
        stream.close()
        return found

    source = Folder(folder, split="train")
    pack(source, tmp_path, shards=4)
    found = Packed(tmp_path)
    assert_same(found[0], source[0])  # a reader is open when the source is pickled
    expected = take(source, 0)
    for workers in (0, 2):
        for a, b in zip(take(found, workers), expected, strict=True):
            np.testing.assert_array_equal(a["image"], b["image"])
            for key in ("id", "mask"):
                np.testing.assert_array_equal(a["targets"][key], b["targets"][key])


def test_it_is_pickled_without_its_readers(packed):
    found = Packed(packed)
    size = len(pickle.dumps(found))
    expected = [found[k] for k in range(7)]
    data = pickle.dumps(found)
    assert len(data) == size
    for k, sample in enumerate(expected):
        assert_same(pickle.loads(data)[k], sample)


def test_a_missing_shard_is_named(packed):
    shard(packed, 1).unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-00001\.arrayrecord: .*missing; copy it"):
        Packed(packed)


@pytest.mark.parametrize("length", [0, 1, 1000, -1, -1000])
def test_a_truncated_shard_is_named(packed, length):
    path = shard(packed, 2)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"shard-00002\.arrayrecord: \d+ bytes, the manifest has"):
        Packed(packed)


def test_another_file_of_the_size_is_named(packed):
    path = shard(packed, 0)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(ValueError, match=r"shard-00000\.arrayrecord: truncated, damaged or no A"):
        Packed(packed)


def test_no_flipped_byte_gives_another_sample(packed):
    path, expected = shard(packed, 1), [Classed()[2], Classed()[3]]
    data, found, unchanged = path.read_bytes(), 0, 0
    for position in range(0, len(data), len(data) // 150):
        damaged = bytearray(data)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"shard-00001\.arrayrecord: (SHA-256|truncated)"):
            Packed(packed, verify=True)
        try:
            source = Packed(packed)
            samples = [source[2], source[3]]
        except ValueError as error:
            found += "shard-00001.arrayrecord: " in str(error)
        else:  # the byte is padding
            for a, b in zip(samples, expected, strict=True):
                assert_same(a, b)
            unchanged += 1
    assert found > 3
    assert found + unchanged == len(range(0, len(data), len(data) // 150))


def test_shards_of_two_packings_are_not_mixed(packed, tmp_path):
    first, second = shard(packed, 0), shard(packed, 1)
    a, b = first.read_bytes(), second.read_bytes()
    assert len(a) == len(b)
    first.write_bytes(b)
    with pytest.raises(ValueError, match=r"shard-00000.*: record 0: holds 'image 2', the manif"):
        Packed(packed)[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, r"manifest.json: format version 2, this program reads 1"),
        ({"format": "png"}, r"manifest.json: not the manifest of a packed data set"),
        ({"names": ["a"]}, r"manifest.json: 1 names for 7 records"),
        ({"label_set": ...}, r"manifest.json: no key 'label_set'"),
        ({"shards": [{"file": "a"}]}, r"manifest.json: no key 'records'"),
    ],
)
def test_refuses_other_manifests(packed, change, message):
    path = packed / "manifest.json"
    manifest = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({k: v for k, v in manifest.items() if v is not ...}))
    with pytest.raises(ValueError, match=message):
        Packed(packed)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(ValueError, match=r"manifest.json: not a readable manifest"):
        Packed(packed)


@pytest.mark.slow
def test_real_images_come_back(shared_data, tmp_path):
    root = shared_data("consep_train.zip")
    source = sources.create("consep", root=root, split="val")
    pack(source, tmp_path, "val", samples=1)
    assert_same(Packed(tmp_path, "val", verify=True)[0], source[0])


def test_without_array_record_packed_data_are_refused_in_one_line(tmp_path, monkeypatch):
    """As on Windows; all else goes on without it."""
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    (tmp_path / "a.array_record").touch()
    with pytest.raises(ImportError, match="not built for Windows: use Linux or macOS, or train"):
        shards.open_reader(tmp_path / "a.array_record")
