"""Commands that are killed at random moments and run again end as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from jaxnuc.data.synthetic import generate
from jaxnuc.run import checkpoints
from jaxnuc.run.log import LOG, read_log

KILLS = int(os.environ.get("CAMPAIGN_KILLS", 4))  # of each command
TRAIN = (
    "train --config=quickstart --config.duration=12~steps --config.evaluation.every=6~steps"
    " --config.checkpoint_every=2~steps --config.batch_size=2 --config.data.source.size=64"
    " --config.model.layers=1 --config.log_every=1 --config.schedule.warmup=2~steps"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """`run(command)` runs `jaxnuc`; with `seconds`, kills it after so many; returns its status."""
    temporary = tmp_path_factory.mktemp("temporary")

    def start(command, seconds=None):
        words = [word.replace("~", " ") for word in command.split()]
        process = subprocess.Popen(
            [sys.executable, "-m", "jaxnuc", *words],
            env=os.environ | {"TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), output
        return process.returncode

    yield start
    assert list(temporary.glob(".*.jaxnuc*")) == []


def killed(run, command, seed):
    """Kills a command at `KILLS` moments of its duration, then lets it end."""
    began = time.monotonic()
    assert run(command.format("whole")) == 0
    duration, draw = time.monotonic() - began, random.Random(seed)
    for _ in range(KILLS):
        if run(command.format("killed"), draw.uniform(0.2, 1) * duration) == 0:
            break
    assert run(command.format("killed")) == 0


def nothing_left(folder):
    return [p for p in folder.rglob(".*") if ".jaxnuc" in p.name or p.name.startswith(".lock")]


@pytest.mark.parametrize("workers", [0, 1])
def test_train(tmp_path, run, workers):
    command = f"{TRAIN} --config.data.workers={workers} --workdir={tmp_path}/{{}}"
    killed(run, command, seed=workers)
    logs, digests = [], []
    for name in ("whole", "killed"):
        lines = read_log(tmp_path / name / LOG)
        logs.append([{k: v for k, v in line.items() if k != "time"} for line in lines])
        folder = checkpoints.find(tmp_path / name, "latest")
        digests.append(json.loads((folder / "digests" / "arrays.json").read_text()))
    assert logs[0] == logs[1]
    assert digests[0] == digests[1]
    assert nothing_left(tmp_path) == []


def test_predict(tmp_path, run):
    assert run(f"{TRAIN} --workdir={tmp_path}/run") == 0
    (tmp_path / "images").mkdir()
    for number in range(4):
        image = generate(number, size=600).image
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    command = (
        f"predict --workdir={tmp_path}/run --input={tmp_path}/images --output={tmp_path}/{{}}"
        " --format=csv,geojson,tiff --patch=128 --overlap=32 --tile=256 --workers=1"
    )
    killed(run, command, seed=2)
    assert contents(tmp_path / "whole") == contents(tmp_path / "killed")
    assert nothing_left(tmp_path) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_pack(tmp_path, run, workers):
    command = f"pack synthetic(size=96) {tmp_path}/{{}} --samples=120 --shards=12"
    killed(run, f"{command} --workers={workers}", seed=workers)
    assert contents(tmp_path / "whole") == contents(tmp_path / "killed")
    assert nothing_left(tmp_path) == []


def contents(folder: Path) -> dict[str, bytes]:
    """The files of results; summaries and pages say how long it took."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix in (".csv", ".geojson", ".tif", ".tiff", ".arrayrecord")
        and path.name != "summary.csv"
    }
