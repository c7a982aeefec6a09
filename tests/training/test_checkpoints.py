"""Checkpoints that cannot be read, and which are kept."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import jaxnuc
from jaxnuc import config as configs
from jaxnuc.cli.main import main
from jaxnuc.evaluation.checkpoint import Data, evaluate_checkpoint
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.run.checkpoints import find
from jaxnuc.training import loop
from jaxnuc.training.loop import train_and_evaluate

# In a process of its own: Orbax reads all arrays at once, and those that come after the first error
# find its event loop closed, which Python reports wherever the tests are by then.
SCRIPT = """
import json
import sys

import jaxnuc
from jaxnuc.config import from_json

config = from_json(json.loads(sys.argv[1]))
for workdir in sys.argv[2:]:
    for use in (jaxnuc.load, lambda path: jaxnuc.train_and_evaluate(config, path)):
        try:
            use(workdir)
        except ValueError as error:
            print(f"{workdir}: {error}")
"""

# Flips a bit at random in the latest of two checkpoints, sixty times, and reads all there is in it.
FLIPS = """
import dataclasses
import logging
import random
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
from flax import struct

from jaxnuc.run import checkpoints

@struct.dataclass
class State:
    step: np.ndarray
    params: dict
    ema: dict
    batch_stats: dict

def state(step):
    rng = np.random.default_rng(step)
    params, ema = ({"a": {"kernel": rng.random((9, 30, 8), np.float32)}} for _ in range(2))
    return State(np.array(step, np.int32), params, ema, {"mean": rng.random(50, np.float32)})

class Keep(logging.Handler):
    def emit(self, record):
        words.append(record.getMessage())

def plain(tree):
    return repr(jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), tree))

def read(reader):
    try:
        return plain(reader())
    except ValueError as error:
        return f"error: {error}"

def resumed():
    with checkpoints.Checkpoints(workdir) as run:
        return run.restore(template)

def readings():
    folder = workdir / "checkpoints" / "2"
    readers = {
        "best": lambda: checkpoints.find(workdir).name,
        "config": lambda: checkpoints.read_config(folder),
        "label sets": lambda: checkpoints.read_label_sets(folder),
        "thresholds": lambda: checkpoints.read_thresholds(folder),
        "model": lambda: dataclasses.astuple(checkpoints.read_model(folder)),
        "resumed": resumed,
    }
    return {name: read(reader) for name, reader in readers.items()}

words = []
logger = logging.getLogger("jaxnuc.run.checkpoints")
logger.addHandler(Keep())
template = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state(0))
whole, workdir = Path(sys.argv[1], "whole"), Path(sys.argv[1], "run")
for step in (1, 2):
    with checkpoints.Checkpoints(whole) as run:
        run.save(state(step), {"next": step}, {"ema_decay": 0.9}, step / 10, areas=[1.5, 2, 3])
checkpoints.write_thresholds(whole / "checkpoints" / "2", {"prob": 0.25}, 0.5)
shutil.copytree(whole, workdir)
right = readings()
assert not any(text.startswith("error") for text in right.values()), right
earlier = plain((state(1), {"next": 1}))
draw, noticed, effects = random.Random(0), 0, []
files = [p.relative_to(whole) for p in sorted((whole / "checkpoints" / "2").rglob("*"))]
files = [p for p in files if (whole / p).is_file() and (whole / p).stat().st_size]
for trial in range(60):
    shutil.rmtree(workdir)
    shutil.copytree(whole, workdir)
    path = workdir / files[trial % len(files)]
    data = bytearray(path.read_bytes())
    bit = draw.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    words.clear()
    found = readings()
    noticed += any(found[name] != right[name] for name in right)
    for name, text in found.items():
        named = text.startswith("error") and str(workdir) in text
        if name == "resumed" and text == earlier:
            named = any(f"{workdir}/checkpoints/2 cannot be read" in word for word in words)
        if text != right[name] and not named:
            effects.append((trial, str(path), bit, name, text[:200]))
print(noticed, effects)
"""


@pytest.fixture
def go_on(tmp_path, long_run, compilation_cache, run_script):
    """Loads each of the workdirs, trains it to the end, and returns what was printed."""

    def run(*workdirs):
        script = tmp_path / "go_on.py"
        script.write_text(SCRIPT)
        given = json.dumps(configs.to_json(long_run)), *workdirs
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(compilation_cache)}
        done = run_script(script, *given, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return run


def garble(checkpoint):
    """Cuts every array file of a checkpoint in half, as a full disk does."""
    for path in array_files(checkpoint):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(checkpoint):
    """Inverts a byte in the middle of every array file, as a bad disk does."""
    for path in array_files(checkpoint):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)


def empty_progress(checkpoint):
    for path in (checkpoint / "progress").iterdir():
        path.write_bytes(b"")


def lose_state(checkpoint):
    shutil.rmtree(checkpoint / "state")


def array_files(checkpoint):
    files = [p for p in (checkpoint / "state").rglob("*") if p.is_file() and "/d/" in p.as_posix()]
    assert files
    return files


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_corrupt_checkpoints_are_set_aside(tmp_path, uninterrupted, same_run, go_on):
    damages = (garble, flip, empty_progress, lose_state)
    workdirs = [shutil.copytree(uninterrupted, tmp_path / d.__name__) for d in damages]
    before = []
    for damage, workdir in zip(damages, workdirs, strict=True):
        damage(workdir / "checkpoints" / "10")
        before.append(contents(workdir / "checkpoints" / "10"))

    _, warnings = go_on(*workdirs)
    for workdir, damaged in zip(workdirs, before, strict=True):
        newest = workdir / "checkpoints" / "10"
        assert f"checkpoint {newest} cannot be read" in warnings
        assert f"{newest} is set aside as 10.corrupt" in warnings
        assert contents(workdir / "checkpoints" / "10.corrupt") == damaged
        same_run(workdir, uninterrupted)


def test_only_one_line_of_notes_that_are_damaged(tmp_path, uninterrupted, go_on):
    workdir = shutil.copytree(uninterrupted, tmp_path / "run")
    notes = workdir / "checkpoints" / "10" / "_CHECKPOINT_METADATA"
    notes.write_bytes(notes.read_bytes()[:99])
    _, warnings = go_on(workdir)
    assert [line for line in warnings.splitlines() if "METADATA" in line] == [
        f"WARNING:jaxnuc.run.checkpoints:{notes} is damaged; nothing in it is needed"
    ]


def test_a_flipped_bit_is_named_or_without_effect(tmp_path, run_script):
    script = tmp_path / "flips.py"
    script.write_text(FLIPS)
    done = run_script(script, tmp_path)
    assert done.returncode == 0, done.stderr
    noticed, effects = done.stdout.split(maxsplit=1)
    assert effects.strip() == "[]"
    assert int(noticed) > 20


def test_nothing_that_can_be_read(tmp_path, uninterrupted, go_on):
    workdir = shutil.copytree(uninterrupted, tmp_path / "run")
    steps = sorted(int(p.name) for p in (workdir / "checkpoints").iterdir())
    for step in steps:
        garble(workdir / "checkpoints" / str(step))
    before = contents(workdir)
    printed, _ = go_on(workdir)
    loading, training = printed.splitlines()
    assert "cannot be read" in loading
    assert "take another by --checkpoint=STEP" in loading
    assert f"none of the checkpoints {steps} in {workdir / 'checkpoints'} can be read" in training
    assert contents(workdir) == before  # it may be the reader that is at fault


def test_best_and_latest_are_kept(tmp_path, tiny, monkeypatch):
    figures = iter([0.3, 0.9, 0.2, 0.4, 0.1])
    monkeypatch.setattr(loop, "validate", lambda *_, **__: {"dice_image_mean": next(figures)})
    config = tiny(duration="10 steps", **{"evaluation.every": "2 steps"})
    train_and_evaluate(config, tmp_path)
    kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    assert kept == [4, 8, 10]
    folders = {w: loop_folder(tmp_path, w) for w in ("best", "latest", 8)}
    assert folders == {"best": "4", "latest": "10", 8: "8"}


def loop_folder(workdir, which):
    from jaxnuc.run.checkpoints import find

    return find(workdir, which).name


def test_evaluation_from_the_workdir_alone(tmp_path, uninterrupted, saved):
    figures, folder = evaluate_checkpoint(
        uninterrupted,
        "latest",
        output=tmp_path,
        data=Data("val"),
        options=EvaluationOptions(progress=False),
    )
    assert figures["images"] == 3
    pages = {"calibration.csv", "calibration.png", "report.html"}
    assert {p.name for p in folder.iterdir()} == {
        "metrics.json",
        "per_image.csv",
        "counts.csv",
        "overlays",
    } | pages
    # The averaged parameters are those that are evaluated.
    state = saved(uninterrupted)
    bias = jaxnuc.load(uninterrupted, "latest").variables[0]["params"]["mask_head"]["bias"]
    np.testing.assert_array_equal(bias, state["['ema']['mask_head']['bias']"])
    assert not np.array_equal(bias, state["['params']['mask_head']['bias']"])


def test_what_is_not_there(tmp_path, uninterrupted):
    with pytest.raises(FileNotFoundError, match="neither a workdir"):
        jaxnuc.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="neither a workdir"):
        find("./hee")
    message = (
        r"unknown model 'hee'; the models are .*; did you mean 'he'\? there is no workdir /.*hee"
    )
    with pytest.raises(FileNotFoundError, match=message):
        find("hee")
    with pytest.raises(FileNotFoundError, match=r"the models are [^;]*; there is no workdir"):
        find("qqqqqq")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 7 in .*; there are \["):
        jaxnuc.load(uninterrupted, 7)


def test_average_follows_its_formula(tmp_path, tiny, saved):
    config = tiny(ema_decay=0.99, duration="2 steps", schedule={"name": "constant"})
    config.checkpoint_every = "1 steps"
    train_and_evaluate(config, tmp_path)
    one, two = saved(tmp_path, 1), saved(tmp_path, 2)
    decay = 2 / 11  # (1 + step) / (10 + step): early on less than what is configured
    for key in (k for k in one if k.startswith("['ema']")):
        params = two[key.replace("ema", "params")]
        expected = decay * one[key] + (1 - decay) * params
        np.testing.assert_allclose(two[key], expected, rtol=1e-5, atol=1e-7)
        assert key.endswith("['bias']") or not np.array_equal(two[key], params)


def test_eval_script(tmp_path, uninterrupted, capsys, run_script):
    script = Path(__file__).parents[2] / "eval.py"
    arguments = [f"--workdir={uninterrupted}", "--split=val", f"--output={tmp_path}"]
    done = run_script(script, *arguments, "--checkpoint=latest", "--overlays=0")
    assert done.returncode == 0, done.stderr
    assert "pq" in done.stdout.lower()
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["metrics"]["images"] == 3
    assert figures["checkpoint"] == "10"
    assert main(["evaluate", *arguments, "--checkpoint=7"]) == 1
    error = capsys.readouterr().err
    assert "no checkpoint '7' in" in error
    assert "there are [" in error
