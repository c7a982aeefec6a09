"""A data set, a configuration and processes small enough to train many times."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from ml_collections import ConfigDict
from PIL import Image

from jaxnuc import config as configs
from jaxnuc.run.checkpoints import find
from jaxnuc.run.log import read_log
from jaxnuc.training.loop import train_and_evaluate
from jaxnuc.training.reporting import Reporter

REPOSITORY = Path(__file__).parents[2]
CONFIG_FILE = """
import json
import os
import pathlib
import signal
import sys

from jaxnuc.config import from_json
from jaxnuc.training.loop import train_and_evaluate
from jaxnuc.training.reporting import Reporter


def get_config():
    return from_json(json.loads(pathlib.Path({path!r}).read_text()))


{hook}
"""


def nuclei(index: int, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) uint8 of a few bright discs, and its label map (H, W) uint8."""
    rng = np.random.default_rng(index)
    row, col = np.indices((size, size))
    labels = np.zeros((size, size), np.uint8)
    for number in range(1, 5):
        r, c = rng.integers(4, size - 4, 2)
        labels[(row - r) ** 2 + (col - c) ** 2 <= rng.integers(9, 26)] = number
    image = np.where(labels[..., None] > 0, 180, 40) + rng.integers(-30, 31, (size, size, 3))
    return image.astype(np.uint8), labels


@pytest.fixture(autouse=True)
def _no_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws no curves, which take a second in each training, but for tests with `drawn_curves`."""
    if "drawn_curves" not in request.fixturenames:
        request.getfixturevalue("blank_charts")
        monkeypatch.setattr(Reporter, "curves", lambda self, final=False: None)


@pytest.fixture
def drawn_curves() -> None:
    """Lets a training draw its curves, and an evaluation its charts."""


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images to train on and three to validate, in the layout of the source `folder`."""
    root = tmp_path_factory.mktemp("cells")
    for split, indices in (("train", range(10)), ("val", range(10, 13))):
        for index in indices:
            for kind, array in zip(("images", "labels"), nuclei(index), strict=True):
                folder = root / split / kind
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="session")
def tiny(cells: Path) -> Callable[..., ConfigDict]:
    """`tiny(**{"data.workers": 1})`: 8 steps of four images of a network with batch norm."""

    def make(**changes: Any) -> ConfigDict:
        config = configs.default()
        config.model = ConfigDict(
            {"name": "flexible_unet", "variant": "small", "layers": 1, "base_filters": 4}
        )
        config.data.source = ConfigDict({"name": "folder"})
        config.data.root = str(cells)
        config.data.transforms = ("flip_turn()",)
        config.batch_size = 4
        config.duration = "8 steps"
        config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 1e-2})
        config.schedule = ConfigDict({"name": "cosine", "warmup": "2 steps"})
        config.evaluation.every = "4 steps"
        config.evaluation.monitor = "dice_image_mean"  # so little training matches no nucleus
        config.log_every = 1
        for key, value in changes.items():
            *sections, last = key.split(".")
            section = config
            for name in sections:
                section = section[name]
            section[last] = ConfigDict(value) if isinstance(value, dict) else value
        return config

    return make


@pytest.fixture(scope="session")
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the processes that the tests start."""
    given = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return Path(given) if given else tmp_path_factory.mktemp("xla")


@pytest.fixture(scope="session", autouse=True)
def _cached_compilations(compilation_cache: Path) -> None:
    jax.config.update("jax_compilation_cache_dir", str(compilation_cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    reset_cache()  # in case that something was compiled without one


@pytest.fixture
def start(
    tmp_path: Path, compilation_cache: Path, fork: Callable[..., Any]
) -> Iterator[Callable[..., Any]]:
    """`start(config, workdir, devices=1, hook="")`: train.py in a process, as a user runs it.

    It sees so many CPU devices, and runs the statements of `hook` when it reads its configuration.
    """
    processes: list[Any] = []

    def run(config: ConfigDict, workdir: Path | str, devices: int = 1, hook: str = "") -> Any:
        values = tmp_path / f"config{len(processes)}.json"
        values.write_text(json.dumps(configs.to_json(config)))
        file = tmp_path / f"config{len(processes)}.py"
        file.write_text(CONFIG_FILE.format(path=str(values), hook=hook))
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": (
                f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
            ),
            "JAX_COMPILATION_CACHE_DIR": str(compilation_cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        arguments = [REPOSITORY / "train.py", f"--config={file}", f"--workdir={workdir}"]
        with file.with_suffix(".txt").open("w") as output:
            process = fork(arguments, output, output, environment)
        processes.append(process)
        return process

    yield run
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def finish() -> Callable[..., str]:
    """`finish(process, status=0)` waits for it, checks its status and returns what it printed."""

    def wait(process: Any, status: int = 0) -> str:
        process.wait(timeout=120)
        file = Path(process.args[1].removeprefix("--config=")).with_suffix(".txt")
        output = file.read_text()
        assert process.returncode == status, output
        return output

    return wait


def read_state(workdir: Path, step: int | None = None) -> dict[str, np.ndarray]:
    """The whole state of a checkpoint, the latest by default, as `{path: array}`."""
    folder = find(workdir, "latest" if step is None else step) / "state"
    reader = ocp.Checkpointer(ocp.PyTreeCheckpointHandler())
    shapes = reader.metadata(folder).item_metadata.tree
    arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    tree = reader.restore(folder, args=ocp.args.PyTreeRestore(restore_args=arguments))
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


@pytest.fixture
def saved() -> Callable[..., dict[str, np.ndarray]]:
    return read_state


def read_lines(workdir: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without their times and without events."""
    lines = read_log(workdir / "metrics.jsonl")
    return [{k: v for k, v in x.items() if k != "time"} for x in lines if "event" not in x]


@pytest.fixture
def lines() -> Callable[[Path], list[dict[str, Any]]]:
    return read_lines


@pytest.fixture
def same_run() -> Callable[[Path, Path], None]:
    """Asserts that two workdirs hold one training: the last state and the log, to the bit."""

    def compare(one: Path, other: Path) -> None:
        a, b = read_state(one), read_state(other)
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype, key
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)
        assert read_lines(one) == read_lines(other)

    return compare


@pytest.fixture
def same_curve() -> Callable[[list[dict], list[dict]], None]:
    """Asserts that the lines of two logs are alike but for rounding."""

    def compare(one: list[dict], other: list[dict]) -> None:
        assert [(x["step"], x.keys()) for x in one] == [(x["step"], x.keys()) for x in other]
        for a, b in zip(one, other, strict=True):
            for key in a.keys() - {"train/gradient_norm"}:  # its squares double the rounding
                np.testing.assert_allclose(a[key], b[key], rtol=1e-5, err_msg=f"{a['step']} {key}")

    return compare


@pytest.fixture(scope="session")
def long_run(tiny: Callable[..., ConfigDict]) -> ConfigDict:
    """Everything that a checkpoint must hold: dropout, momenta, averages, running statistics."""
    config = tiny(duration="10 steps", ema_decay=0.9, checkpoint_every="3 steps")
    config.model.update(layers=2, dropout_rate=0.2)  # the first level drops nothing
    return config


@pytest.fixture(scope="session")
def uninterrupted(
    long_run: ConfigDict, tmp_path_factory: pytest.TempPathFactory, _cached_compilations: None
) -> Path:
    """The workdir of `long_run`, trained at one go."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    train_and_evaluate(long_run, workdir)
    return workdir
