"""Faults of the machine and of its users: what they cost, and that nothing is lost."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data.synthetic import generate
from jaxnuc.run.checkpoints import FOLDER, find

MOMENTS = int(os.environ.get("CAMPAIGN_KILLS", 4))  # at which each command is interrupted
JAXNUC = f"'{sys.executable}' -m jaxnuc"


@pytest.fixture
def in_mounts():
    """`in_mounts(script)`: a shell script that may mount; gives its output."""
    mount = ["unshare", "--map-root-user", "--mount"]
    may = shutil.which("unshare") and subprocess.run([*mount, "true"], check=False).returncode == 0
    if not may:
        pytest.skip("file systems cannot be mounted here")

    def run(script, **environment):
        done = subprocess.run(
            [*mount, "sh", "-euc", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=os.environ | environment,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


# A disk of so many kilobytes, on which a command first has `{room}` of them.
FULL = """
mkdir -p {disk}
mount -t tmpfs -o size={size}k none {disk}
head -c $((({size} - {room}) * 1024)) /dev/zero > {disk}/filler
if {command}; then exit 9; else status=$?; fi
echo "status $status"
test $status = 1
rm {disk}/filler
{command}
cp -r {disk}/found {copy}
"""


def quoted(command):
    return " ".join(f"'{word.replace('~', ' ')}'" for word in command.split())


@pytest.fixture
def on_full_disk(tmp_path, in_mounts):
    """What a command prints that is run on a disk with so many KiB left, and then with enough."""

    def run(arguments, room):
        command = f"{JAXNUC} {quoted(arguments)}"
        disk, copy = tmp_path / "disk", tmp_path / "copy"
        return in_mounts(FULL.format(disk=disk, size=20000, room=room, command=command, copy=copy))

    return run


@pytest.mark.parametrize("room", [60, 400])
def test_a_full_disk_of_predictions(tmp_path, predicted, predict, on_full_disk, same_files, room):
    output = on_full_disk(predict("disk/found", 1), room)
    assert "No space left on device" in output or "as on a full disk" in output, output
    assert "Traceback" not in output, output
    same_files(predicted, tmp_path / "copy")


@pytest.mark.parametrize("room", [60, 300])
def test_a_full_disk_of_checkpoints(tmp_path, trained, train, on_full_disk, same_training, room):
    output = on_full_disk(train("disk/found"), room)
    # Beside it TensorStore may print that its loop is closed, for the arrays behind the first.
    assert "No space left on device" in output[output.index("error: ") :], output
    same_training(trained, tmp_path / "copy")


def test_folders_that_cannot_be_written_to(tmp_path, train, predict, in_mounts):
    for command in (train("sealed"), predict("sealed")):
        output = in_mounts(
            f"mkdir -p {tmp_path}/sealed\n"
            f"mount --bind {tmp_path}/sealed {tmp_path}/sealed\n"
            f"mount -o remount,ro,bind {tmp_path}/sealed\n"
            f"if {JAXNUC} {quoted(command)}; then exit 9; else test $? = 1; fi"
        )
        assert "Traceback" not in output, output
        assert "error: [Errno 30] Read-only file system: " in output
        assert str(tmp_path / "sealed") in output


@pytest.fixture
def half(tmp_path, start, train):
    """The workdir of a training that was killed on its way."""
    process = start(train("half"))
    while len([p for p in (tmp_path / "half" / FOLDER).glob("[0-9]*") if p.name.isdigit()]) < 2:
        assert process.wait(0.1) is None, process.output
    process.signal_all(signal.SIGKILL)
    process.wait()
    return tmp_path / "half"


def test_the_latest_checkpoint_is_deleted(trained, half, run, train, same_training):
    shutil.rmtree(find(half, "latest"))
    run(train("half"))
    same_training(trained, half)


def test_the_configuration_is_edited(trained, half, run, train, same_training):
    path = half / "config.json"
    text = path.read_text()
    for edited, message in (
        (json.dumps(json.loads(text) | {"seed": 7}), "seed: 7 there, 0 now"),
        (text[:200], f"{path}"),
        ("[]", f"{path}"),
    ):
        path.write_text(edited)
        output = run(train("half"), status=1)
        assert "Traceback" not in output
        assert message in output[output.index("error: ") :]
        assert path.read_text() == edited
    path.write_text(text)
    run(train("half"))
    same_training(trained, half)


# Python's clock, a day behind that of the files.
EARLIER = """
import time

now = time.time
time.time = lambda: now() - 86400
"""


def test_the_clock_is_set_back(
    tmp_path, trained, predicted, half, run, train, predict, same_training, same_files
):
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "sitecustomize.py").write_text(EARLIER)
    path = os.pathsep.join([str(tmp_path / "earlier"), os.environ.get("PYTHONPATH", "")])
    run(train("half"), PYTHONPATH=path)
    same_training(trained, half)
    run(predict("before"), PYTHONPATH=path)
    same_files(predicted, tmp_path / "before")


def test_a_killed_input_worker(tmp_path, trained, start, run, train, error, same_training):
    process = start(train("killed", 1))
    while not (tmp_path / "killed" / "metrics.jsonl").exists() or not process.workers():
        assert process.wait(0.05) is None, process.output
    os.kill(process.workers()[0], signal.SIGKILL)
    assert process.wait(120) == 1, process.output
    assert "one of 1 input workers died" in error(process.output)
    process.seconds_to_end()
    run(train("killed", 1))
    assert process.shared_memory() == []
    same_training(trained, tmp_path / "killed")


def test_a_killed_decoding_worker(tmp_path, predicted, start, run, predict, error, same_files):
    process = start(predict("killed", 1))
    while not process.workers():
        assert process.wait(0.05) is None, process.output
    os.kill(process.workers()[0], signal.SIGKILL)
    assert process.wait(120) == 1, process.output
    assert "one of 1 worker processes died" in error(process.output)
    process.seconds_to_end()
    run(predict("killed", 1))
    same_files(predicted, tmp_path / "killed")


def test_an_input_worker_that_raises(tmp_path, run, train, error):
    """A damaged image of the user's, read in an input worker."""
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / "data" / split / kind).mkdir(parents=True)
        for number in range(4):
            sample = generate(number, size=64)
            labels = sample.instances.astype(np.uint8)
            for kind, array in (("images", sample.image), ("labels", labels)):
                Image.fromarray(array).save(tmp_path / "data" / split / kind / f"{number}.png")
    path = tmp_path / "data" / "train" / "images" / "2.png"
    path.write_bytes(path.read_bytes()[:500])
    source = (
        f"--config.data.source={{'name':'folder'}} --config.data.root={tmp_path}/data"
        " --config.data.transforms=()"
    )
    for workers in (0, 1):
        command = train(f"run{workers}", workers).replace("--config.data.source.size=64", source)
        assert str(path) in error(run(command, status=1))


def test_a_packing_worker_that_raises(tmp_path, run, error):
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for number in range(6):
        sample = generate(number, size=64)
        for kind, array in (("images", sample.image), ("labels", sample.instances)):
            picture = Image.fromarray(array.astype(np.uint8))
            picture.save(tmp_path / "data" / kind / f"{number}.png")
    path = tmp_path / "data" / "labels" / "3.png"
    path.write_bytes(path.read_bytes()[:50])
    for workers in (0, 2):
        command = f"pack folder {tmp_path}/data {tmp_path}/packed --split=all --workers={workers}"
        assert "3.png" in error(run(command, status=1))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("name", ["train", "predict", "pack"])
def test_control_c(request, start, run, name, workers):
    """At any moment, with and without workers, nothing of it runs or is left after 5 seconds."""
    command = request.getfixturevalue(name)
    run(command("first", workers))  # compiles
    began = time.monotonic()
    run(command("whole", workers))
    duration, draw, seconds = time.monotonic() - began, random.Random(workers), []
    for number in range(MOMENTS):
        process = start(command(f"{number}", workers))
        if process.wait(draw.uniform(0, 1) * duration) is None:
            process.signal_all(signal.SIGINT)
            seconds.append(process.seconds_to_end())
        # Python ends in its own way where it has not come to the library.
        status, begun = process.wait(), "jaxnuc" in process.output
        assert status in (0, 130, -signal.SIGINT) or (status == 1 and not begun), process.output
        assert process.shared_memory() == []
    print(f"{name}, {workers} workers: ended after {max(seconds, default=0):.1f} s at most")
