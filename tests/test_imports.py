"""What runs without JAX imports nothing of it, and arrows between packages go one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "jaxnuc"
JAX = {"jax", "flax", "optax", "orbax"}
# Helpers that every package may use.
FILES = ("files", "image_files", "mat_files", "npy_files", "tiff_files")
INNER = {f"jaxnuc.{name}" for name in ("registry", "workers", *FILES)}
ALLOWED = {
    "models": set(),
    "losses": set(),
    "metrics": {"jaxnuc.postprocess", "jaxnuc.labels", "jaxnuc.label_sets"},
    "postprocess": set(),
    "data": {"jaxnuc.labels", "jaxnuc.label_sets", "jaxnuc.postprocess"},
    "representations": {"jaxnuc.labels", "jaxnuc.losses", "jaxnuc.postprocess"},
    "weights": set(),
    "images": {"jaxnuc.data"},
    "outputs": {"jaxnuc.data", "jaxnuc.images", "jaxnuc.metrics", "jaxnuc.postprocess"},
}


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


@pytest.mark.parametrize("package", ALLOWED)
def test_arrows_go_one_way(package):
    allowed = {f"jaxnuc.{package}", *ALLOWED[package], *INNER}
    for path in (ROOT / package).rglob("*.py"):
        for name in imports(path):
            if name.startswith("jaxnuc"):
                assert any(name == a or name.startswith(a + ".") for a in allowed), (path, name)


@pytest.mark.parametrize(
    "package",
    ["metrics", "postprocess", "data", "images", "outputs", "weights", "labels.py", "workers.py"],
)
def test_no_jax_in_the_source(package):
    for path in [ROOT / package, *(ROOT / package).rglob("*.py")]:
        if path.is_dir():
            continue
        assert not {name.split(".")[0] for name in imports(path)} & JAX, path


def test_no_jax_at_run_time():
    """The pipeline is left out: Grain imports JAX by itself."""
    code = (
        "import sys, jaxnuc, jaxnuc.metrics, jaxnuc.postprocess, jaxnuc.representations\n"
        "import jaxnuc.label_sets, jaxnuc.metrics.folders, jaxnuc.metrics.pannuke\n"
        "import jaxnuc.images, jaxnuc.outputs, jaxnuc.inference.decoding\n"
        "import jaxnuc.data.transforms, jaxnuc.data.splits, jaxnuc.inference.evaluate\n"
        "from jaxnuc.data.sources import dsb2018, folder, synthetic\n"
        f"assert not {JAX!r} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_from_the_top():
    import jaxnuc

    for name in jaxnuc.__all__:
        assert getattr(jaxnuc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'modles'"):
        _ = jaxnuc.modles
