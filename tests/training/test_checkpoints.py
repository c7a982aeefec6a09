"""Checkpoints that cannot be read, and which are kept."""

import gc
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxnuc
from jaxnuc.inference.run import evaluate_checkpoint
from jaxnuc.training import loop
from jaxnuc.training.loop import train_and_evaluate

# Orbax reads all arrays at once: what still comes after the first error finds its loop closed.
reads_damage = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _collect_here():
    """What a damaged read leaves behind shall not surface in a later test."""
    yield
    gc.collect()


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


@reads_damage
@pytest.mark.parametrize("damage", [garble, flip, empty_progress, lose_state])
def test_corrupt_checkpoints_are_set_aside(
    tmp_path, long_run, uninterrupted, same_run, caplog, damage
):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "checkpoints"
    steps = sorted(int(p.name) for p in folder.iterdir())
    damaged = steps[-2:] if len(steps) > 2 else steps[-1:]
    before = {}
    for step in damaged:
        damage(folder / str(step))
        files = (folder / str(step)).rglob("*")
        before[step] = {
            p.relative_to(folder / str(step)): p.read_bytes() for p in files if p.is_file()
        }

    train_and_evaluate(long_run, tmp_path)
    same_run(tmp_path, uninterrupted)
    for step in damaged:
        assert f"checkpoint {folder / str(step)} cannot be read" in caplog.text
        assert f"is set aside as {step}.corrupt" in caplog.text
        aside = folder / f"{step}.corrupt"
        after = {p.relative_to(aside): p.read_bytes() for p in aside.rglob("*") if p.is_file()}
        assert after == before[step]


@reads_damage
def test_nothing_that_can_be_read(tmp_path, long_run, uninterrupted):
    shutil.copytree(uninterrupted, tmp_path, dirs_exist_ok=True)
    steps = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    for step in steps:
        garble(tmp_path / "checkpoints" / str(step))
    with pytest.raises(ValueError, match=r"damaged|cannot be read"):
        jaxnuc.load(tmp_path)
    with pytest.raises(ValueError, match=r"none of the checkpoints .* can be read") as error:
        train_and_evaluate(long_run, tmp_path)
    assert str(tmp_path) in str(error.value)
    kept = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    assert kept == steps  # it may be the reader that is at fault


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
    from jaxnuc.training.checkpoints import find

    return find(workdir, which).name


def test_evaluation_from_the_workdir_alone(tmp_path, uninterrupted, saved):
    figures, folder = evaluate_checkpoint(
        uninterrupted, split="val", checkpoint="latest", output=tmp_path, progress=False
    )
    assert figures["images"] == 3
    assert {p.name for p in folder.iterdir()} == {"metrics.json", "per_image.csv", "overlays"}
    # The averaged parameters are those that are evaluated.
    state = saved(uninterrupted)
    bias = jaxnuc.load(uninterrupted, "latest").variables["params"]["mask_head"]["bias"]
    np.testing.assert_array_equal(bias, state["['ema']['mask_head']['bias']"])
    assert not np.array_equal(bias, state["['params']['mask_head']['bias']"])


def test_what_is_not_there(tmp_path, uninterrupted):
    with pytest.raises(FileNotFoundError, match="neither a workdir"):
        jaxnuc.load(tmp_path)
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


def test_eval_script(tmp_path, uninterrupted):
    script = Path(__file__).parents[2] / "eval.py"
    arguments = [f"--workdir={uninterrupted}", "--split=val", f"--output={tmp_path}"]

    def run(*more):
        command = [sys.executable, str(script), *arguments, *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("--checkpoint=latest", "--overlays=0")
    assert done.returncode == 0, done.stderr
    assert "pq" in done.stdout.lower()
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["metrics"]["images"] == 3
    assert figures["checkpoint_step"] == 10
    missing = run("--checkpoint=7")
    assert missing.returncode != 0
    assert "no checkpoint '7' in" in missing.stderr
    assert "there are [" in missing.stderr
