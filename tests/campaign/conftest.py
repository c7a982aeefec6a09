"""Commands in sessions of their own, and what they leave."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jaxnuc.run import checkpoints
from jaxnuc.run.log import LOG, read_log

SHARED_MEMORY = Path("/dev/shm")
PATIENCE = float(os.environ.get("CAMPAIGN_PATIENCE", 5))  # seconds for all processes to end
SMALL = (
    "--config.evaluation.every=6~steps --config.checkpoint_every=2~steps --config.batch_size=2"
    " --config.log_every=1 --config.schedule.warmup=2~steps --config.duration=12~steps"
)


class Process:
    """`jaxnuc` in a session of its own, with what it prints in a file."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        words = [word.replace("~", " ") for word in command.split()]
        self._file = (folder / f"{time.monotonic_ns()}.txt").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jaxnuc", *words],
            env=environment,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Where the tests run in the background it may be ignored, and would be by the command.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        return Path(self._file.name).read_text()

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit status; None where it has none yet after so many seconds."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def signal_all(self, number: int) -> None:
        """To all of its processes, as a terminal sends Ctrl-C."""
        os.killpg(self.pid, number)

    def processes(self) -> dict[int, str]:
        """Its processes that run, with what they were started by."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.pid and state not in "ZX":
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found[int(folder.name)] = command
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def workers(self) -> list[int]:
        """Its processes that multiprocessing has started for work."""
        return [pid for pid, text in self.processes().items() if "spawn_main" in text]

    def seconds_to_end(self) -> float:
        """How long it takes from now until no process of it runs: `PATIENCE` at most."""
        began = time.monotonic()
        while (left := self.processes()) and time.monotonic() - began < PATIENCE:
            time.sleep(0.05)
        assert not left, (left, self.output)
        return time.monotonic() - began

    def shared_memory(self) -> list[str]:
        """What is left of its shared memory."""
        return [p.name for p in SHARED_MEMORY.glob(f".*.jaxnuc{self.pid}-*")]

    def kill(self) -> None:
        """Kills all of it, whatever it does."""
        if self.processes():
            self.signal_all(signal.SIGKILL)
        self._process.wait()
        self._file.close()


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Process]]:
    """`start(command, **environment)` starts a `Process`; `~` stands for a blank within a word."""
    folder = tmp_path_factory.mktemp("temporary")
    processes = []

    def run(command: str, **environment: str) -> Process:
        process = Process(command, folder, os.environ | {"TMPDIR": str(folder)} | environment)
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()


@pytest.fixture
def run(start: Callable[..., Process]) -> Callable[..., str]:
    """`run(command, status=0)` runs it to its end, checks its status, and returns its output."""

    def to_the_end(command: str, status: int = 0, **environment: str) -> str:
        process = start(command, **environment)
        assert process.wait(600) == status, process.output
        process.seconds_to_end()
        assert process.shared_memory() == []
        return process.output

    return to_the_end


def error_of(output: str) -> str:
    """The only line of an error."""
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in output, output
    return line


@pytest.fixture
def error() -> Callable[[str], str]:
    return error_of


def training(workdir: Path, workers: int = 0) -> str:
    return (
        f"train --config=quickstart {SMALL} --config.data.source.size=64 --config.model.layers=1"
        f" --config.data.workers={workers} --workdir={workdir}"
    )


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., str]:
    """`train(name, workers=0)`: the command of a small training in the workdir of this name."""
    return lambda name, workers=0: training(tmp_path / name, workers)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of that training, done at one go."""
    folder = tmp_path_factory.mktemp("trained")
    finished(training(folder / "run"), folder)
    return folder / "run"


def finished(command: str, folder: Path) -> None:
    process = Process(command, folder, dict(os.environ))
    assert process.wait() == 0, process.output
    process.kill()


@pytest.fixture
def same_training() -> Callable[[Path, Path], None]:
    """Asserts that two workdirs hold one training to the bit, and nothing unfinished."""

    def compare(one: Path, other: Path) -> None:
        logs, digests = [], []
        for workdir in (one, other):
            lines = read_log(workdir / LOG)
            logs.append([{k: v for k, v in line.items() if k != "time"} for line in lines])
            folder = checkpoints.find(workdir, "latest")
            digests.append(json.loads((folder / "digests" / "arrays.json").read_text()))
            assert unfinished(workdir) == []
        assert logs[0] == logs[1]
        assert digests[0] == digests[1]

    return compare


@pytest.fixture
def same_files() -> Callable[[Path, Path], None]:
    """Asserts that two folders hold the same results to the byte, and nothing unfinished."""

    def compare(one: Path, other: Path) -> None:
        assert contents(one)
        assert contents(one) == contents(other)
        assert unfinished(one) == unfinished(other) == []

    return compare


def unfinished(folder: Path) -> list[Path]:
    return [p for p in folder.rglob(".*") if ".jaxnuc" in p.name or p.name.startswith(".lock")]


def contents(folder: Path) -> dict[str, bytes]:
    """The files of results; summaries and pages say how long it took."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix in (".csv", ".geojson", ".tif", ".tiff", ".arrayrecord")
        and path.name != "summary.csv"
    }


def prediction(workdir: Path, images: Path, output: Path, workers: int = 0) -> str:
    return (
        f"predict --workdir={workdir} --input={images} --output={output}"
        f" --format=csv,geojson,tiff --patch=128 --overlap=32 --tile=256 --workers={workers}"
    )


@pytest.fixture(scope="session")
def predicted(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """What is found in four images at one go; they lie beside it, in `images`."""
    from PIL import Image

    from jaxnuc.data.synthetic import generate

    folder = tmp_path_factory.mktemp("predicted")
    (folder / "images").mkdir()
    for number in range(4):
        image = generate(number, size=600).image
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
    finished(prediction(trained, folder / "images", folder / "found"), folder)
    return folder / "found"


@pytest.fixture
def predict(tmp_path: Path, trained: Path, predicted: Path) -> Callable[..., str]:
    """`predict(name, workers=0)`: the command of that prediction to a folder of this name."""
    images = predicted.with_name("images")
    return lambda name, workers=0: prediction(trained, images, tmp_path / name, workers)


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., str]:
    """`pack(name, workers=0)`: the command of a packing."""

    def command(name: str, workers: int = 0) -> str:
        return (
            f"pack synthetic(size=96) {tmp_path / name} --samples=120 --shards=12"
            f" --workers={workers}"
        )

    return command
