"""Commands run in the process of the tests, in a folder of their own."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from jaxnuc.cli.main import main

# The quickstart, as short and small as it can be.
TINY = (
    "--config=quickstart",
    "--config.duration=2 steps",
    "--config.evaluation.every=2 steps",
    "--config.schedule.warmup=1 step",
    "--config.batch_size=2",
    "--config.model.layers=1",
    "--config.model.base_filters=4",
    "--config.data.source.size=32",
)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a user's error."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.err.splitlines()[-1] == line
        return line


@pytest.fixture
def jaxnuc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """`jaxnuc("score", "truth", "prediction")` runs a command in `tmp_path`.

    `jaxnuc("train", ...)` without a configuration gets one that is tiny.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        given = [str(each) for each in arguments]
        if given[:1] == ["train"] and not any(each.startswith("--config") for each in given[1:2]):
            given[1:1] = TINY
        try:
            status = main(given)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        return Done(status, *capsys.readouterr())

    return run


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch, blank_charts: None) -> None:
    """Trainings draw no curves, which take longer than the steps, and evaluations no charts."""
    monkeypatch.setattr("jaxnuc.training.reporting.Reporter.curves", lambda *_, **__: None)


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Arguments of `jaxnuc train` for a network and a training that are tiny."""
    return TINY


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a tiny run."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", *TINY, f"--workdir={workdir}"]) == 0
    return workdir
