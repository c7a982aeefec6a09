"""A training that is killed anywhere and started again ends as if nothing had happened."""

import json
import os
import signal
import time
from pathlib import Path

from jaxnuc.training.loop import train_and_evaluate

KILL_AT_LINE = """
log = Reporter.log

def log_and_die(self, step, values):
    log(self, step, values)
    if step == {step} and any(name.startswith({prefix!r}) for name in values):
        {kill}

Reporter.log = log_and_die
"""
# What is written to a temporary folder becomes a checkpoint by being renamed.
KILL_WHILE_SAVING = """
def die(event, arguments):
    name = str(arguments[0]) if event == "os.rename" else ""
    if "orbax-checkpoint-tmp" in name and "/{step}." in name:
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
"""


def at_line(step, prefix="train/", kill="os.kill(os.getpid(), signal.SIGKILL)"):
    return KILL_AT_LINE.format(step=step, prefix=prefix, kill=kill)


def checkpoint_names(workdir: Path) -> set[str]:
    return {path.name for path in (workdir / "checkpoints").iterdir()}


def group_is_gone(group: int) -> bool:
    """Whether the processes of a group, and so the input workers, have ended."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_killed_at_any_step(tmp_path, start, finish, long_run, uninterrupted, same_run, lines):
    long_run = long_run.copy_and_resolve_references()
    finish(start(long_run, tmp_path, hook=at_line(2)), status=-signal.SIGKILL)
    assert not checkpoint_names(tmp_path)
    assert [x["step"] for x in lines(tmp_path)] == [1, 2]

    # Within the save at step 6: what is half there is no checkpoint.
    hook = KILL_WHILE_SAVING.format(step=6)
    finish(start(long_run, tmp_path, hook=hook), status=-signal.SIGKILL)
    names = checkpoint_names(tmp_path)
    assert "3" in names
    assert "6" not in names
    assert any(name.startswith("6.orbax-checkpoint-tmp") for name in names)

    # After the evaluation at step 8 and before its checkpoint, with a process that reads ahead.
    long_run.data.workers = 1
    hook = at_line(8, "validation/")
    process = start(long_run, tmp_path, hook=hook)
    finish(process, status=-signal.SIGKILL)
    assert "8" not in checkpoint_names(tmp_path)
    assert group_is_gone(process.pid), "input workers end with the training"

    long_run.data.workers = 0
    finish(start(long_run, tmp_path))
    assert checkpoint_names(tmp_path) == checkpoint_names(uninterrupted)
    same_run(tmp_path, uninterrupted)


def test_sigterm_saves_and_exits_with_143(
    tmp_path, start, finish, long_run, uninterrupted, same_run
):
    long_run = long_run.copy_and_resolve_references()
    long_run.data.workers = 1
    # To the whole group, as a terminal or a scheduler sends it: input workers get it as well.
    hook = at_line(5, kill="os.killpg(0, signal.SIGTERM)")
    output = finish(start(long_run, tmp_path, hook=hook), status=143)
    assert "SIGTERM: saved at step 5; run again to go on" in output
    assert "5" in checkpoint_names(tmp_path)
    events = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [x["event"] for x in events if "event" in x] == ["stopped by SIGTERM"]

    long_run.data.workers = 0
    train_and_evaluate(long_run, tmp_path)
    same_run(tmp_path, uninterrupted)


def test_finished_run_is_left_alone_and_can_be_lengthened(
    tmp_path, monkeypatch, tiny, saved, lines
):
    monkeypatch.chdir(tmp_path)
    config = tiny(schedule={"name": "constant"}, duration="4 steps")
    figures = train_and_evaluate(config, "run")  # relative to the working folder
    run = tmp_path / "run"
    assert figures["images"] == 3
    before = {p: p.stat().st_mtime_ns for p in run.rglob("checkpoints/**/*") if p.is_file()}

    assert train_and_evaluate(config, "run") == figures
    after = {p: p.stat().st_mtime_ns for p in run.rglob("checkpoints/**/*") if p.is_file()}
    assert before == after

    # With a constant rate the longer run is the one that would have been.
    config.duration = "8 steps"
    longer = train_and_evaluate(config, run)
    assert longer == train_and_evaluate(config, tmp_path / "other")
    one, other = saved(run), saved(tmp_path / "other")
    assert all((one[key] == other[key]).all() for key in one)
    assert lines(run) == lines(tmp_path / "other")


def test_figures_that_are_no_number_survive_a_restart(tmp_path, tiny, monkeypatch):
    """Without nuclei anywhere PQ is not a number, which JSON cannot say."""
    from jaxnuc.training import loop

    figures = {"dice_image_mean": float("nan"), "images": 3}
    monkeypatch.setattr(loop, "validate", lambda *_, **__: dict(figures))
    config = tiny(duration="3 steps")
    first = train_and_evaluate(config, tmp_path)
    again = train_and_evaluate(config, tmp_path)
    assert str(first) == str(again) == str(figures)
