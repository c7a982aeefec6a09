"""Where the tests find reference values and real images."""

import gc
import json
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

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
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1",
)
# Where in the sources an operation comes from takes a tenth of a trace to find out.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
# Where there is a compilation cache, it keeps small programs too: nearly all of them are small.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# Each test process has its own compilation cache: one might read what another has half written.
if "PYTEST_XDIST_WORKER" in os.environ and "JAX_COMPILATION_CACHE_DIR" in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] += "/" + os.environ["PYTEST_XDIST_WORKER"]

# Nearly every test of these compiles a network. Slow ones elsewhere are marked one by one.
SLOW = (
    *("evaluation", "losses", "models", "optim", "packaging", "prediction", "pretrained"),
    *("representations", "training", "test_readme.py", "test_systems_doc.py"),
)


def _slow(path: Path) -> bool:
    folder = Path(__file__).parent
    return folder in path.parents and path.relative_to(folder).parts[0] in SLOW


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Spares `make check` the files of which it would leave out every test."""
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
    monitoring.unregister_event_duration_listener(note)


SHARED = Path(os.environ.get("JAXNUC_SHARED", Path(__file__).parents[2] / "shared"))


def _existing(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not at hand: set JAXNUC_SHARED to the folder that holds it")
    return path


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
