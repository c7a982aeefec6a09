"""Logs of a run: what is written, and that an interruption leaves no trace."""

import contextlib
import json
import math
import resource
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog

from jaxnuc.reports import plots
from jaxnuc.training.reporting import Reporter, read_log
from jaxnuc.training.tensorboard import EventFile

pytestmark = pytest.mark.usefixtures("drawn_curves")


def reporter(folder, **options):
    return Reporter(folder, total_steps=100, steps_per_epoch=10, quiet=True, **options)


def write(report, steps):
    for step in steps:
        report.log(step, {"train/loss": 1 / (step + 1), "learning_rate": 1e-3})
        if step % 4 == 0:
            report.event(step, f"event {step}")


def untimed(path):
    return [{k: v for k, v in line.items() if k != "time"} for line in read_log(path)]


def events(folder):
    """Reads TFRecords: length (8 bytes), its checksum (4), the record, its checksum (4)."""
    found = []
    for path in sorted(folder.glob("*tfevents*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_lines_hold_step_epoch_time_and_figures(tmp_path):
    with reporter(tmp_path / "new" / "run") as report:
        report.log(5, {"train/loss": np.float32(0.5), "validation/pq": 1})
        report.event(7, "switch to SGD")
    first, second = (tmp_path / "new" / "run" / "metrics.jsonl").read_text().splitlines()
    first, second = json.loads(first), json.loads(second)
    assert list(first) == ["step", "epoch", "time", "train/loss", "validation/pq"]
    assert (first["step"], first["epoch"], first["train/loss"]) == (5, 0.5, 0.5)
    assert 0 <= second["time"] - first["time"] < 3600
    assert (second["step"], second["event"]) == (7, "switch to SGD")


def test_epochs_are_left_out_where_they_are_unknown(tmp_path):
    with Reporter(tmp_path, total_steps=10, quiet=True) as report:
        report.log(1, {"train/loss": 1.0})
    assert list(read_log(tmp_path / "metrics.jsonl")[0]) == ["step", "time", "train/loss"]


def test_what_is_not_finite_is_null(tmp_path):
    with reporter(tmp_path) as report:
        report.log(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.1})
    text = (tmp_path / "metrics.jsonl").read_text()
    line = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert [line[name] for name in "abcd"] == [None, None, None, 0.1]


@pytest.mark.parametrize("torn", ["", '{"step": 31, "train/lo', "\0" * 20, '{"step"'])
def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path, torn):
    with reporter(tmp_path / "whole") as report:
        write(report, range(50))

    with reporter(tmp_path / "killed") as report:
        write(report, range(31))  # the last checkpoint was of step 20
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write(torn)
    with reporter(tmp_path / "killed", resumed_step=20) as report:
        write(report, range(21, 50))

    whole, killed = (tmp_path / name / "metrics.jsonl" for name in ("whole", "killed"))
    assert untimed(killed) == untimed(whole)
    assert len(read_log(killed)) == len(killed.read_bytes().splitlines())


def test_kept_lines_are_kept_to_the_byte(tmp_path):
    with reporter(tmp_path) as report:
        write(report, range(10))
    before = (tmp_path / "metrics.jsonl").read_bytes()
    reporter(tmp_path, resumed_step=9).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.jsonl", "tensorboard"]


def test_an_event_is_there_once_after_a_kill(tmp_path):
    """Of step 5, known at step 8: a checkpoint of step 6 was saved before."""
    path = tmp_path / "metrics.jsonl"
    for resumed, kept in ((8, 1), (6, 0)):
        with Reporter(tmp_path, total_steps=10, quiet=True) as report:
            report.event(5, "switch", {"rate": 0.1}, noticed=8)
        with Reporter(tmp_path, total_steps=10, resumed_step=resumed, quiet=True):
            assert len(read_log(path)) == kept
        path.unlink()


def test_a_run_without_a_checkpoint_starts_anew(tmp_path):
    for _ in range(2):
        with reporter(tmp_path) as report:
            write(report, range(5))
    assert [line["step"] for line in read_log(tmp_path / "metrics.jsonl")] == [0, 0, 1, 2, 3, 4, 4]


def test_a_log_damaged_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2"):
        reporter(tmp_path, resumed_step=3)
    path.write_text('[1]\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 1"):
        read_log(path)


@contextlib.contextmanager
def full_disk():
    """No file can be written in the block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_an_error_that_names_the_log(tmp_path):
    report = reporter(tmp_path)
    with full_disk():
        with pytest.raises(OSError, match=r"File too large: '.*metrics\.jsonl'"):
            report.log(1, {"train/loss": 1})
        with pytest.raises(OSError, match=f"File too large: '{tmp_path}'"):
            report.close()


def test_a_full_disk_is_an_error_that_names_the_events(tmp_path):
    """Not a wait for a thread that could not write, which is how this ended a training."""
    file = EventFile(tmp_path / "tensorboard", 0)
    match = f"File too large: '{tmp_path}/tensorboard'"
    with full_disk(), pytest.raises(OSError, match=match):
        file.figures(1, {"train/loss": 1})
    file.close()


def test_tensorboard_gets_the_scalars_and_where_to_purge(tmp_path):
    with reporter(tmp_path) as report:
        write(report, range(1, 4))
    # Within the same second: the second process must not overwrite the first one's file.
    with reporter(tmp_path, resumed_step=2) as report:
        report.log(3, {"train/loss": 0.125})
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    found = events(tmp_path / "tensorboard")
    scalars = [
        (event.step, value.tag, value.simple_value)
        for event in found
        for value in event.summary.value
        if value.tag == "train/loss"
    ]
    assert scalars == [(1, "train/loss", 0.5), *scalars[1:3], (3, "train/loss", 0.125)]
    assert [step for step, _, _ in scalars] == [1, 2, 3, 3]
    starts = [e.step for e in found if e.session_log.status == SessionLog.START]
    assert starts == [0, 3]  # a viewer drops what earlier files hold from these steps on


def test_reserved_names_are_refused(tmp_path):
    with reporter(tmp_path) as report, pytest.raises(ValueError, match="'time'"):
        report.log(1, {"time": 3.0})


def test_an_inactive_reporter_leaves_no_trace(tmp_path):
    with Reporter(tmp_path / "run", total_steps=3, active=False) as report:
        report.step(1, {"loss": 1.0}, images=4)
        report.log(1, {"train/loss": 1.0})
        report.event(1, "something")
        report.curves(final=True)
    report.close()
    assert not list(tmp_path.iterdir())


def test_the_bar_shows_loss_and_speed(tmp_path, capsys):
    with Reporter(tmp_path, total_steps=5, resumed_step=2) as report:
        for step in (3, 4, 5):
            report.step(step, {"loss": np.float32(0.25)}, images=8)
    shown = capsys.readouterr().err
    assert "5/5" in shown
    assert "loss 0.25" in shown
    assert "images/s" in shown


def test_a_quiet_reporter_prints_nothing(tmp_path, capsys):
    with reporter(tmp_path) as report:
        report.step(100, {"loss": 1.0}, images=8)
    assert capsys.readouterr() == ("", "")


def test_figures_in_computation_are_not_waited_for(tmp_path, capsys):
    class Pending:
        def __float__(self):
            raise AssertionError("waited for the device")

    with Reporter(tmp_path, total_steps=50) as report:
        for step in range(1, 20):  # the bar is not redrawn within the first moments
            report.step(step, {"loss": Pending()}, images=8)
    assert "0/50" in capsys.readouterr().err


def test_curves_have_a_fixed_size_and_are_replaced(tmp_path):
    with reporter(tmp_path) as report:
        report.curves(final=True)  # nothing logged yet
        empty = (tmp_path / "curves.png").read_bytes()
        write(report, range(50))
        report.log(50, {"train/loss": math.nan, "validation/pq_image_mean": 0.5})
        report.curves(final=True)
    assert (tmp_path / "curves.png").read_bytes() != empty
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1200, 1200)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["curves.png", "metrics.jsonl", "tensorboard"]


def test_little_time_is_spent_on_drawing(tmp_path, monkeypatch):
    """A clock on which drawing takes 3 s: pictures are 60 s and more apart, and one ends it all."""
    now, drawn = 0.0, []

    def png(figure):
        nonlocal now
        now += 3.0
        drawn.append(now)
        return b""

    monkeypatch.setattr("jaxnuc.training.reporting.plots.png", png)
    monkeypatch.setattr("jaxnuc.training.reporting.time.perf_counter", lambda: now)
    with reporter(tmp_path) as report:
        for _ in range(1000):
            now += 1.0
            report.curves()
        report.curves(final=True)
    assert drawn[0] == 23.0  # before, a picture is thought to take one second
    assert min(np.diff(drawn[:-1])) >= 60
    assert len(drawn) == pytest.approx(1000 / 60, abs=2)


def test_panels_axes_and_marks():
    lines = [
        {"step": 1, "train/loss": 4.0, "train/mask/dice": 0.5, "learning_rate": 0.1},
        {"step": 1, "train/gradient_norm": 30.0},
        {"step": 1, "validation/pq": 0.2, "validation/images": 67, "validation/loss": 3.0},
        {"step": 2, "event": "switch to SGD"},
        {"step": 3, "train/loss": 1.0, "train/mask/dice": None, "validation/pq": 0.4},
    ]
    losses, validation, norms, rate = plots.curves(lines).axes
    drawn = {line.get_label(): line for line in losses.lines}
    assert {"train/loss", "train/mask/dice", "validation/loss"} < set(drawn)
    np.testing.assert_array_equal(drawn["train/loss"].get_xydata(), [[1, 4.0], [3, 1.0]])
    np.testing.assert_array_equal(drawn["train/mask/dice"].get_ydata(), [0.5, math.nan])
    assert losses.get_yscale() == "log"
    assert validation.get_yscale() == rate.get_yscale() == "linear"
    assert validation.lines[0].get_label() == "validation/pq"
    assert norms.lines[0].get_label() == "train/gradient_norm"
    for axes in (losses, validation, norms, rate):
        np.testing.assert_array_equal(axes.lines[-1].get_xdata(), [2, 2])
    assert len(validation.lines) == 2  # the score and the mark: no count
    assert [text.get_text().strip() for text in losses.texts] == ["switch to SGD"]


def test_losses_that_are_not_positive_are_on_a_linear_axis():
    lines = [{"step": 1, "train/loss": 4.0}, {"step": 2, "train/loss": -1.0}]
    assert plots.curves(lines).axes[0].get_yscale() == "linear"


def test_drawing_leaves_pyplot_and_its_backend_alone(tmp_path):
    code = (
        "import sys, matplotlib\n"
        "matplotlib.use('svg')\n"
        "from jaxnuc.training.reporting import Reporter\n"
        f"with Reporter({str(tmp_path)!r}, 3, quiet=True) as report: report.curves(final=True)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.get_backend() == 'svg'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "curves.png").exists()
