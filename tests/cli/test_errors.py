"""A mistake of the user is one line; a fault of the program shows its traceback."""

import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from jaxnuc.cli import score

MISTAKES = {
    "unknown command": (["trian"], 2, "unknown command 'trian'.*did you mean 'train'"),
    "unknown flag": (["train", "--workdir=w", "--wrokdir=x"], 2, "mean --workdir"),
    "missing flag": (["train", "--config=quickstart"], 2, "required: --workdir"),
    "value of a flag": (["evaluate", "--workdir=w", "--overlays=x"], 2, "invalid int value"),
    "symmetries": (["evaluate", "--workdir=w", "--symmetries=3"], 2, "invalid choice: 3"),
    "size": (["export", "--workdir=w", "--output=o", "--size=2"], 2, "is not H,W"),
    "call": (["inspect", "consep(merge", "r"], 2, "nor a call"),
    "argument of a source": (["inspect", "consep(merge=yes)", "r"], 2, "not a literal.*quotes"),
    "argument without a name": (["inspect", "consep(True)", "r"], 2, "need names"),
    "split as an argument": (["pack", "consep(split='x')", "r", "o"], 2, "its own"),
    "config": (["train", "--config=quikstart", "--workdir=w"], 1, "mean 'quickstart'"),
    "config file": (["train", "--config=no/such.py", "--workdir=w"], 1, "no/such.py: no such file"),
    "config argument": (["train", "--config=quickstart:small", "--workdir=w"], 1, "no arguments"),
    "key": (["train", "--workdir=w", "--config.sed=1"], 1, "did you mean 'seed'"),
    "type": (["train", "--workdir=w", "--config.seed=x"], 1, "'x' is not of type int"),
    "network": (["train", "--workdir=w", "--config.model.name=unt"], 1, "mean 'unet'"),
    "argument of a network": (["train", "--workdir=w", "--config.model.layrs=3"], 1, "layers"),
    "duration": (["train", "--workdir=w", "--config.duration=2 hours"], 1, "duration='2 hours'"),
    "root": (
        ["train", "--workdir=w", "--config.data.source={'name': 'dsb2018'}"],
        1,
        "'dsb2018'.*root",
    ),
    "files": (
        [
            *("train", "--workdir=w", "--config.data.source={'name': 'dsb2018'}"),
            "--config.data.root=nowhere",
        ],
        1,
        "nowhere",
    ),
    "workdir": (["evaluate", "--workdir=nowhere"], 1, "nowhere"),
    "workdir of predict": (
        ["predict", "--workdir=nowhere", "--input=i", "--output=o"],
        1,
        "nowhere",
    ),
    "workdir of export": (["export", "--workdir=nowhere", "--output=o"], 1, "nowhere"),
    "format": (
        ["predict", "--workdir=w", "--input=i", "--output=o", "--format=geojsn"],
        1,
        "did you mean 'geojson'",
    ),
    "shard": (["predict", "--workdir=w", "--input=i", "--output=o", "--shard=3/2"], 1, "3/2"),
    "source": (["inspect", "consepp", "x"], 1, "did you mean 'consep'"),
    "source of pack": (["pack", "consepp", "x", "y"], 1, "did you mean 'consep'"),
    "folder of label images": (["score", "nowhere", "nowhere"], 1, "nowhere"),
    "evaluation": (["compare", "nowhere", "nowhere"], 1, "nowhere/metrics.json: no such file"),
    "one evaluation": (["compare", "nowhere"], 1, "two evaluations are compared, got 1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(jaxnuc, tmp_path, name):
    arguments, status, message = MISTAKES[name]
    done = jaxnuc(*arguments)
    assert done.status == status, done
    assert done.out == ""
    assert re.search(message, done.error), done.error
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_a_folder_without_an_image(jaxnuc, tmp_path, trained):
    (tmp_path / "empty").mkdir()
    done = jaxnuc("predict", f"--workdir={trained}", "--input=empty", "--output=o")
    assert done.status == 1
    assert "empty" in done.error


@pytest.mark.slow
def test_a_damaged_checkpoint(jaxnuc, tmp_path, trained):
    shutil.copytree(trained, tmp_path / "run")
    (state,) = (tmp_path / "run").glob("checkpoints/*/state")
    for file in state.rglob("*"):
        if file.is_file():
            file.write_bytes(b"damaged")
    done = jaxnuc("evaluate", "--workdir=run")
    assert done.status == 1
    assert "damaged" in done.error


@pytest.mark.slow
def test_another_configuration_of_a_run(jaxnuc, trained):
    done = jaxnuc("train", f"--workdir={trained}", "--config.seed=5")
    assert done.status == 1
    assert "error: " in done.err
    assert "seed" in done.err
    assert "Traceback" not in done.err


def test_a_configuration_with_a_syntax_error(jaxnuc, tmp_path):
    (tmp_path / "page.py").write_text("def get_config(:\n")
    done = jaxnuc("train", "--config=page.py", "--workdir=w")
    assert done.status == 1
    assert re.search(r"invalid syntax \(page\.py, line 1\)", done.error)


def fail_with(monkeypatch, error):
    def run(options):
        raise error

    monkeypatch.setattr(score, "run", run)


def test_notes_follow_on_the_same_line(jaxnuc, monkeypatch):
    error = OSError("the disk is full")
    error.add_note("run again to continue")
    fail_with(monkeypatch, error)
    assert jaxnuc("score", "a", "b").error == "error: the disk is full; run again to continue"


def test_debug_shows_the_traceback(jaxnuc):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        jaxnuc("compare", "nowhere", "nowhere", "--debug")


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), AssertionError()])
def test_a_fault_of_the_program_shows_its_traceback(jaxnuc, monkeypatch, error):
    fail_with(monkeypatch, error)
    with pytest.raises(type(error)):
        jaxnuc("score", "a", "b")


def test_shapes_that_jax_refuses_are_a_fault(jaxnuc, monkeypatch):
    """A ValueError too, but not one about what the user gave."""
    module = types.ModuleType("jax.numpy_like")
    exec("def run(options): raise ValueError('shapes (3,) and (4,)')", module.__dict__)
    monkeypatch.setattr(score, "run", module.run)
    with pytest.raises(ValueError, match="shapes"):
        jaxnuc("score", "a", "b")


def test_an_interruption_is_quiet(jaxnuc, monkeypatch):
    fail_with(monkeypatch, KeyboardInterrupt())
    done = jaxnuc("score", "a", "b")
    assert (done.status, done.out, done.err) == (130, "", "")


@pytest.mark.slow
def test_a_reader_that_has_enough(tmp_path):
    """`jaxnuc train --list-configs | head` and the like end without an error."""
    for name in ("truth", "prediction"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", np.eye(8, dtype=np.int32))
    command = f"{sys.executable} -m jaxnuc score truth prediction | true"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
