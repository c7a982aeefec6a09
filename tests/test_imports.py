"""What runs without JAX imports nothing of it. (The arrows between packages: `lint-imports`.)"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "jaxnuc"
JAX = {"jax", "flax", "optax", "orbax"}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from jaxnuc import losses` is an import of jaxnuc.losses
            yield from (
                f"jaxnuc.{alias.name}" if node.module == "jaxnuc" else str(node.module)
                for alias in node.names
            )


@pytest.mark.parametrize(
    "package",
    ["metrics", "postprocess", "data", "io", "outputs", "pretrained", "labels", "registry.py"],
)
def test_no_jax_in_the_source(package):
    for path in [ROOT / package, *(ROOT / package).rglob("*.py")]:
        if path.is_dir():
            continue
        assert not {name.split(".")[0] for name in imports(path)} & JAX, path


@pytest.mark.slow
def test_no_jax_at_run_time():
    """The pipeline is left out: Grain imports JAX by itself."""
    code = (
        "import sys, jaxnuc, jaxnuc.metrics, jaxnuc.postprocess, jaxnuc.representations\n"
        "import jaxnuc.labels, jaxnuc.metrics.folders, jaxnuc.metrics.protocols.pannuke\n"
        "import jaxnuc.io, jaxnuc.outputs, jaxnuc.prediction.image_task\n"
        "import jaxnuc.data.transforms, jaxnuc.data.splits, jaxnuc.evaluation.evaluate\n"
        "from jaxnuc.data.sources import dsb2018, folder, synthetic\n"
        f"assert not {JAX!r} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_training_draws_only_when_there_is_something():
    """What takes long to import and is not needed before the first step."""
    late = {"matplotlib", "scipy.optimize", "scipy.spatial", "skimage.morphology"}
    code = f"import sys, jaxnuc.training.loop\nassert not {late!r} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_from_the_top():
    import jaxnuc

    for name in jaxnuc.__all__:
        assert getattr(jaxnuc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'modles'"):
        _ = jaxnuc.modles
