"""Prediction on a Dask cluster of three worker processes, of which one is killed."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tifffile
from skimage.io import imsave

from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.predict import predict

pytestmark = pytest.mark.slow
cluster_module = pytest.importorskip(
    "jaxnuc.prediction.cluster", reason="the extra cluster is not installed", exc_type=ImportError
)

OPTIONS = DEFAULT.replace(
    formats=("csv", "geojson", "tiff"),
    patch=64,
    overlap=32,
    tile=64,
    workers=0,
    tissue=True,
    report=False,
    progress=False,
)


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler, and its three workers, each a process."""
    file = tmp_path / "scheduler.json"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": ""}
    common = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = ["--scheduler-file", file, "--no-dashboard"]
    dask = [sys.executable, "-m", "dask"]
    processes = [
        subprocess.Popen([*dask, "scheduler", "--host=127.0.0.1", "--port=0", *options], **common)
    ]
    worker = [*dask, "worker", "--nthreads=1", "--no-nanny", f"--local-directory={tmp_path}"]
    processes += [subprocess.Popen([*worker, *options], **common) for _ in range(3)]
    deadline = time.monotonic() + 60
    try:
        while not file.exists() or not file.read_text().endswith("}"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"], processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def contents(folder):
    return {
        p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".csv", ".geojson", ".tif")
    }


def test_a_worker_that_is_killed_changes_nothing(tmp_path, bright, blobs, cluster, monkeypatch):
    address, workers = cluster
    (tmp_path / "images").mkdir()
    image, _ = blobs((400, 200))
    tifffile.imwrite(tmp_path / "images" / "slide.tif", image, tile=(64, 64), photometric="rgb")
    for number in range(2):
        imsave(tmp_path / "images" / f"{number}.png", blobs((90, 60), number)[0])
    (tmp_path / "images" / "damaged.png").write_bytes(b"\x89PNG no image")
    corrupt = tmp_path / "images" / "corrupt.tif"  # which opens, and fails in a worker
    tifffile.imwrite(corrupt, image, tile=(64, 64), photometric="rgb", compression="deflate")
    with tifffile.TiffFile(corrupt) as tiff:
        start, count = tiff.pages[0].dataoffsets[6], tiff.pages[0].databytecounts[6]
    with corrupt.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * count)
    predict([tmp_path / "images"], bright(), tmp_path / "one", OPTIONS)
    assert len((tmp_path / "one" / "slide.csv").read_text().splitlines()) > 50

    rows, left = tmp_path / "many" / "slide.parts", []

    def kill() -> None:
        while not list(rows.glob("row_*.npz")):
            time.sleep(0.01)
        workers[0].kill()
        left.append(12 - len(list(rows.glob("row_*.npz"))))

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    monkeypatch.chdir(tmp_path)  # the workers are elsewhere
    options = OPTIONS.replace(cluster=address)
    found = predict(["images"], bright(), "many", options)
    killer.join(timeout=60)
    assert left[0] > 4  # rows, when the worker was killed
    assert workers[0].wait() == -9
    failed = {Path(path).name: reason for path, reason in found.failed}
    assert failed.keys() == {"damaged.png", "corrupt.tif"}
    assert "cannot be decoded in (64, 128, 64, 64)" in failed["corrupt.tif"]
    table, expected = contents(tmp_path / "many"), contents(tmp_path / "one")
    for each in (table, expected):
        each.pop("summary.csv")  # has seconds
    assert table == expected
    assert not rows.exists()


def test_what_cannot_be(tmp_path, bright, blobs, monkeypatch):
    with pytest.raises(ValueError, match=r"shard=\(1, 2\): .*leave the shard out"):
        OPTIONS.replace(cluster="tcp://a:1", shard=(1, 2))
    imsave(tmp_path / "a.png", blobs((60, 60))[0])
    monkeypatch.setattr(cluster_module, "_SECONDS", 1)
    with pytest.raises(OSError, match=r"--cluster=tcp://127\.0\.0\.1:1: no Dask scheduler"):
        predict([tmp_path], bright(), tmp_path, OPTIONS.replace(cluster="tcp://127.0.0.1:1"))
