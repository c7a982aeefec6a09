"""Much of everything: that it ends, with the right numbers, within bounded memory."""

import csv
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxnuc import outputs
from jaxnuc.data.synthetic import generate
from jaxnuc.io.workers import cores

NUCLEI = int(os.environ.get("CAMPAIGN_NUCLEI", 10**6))
IMAGES = int(os.environ.get("CAMPAIGN_IMAGES", 5000))
FILES = int(os.environ.get("CAMPAIGN_INSPECTED", 50000))
SIDE = int(os.environ.get("CAMPAIGN_SIDE", 20000))  # of a TIFF
STEP, TILE = 80, 400  # from one nucleus of it to the next; side of its tiles


@pytest.fixture
def measured(tmp_path):
    """`measured(*arguments, most=2.5)`: runs Python; its largest process has so many GiB."""

    def run(*arguments, most=2.5):
        began = time.monotonic()
        with (tmp_path / "output.txt").open("w+") as output:
            process = subprocess.Popen(
                [sys.executable, *map(str, arguments)], stdout=output, stderr=subprocess.STDOUT
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        text = (tmp_path / "output.txt").read_text()
        assert process.returncode == 0, text[-3000:]
        memory = usage.ru_maxrss / 2**20
        print(f"{time.monotonic() - began:.0f} s, largest process {memory:.2f} GiB")
        assert memory < most
        return text

    return run


def jaxnuc(command):
    return ["-m", "jaxnuc", *[word.replace("~", " ") for word in command.split()]]


def test_many_small_images(tmp_path, trained, measured):
    (tmp_path / "images").mkdir()
    pictures = [generate(number, size=64).image for number in range(50)]
    for number in range(IMAGES):
        picture = pictures[number % 50].copy()
        picture[0, 0] = number % 256, number // 256, 0  # no two are the same
        Image.fromarray(picture).save(tmp_path / "images" / f"{number}.png")
    command = (
        f"predict --workdir={trained} --input={tmp_path}/images --output={tmp_path}/found"
        " --format=csv --no-report"
    )
    measured(*jaxnuc(command))
    with (tmp_path / "found" / "summary.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert {row["status"] for row in rows} == {"done"}
    assert {row["image"] for row in rows} == {str(number) for number in range(IMAGES)}
    # Of the same nuclei, whichever batch they were in.
    counts = [{row["nuclei"] for row in rows if int(row["image"]) % 50 == k} for k in range(50)]
    assert all(len(each) <= 2 for each in counts)


# Nuclei are what is bright: what a network learns is not at stake here.
BRIGHT = """
import sys

import numpy as np

import jaxnuc
from jaxnuc.data.normalize import Normalize
from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.predict import predict
from jaxnuc.prediction.predictor import Predictor, TrainedNetwork

def brighter(variables, images):
    return {"mask": (images[..., :1].astype("float32") - variables["threshold"]) / 8}

if __name__ == "__main__":
    network = TrainedNetwork(brighter, {"threshold": np.float32(127.5)}, 0)
    binary = jaxnuc.representations.create("binary")
    predictor = Predictor((network,), binary, Normalize("none"), jaxnuc.config.default())
    found = predict([sys.argv[1]], predictor, sys.argv[2], DEFAULT.replace(progress=False))
    assert not found.failed, found.failed
"""


def test_a_large_tiff(tmp_path, measured):
    rows, cols = np.mgrid[:TILE, :TILE] % STEP - STEP // 2
    tile = np.where((rows**2 + cols**2 < 40)[..., None], (200, 180, 190), (60, 20, 50))
    tile = tile.astype(np.uint8)
    sides = -(-SIDE // TILE)
    tifffile.imwrite(
        tmp_path / "large.tif",
        (tile for _ in range(sides**2)),
        shape=(SIDE, SIDE, 3),
        dtype=np.uint8,
        tile=(TILE, TILE),
        photometric="rgb",
        compression="deflate",
    )
    (tmp_path / "bright.py").write_text(BRIGHT)
    measured(tmp_path / "bright.py", tmp_path / "large.tif", tmp_path / "found")
    summary = json.loads((tmp_path / "found" / "large.json").read_text())
    assert summary["nuclei"] == (SIDE // STEP) ** 2
    with (tmp_path / "found" / "large.csv").open() as table:
        assert sum(1 for _ in table) == summary["nuclei"] + 1


WRITE = """
import sys

import numpy as np

from jaxnuc.io import ArrayImage
from jaxnuc.outputs import NucleiTable, Scene, make_formats
from jaxnuc.postprocess.masks import Mask

name, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
side = int(np.ceil(np.sqrt(count)))  # nuclei in a row
rows, cols = np.mgrid[-4:5, -4:5]
disc = rows**2 + cols**2 < 18

def tables():
    for row in range(0, side, 10):
        masks = tuple(
            Mask(16 * r, 16 * c, disc)
            for r in range(row, min(row + 10, side))
            for c in range(side)
            if r * side + c < count
        )
        n = len(masks)
        classes = np.arange(n, dtype=np.int32) % 3
        probabilities = np.full((n, 3), 1 / 3, np.float32)
        scores = np.linspace(0, 1, n, dtype=np.float32)
        yield NucleiTable(masks, scores, classes, probabilities, {"area": np.full(n, disc.sum())})

shape = 16 * side, 16 * side
pixels = ArrayImage(np.broadcast_to(np.uint8(90), (*shape, 3)))
scene = Scene("a", shape, 0.5, (1.0, 1.0), ("background", "a", "b"), pixels=pixels)
format_ = make_formats([name])[name]
format_.check(scene)
assert format_.write(path, tables(), scene) == count
"""


@pytest.mark.parametrize("name", sorted(outputs.REGISTRY.names()))
def test_many_nuclei(tmp_path, measured, name):
    (tmp_path / "write.py").write_text(WRITE)
    print(name, end=": ")
    # The formats of HoVer-Net and of COCO are single objects, which are in memory as a whole.
    measured(tmp_path / "write.py", name, tmp_path / "file", NUCLEI, most=6)


def test_many_files_are_inspected(tmp_path, measured):
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    draw = np.random.default_rng(0)
    labels = np.zeros((32, 32), np.uint8)
    labels[4:12, 4:12], labels[18:28, 15:25] = 1, 2
    for number in range(FILES // 2):
        image = draw.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{number}.png")
        Image.fromarray(labels).save(tmp_path / "data" / "labels" / f"{number}.png")
    (tmp_path / "data" / "labels" / "7.png").write_bytes(b"damaged")
    process = ["-c", "import sys; from jaxnuc.cli.main import main; assert main(sys.argv[1:]) == 1"]
    measured(*process, "inspect", "folder", tmp_path / "data", f"--output={tmp_path}/inspected")
    found = json.loads((tmp_path / "inspected" / "summary.json").read_text())
    assert found["images"] == FILES // 2
    assert found["nuclei"] == 2 * (FILES // 2 - 1)
    (error,) = found["errors"]
    assert error["image"] == "train/7"


@pytest.mark.parametrize("name", ["train", "predict", "pack"])
def test_a_hundred_workers(request, tmp_path, start, run, name, same_files, same_training):
    command = request.getfixturevalue(name)
    run(command("whole", 0))
    process, most = start(command("many", 100)), 0
    while process.wait(0.2) is None:
        most = max(most, len(process.workers()))
    assert process.wait() == 0, process.output
    assert 0 < most <= 4 * cores()
    assert f"100 workers are asked for; {4 * cores()} are started" in process.output
    print(f"{name}: {most} workers at once")
    same = same_training if name == "train" else same_files
    same(tmp_path / "whole", tmp_path / "many")
