"""Prediction that is stopped, run again, done in shards, and whose files are in the way."""

import errno
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from jaxnuc.io.lock import locked
from jaxnuc.outputs import NucleiTable
from jaxnuc.outputs.formats import tiff
from jaxnuc.prediction import image_task as module
from jaxnuc.prediction import partial_results
from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.partial_results import PartialResults
from jaxnuc.prediction.predict import predict
from jaxnuc.prediction.settings import fingerprint

OPTIONS = DEFAULT.replace(
    formats=("csv", "tiff"), patch=64, overlap=32, tile=64, workers=0, progress=False
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, bright, blobs):
    """An image, its label map, and the folder of what is found at one go."""
    folder = tmp_path_factory.mktemp("whole")
    image, expected = blobs((250, 210))
    imsave(folder / "a.png", image, check_contrast=False)
    predict([folder / "a.png"], bright(), folder / "found", OPTIONS)
    return folder / "a.png", expected, folder / "found"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory, bright, whole):
    """What is found on the same image with other settings."""
    folder = tmp_path_factory.mktemp("earlier") / "found"
    predict([whole[0]], bright(), folder, OPTIONS.replace(overlap=0))
    return folder


def test_an_output_is_of_one_process(tmp_path, whole, bright):
    with locked(tmp_path), pytest.raises(ValueError, match=r"is written to by process \d+ on "):
        predict([whole[0]], bright(), tmp_path, OPTIONS)


def test_done_images_are_left_and_other_settings_refused(tmp_path, bright, blobs):
    image, _ = blobs((150, 210))
    path = tmp_path / "a.png"
    imsave(path, image, check_contrast=False)
    predict([path], bright(), tmp_path, OPTIONS)
    before = (tmp_path / "a.csv").stat().st_mtime_ns
    predict([path], bright(), tmp_path, OPTIONS)
    assert (tmp_path / "a.csv").stat().st_mtime_ns == before
    other = OPTIONS.replace(overlap=0)
    report = predict([path], bright(), tmp_path, other)
    assert "made with overlap=32, now it is 0; take another output folder" in report.failed[0][1]
    dimmer = bright(threshold=60)
    assert "model=" in predict([path], dimmer, tmp_path, OPTIONS).failed[0][1]
    assert (tmp_path / "a.csv").stat().st_mtime_ns == before
    predict([path], bright(), tmp_path, other.replace(overwrite=True))
    assert (tmp_path / "a.csv").stat().st_mtime_ns > before
    assert (
        "stains=True"
        in predict([path], bright(), tmp_path, other.replace(stains=False)).failed[0][1]
    )
    (tmp_path / "a.json").unlink()
    after = (tmp_path / "a.csv").stat().st_mtime_ns
    imsave(tmp_path / "b.png", image, check_contrast=False)
    report = predict([path, tmp_path / "b.png"], bright(), tmp_path, OPTIONS)
    assert "a.csv exists; replace it with --overwrite" in report.failed[0][1]
    assert [done["settings"]["image"] for done in report.done] == ["b"]
    assert (tmp_path / "a.csv").stat().st_mtime_ns == after
    assert not (tmp_path / "a.parts").exists()


def test_files_of_other_programs_are_not_replaced(tmp_path, bright, blobs):
    path = tmp_path / "a.png"
    imsave(path, blobs((60, 60))[0], check_contrast=False)
    (tmp_path / "a.json").write_text('{"shapes": []}')
    report = predict([path], bright(), tmp_path, OPTIONS)
    assert "a.json exists and is no summary" in report.failed[0][1]
    (tmp_path / "a.json").unlink()
    predict([path], bright(), tmp_path, OPTIONS)
    (tmp_path / "a.geojson").write_text("someone's")
    more = OPTIONS.replace(formats=("csv", "geojson"))
    report = predict([path], bright(), tmp_path, more)
    assert "a.geojson exists" in report.failed[0][1]
    (tmp_path / "a.geojson").unlink()
    report = predict([path], bright(), tmp_path, more)
    assert set(report.done[0]["files"]) == {"csv", "geojson", "report", "thumbnail", "tiff"}


def test_formats_may_be_asked_for_one_after_the_other(tmp_path, bright, blobs):
    path = tmp_path / "a.png"
    imsave(path, blobs((60, 60))[0], check_contrast=False)
    for format_ in ("csv", "tiff", "csv"):
        report = predict([path], bright(), tmp_path, OPTIONS.replace(formats=(format_,)))
        assert not report.failed
    assert set(report.done[0]["files"]) == {"csv", "tiff", "report", "thumbnail"}
    (tmp_path / "a.csv").unlink()
    (done,) = predict([path], bright(), tmp_path, OPTIONS).done
    assert {name for name in done["files"].values() if (tmp_path / name).is_file()} == {
        "a.csv", "a.labels.tif", "a.report.html", "a.thumbnail.jpg",
    }  # fmt: skip


def test_another_image_of_the_same_name_is_refused(tmp_path, bright, blobs):
    """Of the same size as well, as the images of data sets are."""
    for seed, folder in enumerate(("train", "test")):
        (tmp_path / folder).mkdir()
        imsave(tmp_path / folder / "1.png", blobs((60, 60), seed)[0], check_contrast=False)
    predict([tmp_path / "train"], bright(), tmp_path, OPTIONS)
    report = predict([tmp_path / "test"], bright(), tmp_path, OPTIONS)
    assert "1.json was made with file=" in report.failed[0][1]
    (tmp_path / "moved").mkdir()
    (tmp_path / "train" / "1.png").rename(tmp_path / "moved" / "1.png")
    assert predict([tmp_path / "moved"], bright(), tmp_path, OPTIONS).done


def test_fingerprints(tmp_path):
    rng = np.random.default_rng(0)
    data = bytearray(rng.bytes(30_000_000))
    found = set()
    for name, at in (("a", None), ("b", 0), ("c", 2**18 * 53), ("d", len(data) - 1)):
        if at is not None:
            data[at] ^= 1
        (tmp_path / name).write_bytes(data)
        found.add(fingerprint(tmp_path / name))
    (tmp_path / "e").write_bytes(data)
    found.add(fingerprint(tmp_path / "e"))
    folder = tmp_path / "f.zarr" / "0"
    folder.mkdir(parents=True)
    found.add(fingerprint(folder.parent))
    (folder / "1").write_bytes(b"one")
    found.add(fingerprint(folder.parent))
    (folder / "1").write_bytes(b"two")
    found.add(fingerprint(folder.parent))
    assert len(found) == 7
    assert fingerprint(tmp_path / "a").startswith("30000000 bytes, ")


def test_written_pictures_are_no_input(tmp_path, bright, blobs):
    imsave(tmp_path / "a.png", blobs((60, 60))[0], check_contrast=False)
    options = OPTIONS.replace(formats=("tiff", "overlay"), tissue=True)
    for _ in range(2):
        report = predict([tmp_path], bright(), tmp_path, options)
        assert [done["settings"]["image"] for done in report.done] == ["a"]
    assert {path.name for path in tmp_path.glob("*.???")} == {
        "a.png", "a.tissue.png", "a.labels.tif", "a.overlay.png", "a.thumbnail.jpg", "summary.csv",
    }  # fmt: skip


def test_a_full_disk_is_an_error_with_the_way_out(tmp_path, monkeypatch, bright, blobs):
    path = tmp_path / "a.png"
    imsave(path, blobs((150, 210))[0], check_contrast=False)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(PartialResults, "save", full)
        with pytest.raises(OSError, match="No space left") as raised:
            predict([path], bright(), tmp_path / "out", OPTIONS)
    assert "a.png" in raised.value.__notes__[0]
    assert "run again" in raised.value.__notes__[0]
    assert predict([path], bright(), tmp_path / "out", OPTIONS).done


KILLED = """
import os, signal
from pathlib import Path
import jaxnuc.prediction.partial_results as parts
from conftest import _bright as bright
from test_resuming import OPTIONS, predict
save, rows = parts.PartialResults.save, []
def saved(self, row):
    save(self, row)
    rows.append(row)
    if len(rows) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
parts.PartialResults.save = saved
predict([Path({image!r})], bright(), {output!r}, OPTIONS)
"""


def test_killed_and_resumed_is_as_uninterrupted(
    tmp_path, bright, whole, same_partition, labels, run_script
):
    path, expected, found = whole
    here = tmp_path / "killed"
    code = KILLED.format(image=str(path), output=str(here))
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{code}"
    script = tmp_path / "killed.py"
    script.write_text(code)
    killed = run_script(script)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(p.name for p in here.glob("*.parts/row_*")) == [
        "row_000000.npz",
        "row_000001.npz",
    ]
    predict([path], bright(), here, OPTIONS)
    for name in ("a.csv", "a.labels.tif"):
        assert (here / name).read_bytes() == (found / name).read_bytes()
    same_partition(labels(here, "a"), expected)


PHASES = {
    "rows": (PartialResults, "save", 2),
    "rows are measured": (NucleiTable, "save", 8),
    "files": (tiff.Format, "write", 1),
    "report": (module, "write_prediction_report", 1),
    "summary": (module, "replace_file", 1),
    "the end": (PartialResults, "remove", 1),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_that_was_stopped_anywhere_resumes(
    tmp_path, phase, overwrite, bright, whole, earlier, monkeypatch
):
    path, _, uninterrupted = whole
    here = tmp_path / "here"
    options = OPTIONS
    if overwrite:
        shutil.copytree(earlier, here)
        options = OPTIONS.replace(overwrite=True)
    monkeypatch.setattr(partial_results, "IN_MEMORY", 4)  # the other nuclei are kept on disk
    owner, name, times = PHASES[phase]
    called = getattr(owner, name)

    def stopped(*arguments, **others):
        nonlocal times
        times -= 1
        if not times:
            raise KeyboardInterrupt
        return called(*arguments, **others)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, stopped)
        with pytest.raises(KeyboardInterrupt):
            predict([path], bright(), here, options)
    (summary,) = predict([path], bright(), here, OPTIONS).done
    assert summary["settings"]["overlap"] == OPTIONS.tiling.overlap
    names = {"a.csv", "a.json", "a.labels.tif", "a.report.html", "a.thumbnail.jpg"}
    assert {found.name for found in here.iterdir()} == names | {"summary.csv", "index.html"}
    for name in ("a.csv", "a.labels.tif"):
        assert (here / name).read_bytes() == (uninterrupted / name).read_bytes()


def test_shards_are_joined_without_the_network(tmp_path, bright, whole):
    path, _, found = whole
    for shard in ((1, 3), (3, 3)):
        report = predict([path], bright(), tmp_path / "a", OPTIONS.replace(shard=shard))
        assert report.done == ()
        assert not (tmp_path / "a" / "a.csv").exists()
    predict([path], bright(), tmp_path / "a", OPTIONS.replace(shard=(2, 3)))

    def refuse(variables, images):
        raise AssertionError("everything is there")

    predict([path], bright(forward=refuse), tmp_path / "a", OPTIONS)
    for name in ("a.csv", "a.labels.tif"):
        assert (tmp_path / "a" / name).read_bytes() == (found / name).read_bytes()


def test_shards_in_other_folders_are_merged(tmp_path, bright, whole):
    path, _, found = whole
    folders = tmp_path / "one", tmp_path / "two"
    for number, folder in enumerate(folders, 1):
        predict([path], bright(), folder, OPTIONS.replace(shard=(number, 2)))
    merge = OPTIONS.replace(merge=(*folders, folders[0], tmp_path / "merged"))  # twice, and itself
    predict([path], bright(), tmp_path / "merged", OPTIONS.replace(shard=(6, 99)))
    report = predict([path], bright(), tmp_path / "merged", merge)
    assert report.done[0]["seconds"]["waiting_for_tiles"] == 0  # nothing was left for the network
    for name in ("a.csv", "a.labels.tif"):
        assert (tmp_path / "merged" / name).read_bytes() == (found / name).read_bytes()
    assert {p.name for p in folders[0].iterdir()} == {"a.parts"}  # as it was
    other = predict([path], bright(), tmp_path / "other", merge.replace(tile=128))
    assert "made with tile=64, now it is 128" in other.failed[0][1]
    missing = OPTIONS.replace(merge=(tmp_path / "three",))
    assert "has no settings.json" in predict([path], bright(), tmp_path / "x", missing).failed[0][1]


def test_all_damage_is_listed_after_a_stop(tmp_path, monkeypatch, bright, blobs, damage):
    path = tmp_path / "a.tif"
    image, _ = blobs((640, 128))
    tifffile.imwrite(path, image, tile=(64, 64), compression="zlib", photometric="rgb")
    damage(path, tiles=(0, 3, 8, 19))
    options = OPTIONS.replace(skip_corrupt=True, mpp=0.25, model_mpp=0.4)
    (whole,) = predict([path], bright(), tmp_path / "whole", options).done
    assert [line.split(" (row")[0].split("in ")[1] for line in whole["corrupt"]] == [
        "(0, 0, 64, 64)", "(64, 64, 64, 64)", "(256, 0, 64, 64)", "(576, 64, 64, 64)",
    ]  # fmt: skip
    save, rows = PartialResults.save, []

    def stopped(self, row):
        save(self, row)
        rows.append(row.row)
        if len(rows) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(PartialResults, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict([path], bright(), tmp_path / "here", options)
    (summary,) = predict([path], bright(), tmp_path / "here", options).done
    assert len(set(rows)) == len(rows) > 8
    assert summary["corrupt"] == whole["corrupt"]
    assert (tmp_path / "here/a.csv").read_bytes() == (tmp_path / "whole/a.csv").read_bytes()
