"""Where the tests find reference values and real images."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Each test process has its own compilation cache: one might read what another has half written.
if "PYTEST_XDIST_WORKER" in os.environ and "JAX_COMPILATION_CACHE_DIR" in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] += "/" + os.environ["PYTEST_XDIST_WORKER"]

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
