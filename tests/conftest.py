"""Where the tests find reference values and real images."""

import gc
import io
import json
import os
import select
import socket
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook
from PIL import Image

# Functions of these packages check the shapes and types that they are annotated with, in all tests.
# The hook takes the checker by the name of a module; an int is good enough for a float.
checker = types.ModuleType("shape_checker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[checker.__name__] = checker
CHECKED = ["jaxnuc.losses", "jaxnuc.models", "jaxnuc.representations"]
install_import_hook(CHECKED, "shape_checker.check")

# A program of the tests runs once or twice: what the compiler does to make it fast would not pay,
# and takes two thirds of the time. In one piece it compiles with less work than in one a core. JAX
# reads this when it starts.
FLAGS = ["--xla_cpu_parallel_codegen_split_count=1"]
JAXLIB = [*map(int, metadata.version("jaxlib").split(".")[:2])]
if JAXLIB >= [0, 10]:  # earlier ones then add float32 one by one, which loses 1e-2 of a gradient
    FLAGS.append("--xla_backend_optimization_level=0")
if JAXLIB <= [0, 10]:  # later ones do not know it
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))
# Where in the sources an operation comes from takes a tenth of a trace to find out.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
# Nor are the names of a network's parts in a trace read by anyone.
os.environ.setdefault("FLAX_PROFILE", "0")
# Where there is a compilation cache, it keeps small programs too: nearly all of them are small.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# Tests give the folders that they read; where the data sets of this machine lie is not theirs.
os.environ.pop("JAXNUC_DATA", None)

# Where test processes keep all processors busy, each has one of its own: threads of the one would
# only take turns with those of the other. JAX has as many threads as there are processors for it.
if hasattr(os, "sched_setaffinity"):
    processors = sorted(os.sched_getaffinity(0))
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) >= len(processors) > 1:
        number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
        os.sched_setaffinity(0, {processors[number % len(processors)]})

# Each test process has its own compilation cache: one might read what another has half written.
if "PYTEST_XDIST_WORKER" in os.environ and "JAX_COMPILATION_CACHE_DIR" in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] += "/" + os.environ["PYTEST_XDIST_WORKER"]

# Nearly every test of these compiles a network. Slow ones elsewhere are marked one by one.
SLOW = (
    *("evaluation", "losses", "models", "optim", "packaging", "prediction", "pretrained"),
    *("campaign", "representations", "training", "test_readme.py", "test_systems_doc.py"),
    "tutorials",
)
# Run only where they are named: each takes many minutes.
ASKED_FOR = ("campaign", "tutorials")


def _slow(path: Path) -> bool:
    folder = Path(__file__).parent
    return folder in path.parents and path.relative_to(folder).parts[0] in SLOW


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out what has to be asked for.

    And spares `make check` the files of which it would leave out every test.
    """
    name = collection_path.name
    if collection_path.parent == Path(__file__).parent and name in ASKED_FOR:
        return None if any(name in each for each in config.args) else True
    return True if config.option.markexpr == "not slow" and _slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow what `make check` leaves out, and puts files with slow tests first.

    So the last files of two processes are short, and neither waits long for the other.
    """
    for item in items:
        if _slow(item.path):
            item.add_marker(pytest.mark.slow)
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """Spares the garbage collector what stays to the end: modules and tests, a million objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)  # a trace makes many objects at once, hardly any in circles


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """The names of what JAX compiles, or reads from its cache, while the test runs."""
    from jax import monitoring

    names: list[str] = []

    def note(event: str, seconds: float, **details: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(details["fun_name"])

    monitoring.register_event_duration_secs_listener(note)
    yield names
    # JAX before 0.8 has no such function: the listener stays, for nobody.
    getattr(monitoring, "unregister_event_duration_listener", lambda _: None)(note)


SHARED = Path(os.environ.get("JAXNUC_SHARED", Path(__file__).parents[2] / "shared"))


def _existing(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not at hand: set JAXNUC_SHARED to the folder that holds it")
    return path


@pytest.fixture
def double_precision() -> Iterator[None]:
    """JAX computes in float64 where it is given float64."""
    import jax

    if hasattr(jax, "enable_x64"):
        enable = jax.enable_x64
    else:  # before 0.8
        from jax.experimental import enable_x64 as enable
    with enable(True):
        yield


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """`shared_data("dsb2018")`: a path below the folder of real images, or a skip."""
    return lambda name: _existing(SHARED / "data" / name)


@pytest.fixture
def golden() -> Callable[[str], tuple[Mapping[str, np.ndarray], dict[str, Any]]]:
    """`golden("metrics")`: arrays and scalars made with the reference implementations."""

    def load(name: str) -> tuple[Mapping[str, np.ndarray], dict[str, Any]]:
        folder = _existing(SHARED / "golden")
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            return dict(arrays), json.loads((folder / f"{name}.json").read_text())

    return load


class Forked:
    """A process of the fork server, with what the tests use of `subprocess.Popen`."""

    def __init__(self, args: list[str], report: int) -> None:
        self.args = args
        self.returncode: int | None = None
        self._report = os.fdopen(report, "rb", buffering=0)
        self.pid = int(self._report.readline())

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._report.readline())
            self._report.close()
        return self.returncode


@pytest.fixture(scope="session")
def fork() -> Iterator[Callable[..., Forked]]:
    """`fork([script, *arguments], output, errors, env=None)`: Python in a session of its own.

    It has the library imported already, see fork_server.py. There is a server for each setting of
    what JAX reads when it is imported.
    """
    servers: dict[frozenset[tuple[str, str]], tuple[socket.socket, subprocess.Popen]] = {}

    def start(
        arguments: Sequence[object],
        output: IO[Any],
        errors: IO[Any],
        env: Mapping[str, str] | None = None,
    ) -> Forked:
        environment = dict(os.environ if env is None else env)
        settings = frozenset(x for x in environment.items() if x[0].startswith("JAX_"))
        if settings not in servers:
            script = Path(__file__).with_name("fork_server.py")
            ours, theirs = socket.socketpair()
            with theirs:
                server = subprocess.Popen([sys.executable, script], stdin=theirs, env=environment)
            servers[settings] = ours, server
        given = [str(each) for each in arguments]
        message = json.dumps([given, os.getcwd(), environment]).encode() + b"\n"
        report, theirs_to_write = os.pipe()
        files = [output.fileno(), errors.fileno(), theirs_to_write]
        socket.send_fds(servers[settings][0], [message], files)
        os.close(theirs_to_write)
        return Forked(given, report)

    yield start
    for ours, server in servers.values():
        ours.close()
        server.wait()


@pytest.fixture
def run_script(
    fork: Callable[..., Forked], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`run_script(script, *arguments, env=None)` is `subprocess.run` by the fork server."""

    def run(
        *arguments: object, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        folder = tmp_path_factory.mktemp("script")
        with (folder / "output").open("w+") as output, (folder / "errors").open("w+") as errors:
            process = fork(arguments, output, errors, env)
            status = process.wait(timeout=300)
            texts = [Path(file.name).read_text() for file in (output, errors)]
        return subprocess.CompletedProcess(process.args, status, *texts)

    return run


@pytest.fixture
def blank_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have blank charts. To draw those of an evaluation takes as long as a training."""
    from jaxnuc.reports import page, plots

    blank = io.BytesIO()
    Image.new("RGB", (8, 8)).save(blank, "png")
    monkeypatch.setattr(plots, "png", lambda figure: blank.getvalue())
    svg = lambda figure, label: page.element("svg", role="img", aria_label=label)
    monkeypatch.setattr(plots, "svg", svg)


@pytest.fixture(scope="session")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir with a checkpoint of the default configuration, and no arrays in it."""
    import orbax.checkpoint as ocp

    from jaxnuc import config as configs
    from jaxnuc.run.digests import sealed

    workdir = tmp_path_factory.mktemp("run")
    folder = workdir / "checkpoints" / "0"
    (folder / "state").mkdir(parents=True)
    plain = sealed(configs.to_json(configs.default()))
    ocp.Checkpointer(ocp.JsonCheckpointHandler()).save(folder / "config", plain)
    return workdir
