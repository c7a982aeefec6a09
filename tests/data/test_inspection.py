import csv
import io
import json
import zipfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from jaxnuc.cli.main import main
from jaxnuc.data import Sample, Source
from jaxnuc.data.contact_sheet import CAPTIONS
from jaxnuc.data.inspection import Inspection, inspect, report
from jaxnuc.data.sample_checks import check_sample
from jaxnuc.data.sources import folder
from jaxnuc.data.splits import open_splits
from jaxnuc.data.synthetic import generate
from jaxnuc.labels import label_set

CUT = label_set("nucls")  # Non-Tumor, Tumor


def discs(seed, size=64, number=6):
    """Dark discs on a bright, noisy ground, none of which touch, and their labels."""
    rng = np.random.default_rng(seed)
    row, column = np.indices((size, size))
    instances = np.zeros((size, size), np.int32)
    places = rng.permutation(16)[:number]
    for k, place in enumerate(places, 1):
        y, x = 8 + 16 * (place // 4) + rng.integers(-2, 3), 8 + 16 * (place % 4)
        instances[(row - y) ** 2 + (column - x) ** 2 <= 12] = k
    image = np.where(instances[..., None] > 0, 90, 200) + rng.integers(-20, 20, (size, size, 3))
    return image.astype(np.uint8), instances


def save(root, name, image, instances):
    for kind, array in (("images", image), ("labels", instances.astype(np.uint16))):
        (root / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / kind / f"{name}.png")


def run(capsys, *arguments):
    status = main(["inspect", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


class Listed(Source):
    """Samples in memory."""

    def __init__(self, samples, label_set=None, name="listed"):
        self.samples, self.label_set, self.name = samples, label_set, name

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


def kinds(sample, classes=(), **arguments):
    return [(p.level, p.kind, p.text) for p in check_sample(sample, classes, **arguments)]


IMAGE, LABELS = discs(0)


def test_nuclei_that_overlap():
    bar = np.zeros_like(LABELS)
    row = int(np.argwhere(LABELS == 1)[:, 0].mean())
    bar[row, 2:-2] = LABELS.max() + 1
    crossed = np.where(bar > 0, bar, LABELS)
    covered = np.where(bar > 0, LABELS, 0)[..., None]
    sample = Sample(IMAGE, crossed, None, {"name": "a"})
    assert "nuclei in several pieces" in [kind for _, kind, _ in kinds(sample)]
    assert not kinds(Sample(IMAGE, LABELS, None, {}))
    crossing = ", ".join(map(str, np.unique(covered)[1:]))
    found = kinds(replace(sample, covered=covered))
    assert [(kind, text.split("id ")[1]) for _, kind, text in found] == [
        ("nuclei that overlap", crossing)
    ]
    itself = replace(sample, covered=crossed[..., None])
    count = np.count_nonzero(crossed)
    assert kinds(itself) == [
        ("error", "covered by no other nucleus", f"{count} pixels of `covered`")
    ]
    nothing = replace(sample, covered=np.full_like(covered, 9999))
    assert f"{np.count_nonzero(crossed == 0)} pixels" in kinds(nothing)[0][2]
    flat = replace(sample, covered=covered[..., 0])
    assert kinds(flat)[0][1:] == (
        "covered of another form",
        f"int32 {LABELS.shape}; expected int32 (H, W, D)",
    )


@pytest.fixture
def clean(tmp_path):
    for k in range(6):
        save(tmp_path / "cells", f"c{k}", *discs(k))
    return tmp_path / "cells"


def test_a_clean_set(clean, tmp_path, capsys):
    output = tmp_path / "out"
    status, text, _ = run(capsys, "folder", clean, "--output", output)
    assert status == 0
    assert "folder: 6 images, 36 nuclei" in text
    assert "no errors" in text
    assert "note" not in text
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["images"], summary["nuclei"]) == (6, 36)
    assert summary["sizes"] == {"64 x 64": 6}
    assert summary["mpp"] == {"unknown": 6}
    assert sum(summary["splits"].values()) == 6
    assert set(summary["splits"]) <= {"train", "val", "test", "no split"}
    assert summary["errors"] == summary["notes"] == []
    assert (summary["source"], summary["root"]) == ("folder", str(clean))
    with Image.open(output / "sheet.png") as sheet:
        assert min(sheet.size) > 128


def test_every_defect_is_named_with_its_image(clean, tmp_path, capsys):
    torn = (clean / "images" / "c0.png").read_bytes()
    (clean / "images" / "c0.png").write_bytes(torn[: len(torn) // 2])
    save(clean, "gray", np.full((64, 64, 3), 9, np.uint8), LABELS)
    save(clean, "full", IMAGE, np.where(LABELS == 0, 1, LABELS + 1))
    save(clean, "none", *discs(20, number=0))
    save(clean, "other", discs(21, number=2)[0], discs(22, number=2)[1])
    save(clean, "small", *discs(23))
    save(clean, "semantic", discs(24)[0], discs(24)[1] > 0)
    Image.fromarray(LABELS[:32].astype(np.uint16)).save(clean / "labels" / "small.png")
    arguments = ("--output", tmp_path / "out", "--max-pieces", 3, "--split", "all")
    status, text, _ = run(capsys, "folder", clean, *arguments)
    assert status == 1
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    errors = {problem["image"]: problem for problem in summary["errors"]}
    expected = {
        "c0": ("unreadable", "c0.png: cannot be decoded"),
        "gray": ("image of one color", "every value is 9"),
        "full": ("no background", "nuclei cover every pixel"),
        "small": ("unreadable", "labels/small.png: labels of (32, 64)"),
        "semantic": ("nuclei in more than 3 pieces", "1: id 1"),
    }
    assert {image.split("/")[1]: p["kind"] for image, p in errors.items()} == {
        name: kind for name, (kind, _) in expected.items()
    }
    for image, problem in errors.items():
        assert expected[image.split("/")[1]][1] in problem["text"]
        assert f"  {image}: {problem['text']}" in text
    notes = {(p["image"].split("/")[1], p["kind"]) for p in summary["notes"]}
    assert notes == {
        ("none", "no nuclei"),
        ("other", "nuclei do not stand out"),
        ("full", "nuclei of more than 20 times the median area"),
    }
    assert "5 errors" in text


def test_images_in_two_splits_are_errors_and_twice_in_one_are_notes(tmp_path, capsys):
    root = tmp_path / "cells"
    for split, name, seed in (("train", "a", 1), ("train", "b", 1), ("test", "z", 1)):
        save(root / split, name, *discs(seed))
    save(root / "test", "y", *discs(2))
    status, text, _ = run(capsys, "folder", root, "--output", tmp_path / "out")
    assert status == 1
    assert "error: image in two splits (1)\n  test/z: the same pixels as train/a" in text
    assert "note: image twice in a split (1)\n  train/b: the same pixels as train/a" in text
    assert "splits: train: 2, test: 2" in text
    assert "note: split not there (1)\n  val: " in text
    save(root / "test", "z", *discs(3))
    assert run(capsys, "folder", root, "--output", tmp_path / "out")[0] == 0
    (root / "test" / "labels" / "y.png").unlink()
    status, text, _ = run(capsys, "folder", root, "--output", tmp_path / "out")
    assert status == 1
    assert f"error: unreadable (1)\n  test: {root}/test/images/y.png: has no annotation; " in text
    assert "splits: train: 2\n" in text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"image": IMAGE / 255}, ("error", "not an RGB image", "float64 (64, 64, 3); expected")),
        ({"image": IMAGE[..., 0]}, ("error", "not an RGB image", "uint8 (64, 64); expected")),
        (
            {"image": IMAGE[:0], "instances": LABELS[:0]},
            ("error", "not an RGB image", "uint8 (0, 64, 3); expected"),
        ),
        ({"instances": LABELS.astype(np.int64)}, ("error", "instances of another form", "int64")),
        ({"instances": LABELS[:9]}, ("error", "sizes differ", "instances of (9, 64) pixels for")),
        ({"instances": LABELS - 1}, ("error", "negative ids", "the lowest is -1")),
        ({"classes": (LABELS > 0) * 2}, ("error", "classes of another form", "int64")),
        ({"classes": LABELS}, ("error", "unknown classes", "0 to 6; expected -1 to 2")),
        ({"ignore": LABELS}, ("error", "ignore of another form", "int32 (64, 64); expected bool")),
        ({"meta": {"mpp": -0.25}}, ("error", "microns per pixel", "-0.25; expected a positive")),
        ({"meta": {"mpp": "0.25"}}, ("error", "microns per pixel", "0.25; expected")),
        ({"meta": {"mpp": np.float32(np.nan)}}, ("error", "microns per pixel", "nan; expected")),
        ({"meta": {"skipped_regions": 2}}, ("note", "regions left out, of too few vertices", "2")),
        (
            {"instances": LABELS * 0, "ignore": LABELS == 0},
            ("note", "no nuclei", "the labels are empty"),
        ),
        (
            {"instances": LABELS * 0, "ignore": LABELS >= 0},
            ("note", "no nuclei", "unlabeled"),
        ),
    ],
)
def test_one_problem_at_a_time(changes, problem):
    sample = Sample(**{"image": IMAGE, "instances": LABELS, "meta": {"mpp": 0.25}, **changes})
    [(level, kind, text)] = kinds(sample, CUT.groups)
    assert (level, kind) == problem[:2]
    assert text.startswith(problem[2])


def test_classes_of_nuclei():
    classes = np.where(LABELS > 0, 1 + LABELS % 2, 0).astype(np.int32)
    ignored = np.where(LABELS == 1, -1, classes)
    for right in (classes, ignored):
        assert kinds(Sample(IMAGE, LABELS, right), CUT.groups) == []
    wrong = classes.copy()
    wrong[LABELS == 2] = 0
    wrong[tuple(np.argwhere(LABELS == 5)[0])] = 1
    wrong[np.unravel_index(np.argmin(LABELS), LABELS.shape)] = 2
    assert kinds(Sample(IMAGE, LABELS, wrong), CUT.groups) == [
        ("note", "classes outside of nuclei", "1 pixels"),
        ("error", "nuclei without class", "1: id 2"),
        ("error", "nuclei of several classes", "1: id 5"),
    ]


def test_sizes_and_pieces_of_nuclei():
    image, labels = discs(3)
    labels[LABELS.shape[0] - 1, :4] = [50, 0, 51, 51]
    labels[0, 0] = labels[1, 1] = labels[2, 0] = 52  # corners: one piece
    labels[0, 60:] = [53, 0, 0, 53]
    tiny = ("note", "nuclei of less than 3 pixels", "3: id 50, 51, 53")
    pieces = "1: id 53"
    assert kinds(Sample(image, labels)) == [tiny, ("note", "nuclei in several pieces", pieces)]
    assert kinds(Sample(image, labels), max_pieces=1) == [
        tiny,
        ("error", "nuclei in more than 1 pieces", pieces),
    ]
    image, labels = discs(4)
    labels[:, :15] = np.where(labels[:, :15] == 0, 99, labels[:, :15])
    assert ("note", "nuclei of more than 20 times the median area", "1: id 99") in kinds(
        Sample(image, labels)
    )


def test_what_is_ignored_is_not_compared():
    image, labels = discs(5, number=2)
    swapped = np.roll(labels, 20, axis=0)
    found = ("note", "nuclei do not stand out")
    assert [p[:2] for p in kinds(Sample(image, swapped))] == [found]
    brightness = np.where(swapped > 0, 90, 200)
    half = np.where(np.indices((64, 64))[0] < 32, brightness, 90)  # the rest tells nothing
    image = np.repeat(half[..., None], 3, axis=2).astype(np.uint8)
    ignore = np.indices((64, 64))[0] >= 32
    if swapped[:32].any():
        assert kinds(Sample(image, swapped, ignore=ignore)) == []


def test_counts_of_classes_and_names_that_are_not_unique():
    def sample(k, **meta):
        image, labels = discs(k)
        classes = np.where(labels > 0, 1, 0).astype(np.int32)
        classes[labels == 1] = -1
        return Sample(image, labels, classes, {"name": "same" if k < 2 else f"n{k}", **meta})

    source = Listed([sample(0, mpp=0.25), sample(1, mpp=0.25, hidden_regions=3), sample(2)], CUT)
    found = inspect({"train": source, "test": Listed([sample(3)], CUT)})
    assert dict(found.nuclei_per_class) == {"Non-Tumor": 20, "Tumor": 0, "ignored": 4}
    assert found.mpp == {"0.25": 2, "unknown": 2}
    assert found.splits == {"train": 3, "test": 1}
    assert found.left_out == {"without a pixel of their own": 3}
    assert [(p.image, p.kind) for p in found.of("error")] == [("train/same", "name not unique")]
    assert "nuclei per class: Non-Tumor: 20, Tumor: 0, ignored: 4" in report("x", found)


def test_few_notes_are_listed_unless_all_are_wanted():
    samples = [Sample(discs(k)[0], LABELS * 0, meta={"name": f"n{k}"}) for k in range(12)]
    found = inspect({"train": Listed(samples)}, limit_pictures=3)
    assert len(found.of("note")) == 12
    text = report("x", found)
    assert "train/n9" in text
    assert "train/n10" not in text
    assert "... and 2 more, see --all-notes" in text
    assert "train/n11" in report("x", found, all_notes=True)
    # Three pictures from all over the set, and as many more of those with notes.
    assert [picture.caption for picture in found.pictures] == [
        f"train/n{k}" for k in (0, 1, 2, 3, 6, 11)
    ]
    assert {picture.level for picture in found.pictures} == {"note"} <= set(CAPTIONS)
    assert inspect({"train": Listed(samples)}, limit_pictures=0).pictures == []


@pytest.mark.slow
def test_any_number_of_workers_finds_the_same(clean):
    save(clean, "d", *discs(0))
    (clean / "images" / "c3.png").write_bytes((clean / "images" / "c4.png").read_bytes()[:90])
    source = folder.Source(clean)
    one, two = inspect({"all": source}), inspect({"all": source}, workers=2)
    assert one.to_json() == two.to_json()
    assert [problem.image for problem in one.problems] == ["all/c3", "all/d"]
    assert [p.caption for p in one.pictures] == [p.caption for p in two.pictures]
    for a, b in zip(one.pictures, two.pictures, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)


def test_without_a_root_it_is_looked_for_in_the_folder_of_all_sets(clean, monkeypatch):
    monkeypatch.delenv("JAXNUC_DATA", raising=False)
    with pytest.raises(ValueError, match=r"files of 'folder'\? Give its folder .*set JAXNUC_DATA"):
        open_splits("folder", None)
    (clean.parent / "folder").symlink_to(clean)
    monkeypatch.setenv("JAXNUC_DATA", str(clean.parent))
    named, _ = open_splits("folder", None)
    given, _ = open_splits("folder", str(clean))
    assert {k: list(s.ids) for k, s in named.items()} == {k: list(s.ids) for k, s in given.items()}


def test_limits(clean):
    source = folder.Source(clean)
    assert inspect({"all": source}, limit=2).images == 2
    assert inspect({"all": source}, limit=0).to_json() == Inspection().to_json()
    with pytest.raises(ValueError, match="limit is -1"):
        inspect({"all": source}, limit=-1)
    endless, _ = open_splits("synthetic", None, arguments={"size": 32})
    assert list(endless) == ["train", "val", "test"]
    with pytest.raises(ValueError, match=r"'train' of 'synthetic' is endless; give a limit"):
        inspect(endless)
    assert inspect(endless, limit=1).splits == {"train": 1, "val": 1, "test": 1}


def test_what_cannot_be_opened(clean, tmp_path, capsys):
    for arguments, message in (
        (("fodler", clean), "unknown source 'fodler'"),
        (("folder", tmp_path / "absent"), "no such folder or zip"),
        (("folder(iamges='x')", clean), "did you mean 'images'"),
        (("folder", clean, "--split", "tset"), "did you mean 'test'"),
        (("folder",), "where are the files of 'folder'?"),
        (("synthetic", clean), "unknown argument of source 'synthetic': 'root'"),
    ):
        status, out, error = run(capsys, *arguments, "--output", tmp_path / "out")
        assert (status, out) == (1, "")
        assert message in error
    assert not (tmp_path / "out").exists()


def test_arguments_reach_the_source(clean, tmp_path, capsys):
    (clean / "labels").rename(clean / "truth")
    source = "folder(labels='truth', fractions=[0.5, 0.5, 0.0])"
    status, text, _ = run(capsys, source, clean, "--split", "val", "--output", tmp_path)
    assert status == 0
    assert "splits: val: 3" in text
    assert json.loads((tmp_path / "summary.json").read_text())["arguments"] == {
        "labels": "truth",
        "fractions": [0.5, 0.5, 0.0],
    }


def test_images_of_no_split_are_read_too(clean):
    (clean / "split").mkdir()
    names = folder.Source(clean).ids
    fractions = {"fractions": [0.5, 0.5, 0.0]}  # no test
    splits, problems = open_splits("folder", str(clean), arguments=fractions)
    assert list(splits) == ["train", "val"]
    assert problems == []
    assert sorted(n for source in splits.values() for n in source.ids) == names


@pytest.mark.slow
def test_real_images(shared_data, tmp_path, capsys):
    archive = shared_data("dsb2018/stage1_train.zip")
    shared_data("dsb2018/split.csv")
    arguments = ("--split", "test", "--limit", 5, "--output", tmp_path)
    status, text, _ = run(capsys, "dsb2018", archive.parent, *arguments)
    assert status == 0
    assert "splits: test: 5" in text
    summary = json.loads((tmp_path / "summary.json").read_text())
    with (archive.parent / "split.csv").open() as file:
        read = sorted(row["image_id"] for row in csv.DictReader(file) if row["split"] == "test")[:5]
    with zipfile.ZipFile(archive) as file:
        masks = [n for n in file.namelist() if n.split("/")[0] in read and "/masks/" in n]
        images = [file.read(f"{name}/images/{name}.png") for name in read]
    assert summary["nuclei"] == sum(name.endswith(".png") for name in masks)
    sizes = Counter(Image.open(io.BytesIO(image)).size for image in images)
    assert summary["sizes"] == {f"{h} x {w}": number for (w, h), number in sizes.items()}


def test_nearly_the_same_image_in_two_splits_is_noted(tmp_path):
    """Copies in JPEG, brighter and both are found, and different images are not."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for folder_name in ("images", "labels"):
            (tmp_path / split / folder_name).mkdir(parents=True)
    for k in range(6):
        image = generate(k, size=96, style="he").image
        Image.fromarray(image).save(tmp_path / "train" / "images" / f"a{k}.png")
        bright = np.clip(image * 1.1 + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
        other = generate(50 + k, size=96, style="he").image
        copied = (image, bright, bright, other, other, other)[k]
        suffix, options = (("jpg", {"quality": 60}), ("png", {}), ("jpg", {}))[k % 3]
        path = tmp_path / "test" / "images" / f"b{k}.{suffix}"
        Image.fromarray(copied).save(path, **options)
        for split, name in (("train", f"a{k}"), ("test", f"b{k}")):
            labels = np.zeros((96, 96), np.uint8)
            Image.fromarray(labels).save(tmp_path / split / "labels" / f"{name}.png")
    splits = {split: folder.Source(tmp_path, split) for split in ("train", "test")}
    notes = [p for p in inspect(splits).problems if p.kind.startswith("nearly")]
    assert [(p.image, p.text.split(" (")[0]) for p in notes] == [
        (f"test/b{k}", f"nearly the same as train/a{k}") for k in range(3)
    ]
