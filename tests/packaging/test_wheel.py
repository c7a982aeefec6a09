"""What `pip install jaxnuc` gives, in an environment of its own and outside of the repository.

Nothing is downloaded: the packages that jaxnuc depends on are those of this environment.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import textwrap
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxnuc

ROOT = Path(__file__).parents[2]

# One process runs several commands, each as the program `jaxnuc` does: most of a process is spent
# on starting it.
COMMANDS = """
import json
import sys

from jaxnuc.cli.main import main

if __name__ == "__main__":
    for command in json.loads(sys.argv[1]):
        print("$", *command, flush=True)
        if status := main(command):
            sys.exit(status)
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The sdist, and the wheel that is made of it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", f"--outdir={folder}", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory) -> Callable[..., subprocess.CompletedProcess]:
    """`installed("jaxnuc", "--version", cwd=folder)` runs a program of the environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    options = ["--no-deps", "--no-index", "--ignore-installed"]
    subprocess.run([*pip, *options, str(built[1])], check=True, capture_output=True)

    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def run(program: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
        command = [str(folder / "bin" / program), *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def commands(installed, tmp_path, tmp_path_factory) -> Callable[..., tuple[dict[str, str], str]]:
    """Runs commands in `tmp_path` up to one that fails: what each printed by its name, and stderr.

    `status` is that of the last one.
    """
    file = tmp_path_factory.mktemp("program") / "commands.py"
    file.write_text(COMMANDS)

    def run(*given: tuple[str, ...], status: int = 0) -> tuple[dict[str, str], str]:
        done = installed("python", file, json.dumps(given), cwd=tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
        printed = [part.partition("\n") for part in done.stdout.split("$ ")[1:]]
        return {title.split()[0]: text for title, _, text in printed}, done.stderr

    return run


def names_below(folder, pattern="*"):
    return {
        str(path.relative_to(ROOT / folder))
        for path in (ROOT / folder).rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_is_complete(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        metadata = archive.read(f"{info}/METADATA").decode()
    assert {f"jaxnuc/{name}" for name in names_below("jaxnuc")} <= names
    assert {f"jaxnuc/configs/{name}" for name in names_below("configs")} <= names
    assert "jaxnuc/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {"jaxnuc", info}
    assert f"\nVersion: {jaxnuc.__version__}\n" in metadata
    for field in ("Author", "Keywords", "Classifier", "License-Expression", "Provides-Extra"):
        assert f"\n{field}: " in metadata, field
    assert "\n# jaxnuc\n" in metadata  # the README


def test_the_sdist_is_complete(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("jaxnuc", "configs", "tests", "docs", "benchmarks"):
        assert {f"{folder}/{name}" for name in names_below(folder)} <= names
    assert {"train.py", "eval.py", "predict.py", "LICENSE", "README.md", "Makefile"} <= names


def test_commands_run_outside_of_the_repository(installed, commands, tmp_path):
    """From training to an export, as somebody does who has just installed it."""
    done = installed("jaxnuc", "--version", cwd=tmp_path)
    assert done.stdout == f"jaxnuc {jaxnuc.__version__}\n", done.stderr
    assert "quickstart" in installed("jaxnuc", "train", "--list-configs", cwd=tmp_path).stdout

    for part in ("images", "labels"):
        (tmp_path / "data" / "train" / part).mkdir(parents=True)
    pixels = np.full((64, 64, 3), 20, np.uint8)
    labels = np.zeros((64, 64), np.uint8)
    labels[20:40, 20:40], pixels[20:40, 20:40] = 1, 200
    Image.fromarray(pixels).save(tmp_path / "data" / "train" / "images" / "a.png")
    Image.fromarray(labels).save(tmp_path / "data" / "train" / "labels" / "a.png")
    shutil.copytree(tmp_path / "data" / "train" / "labels", tmp_path / "same")
    short = ("--config.duration=20 steps", "--config.schedule.warmup=2 steps")
    small = ("--config.data.source.size=32", "--config.batch_size=2", "--config.model.layers=1")
    image = "data/train/images/a.png"
    tiles = ("--patch=64", "--overlap=32", "--tile=64", "--workers=1")
    printed, _ = commands(
        ("train", "--config=quickstart", "--workdir=run", *short, *small),
        ("evaluate", "--workdir=run", "--overlays=2"),
        ("inspect", "folder", "data", "--split=train"),
        ("pack", "folder", "data", "packed/train"),
        ("predict", "--workdir=run", f"--input={image}", "--output=out", *tiles),
        ("score", "data/train/labels", "same", "--output=first"),
        ("compare", "first", "first"),
        ("export", "--workdir=run", "--output=exported", "--size=64,64"),
    )
    for command, expected in {
        "evaluate": "pq",
        "inspect": "1 images, 1 nuclei",
        "pack": "1 samples",
        "predict": "nuclei",
        "score": "pq",
        "compare": "1 images",
    }.items():
        assert expected in printed[command], command
    assert (tmp_path / "run" / "eval_synthetic_test" / "report.html").is_file()
    assert (tmp_path / "exported" / "model.json").is_file()


def test_a_network_of_the_users_folder(commands, tmp_path):
    """By its dotted name, from the current folder, which spawned input workers see too."""
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "my_source.py").write_text(
        textwrap.dedent("""
        from jaxnuc.data.sources import synthetic

        class Source(synthetic.Source):
            def __init__(self, split="train", size=32, broken=False):
                super().__init__(split=split, size=size)
                self.broken = broken

            def __getitem__(self, index):
                if self.broken:
                    raise ValueError("my image is broken; replace it")
                return super().__getitem__(index)
        """)
    )
    (package / "my_config.py").write_text(
        textwrap.dedent("""
        from jaxnuc.config import arguments, default

        def get_config(text=""):
            broken = arguments(text, broken=False).broken
            config = default()
            config.model = {"name": "my_package.my_net"}
            config.data.source = {"name": "my_package.my_source", "broken": broken}
            config.data.transforms = ("flip_turn()",)
            config.data.workers = 1
            config.batch_size, config.duration = 2, "2 steps"
            config.schedule = {"name": "constant"}
            return config
        """)
    )
    (package / "my_net.py").write_text(
        textwrap.dedent("""
        from flax import linen as nn

        from jaxnuc.models import Network

        class Model(Network):
            @nn.compact
            def __call__(self, images, train=False):
                features = nn.relu(nn.Conv(4, (3, 3))(images))
                return {name: nn.Conv(c, (1, 1))(features) for name, c in self.outputs.items()}
        """)
    )
    page = "--config=my_package.my_config"
    _, errors = commands(
        ("train", page, "--workdir=run"), ("train", f"{page}:broken", "--workdir=b"), status=1
    )
    assert (tmp_path / "run" / "checkpoints" / "2").is_dir()
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == "error: my image is broken; replace it"


def test_a_type_checker_sees_the_types(installed, tmp_path):
    (tmp_path / "user.py").write_text(
        textwrap.dedent("""
        import jaxnuc
        import numpy as np

        predictor = jaxnuc.load("runs/a")
        result = jaxnuc.segment(np.zeros((8, 8, 3), np.uint8), predictor)
        reveal_type(predictor)
        reveal_type(result)
        reveal_type(jaxnuc.metrics.score)
        reveal_type(jaxnuc.models.create("unet", {"mask": 1}))
        jaxnuc.modles
        """)
    )
    python = installed("python", "-c", "import sys; print(sys.executable)", cwd=tmp_path).stdout
    # The dependencies would take a minute.
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = True\nfollow_imports = skip\n[mypy-jaxnuc.*]\nfollow_imports = normal\n"
    )
    command = [sys.executable, "-m", "mypy", "--python-executable", python.strip()]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [*command, "user.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert revealed[0].startswith("jaxnuc.prediction."), done.stdout
    assert "fallback=jaxnuc.prediction.segmentation." in revealed[1]  # a named tuple
    assert "-> jaxnuc.metrics." in revealed[2]
    assert "flax" in revealed[3] or "jaxnuc.models" in revealed[3]
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1, errors
    assert 'has no attribute "modles"' in errors[0]


@pytest.mark.slow
def test_a_model_finds_nuclei_right_after_the_installation(commands, tmp_path):
    printed, _ = commands(("models",), ("predict", "--example"))
    assert "\nfluorescence " in printed["models"]
    ((name, count),) = re.findall(
        r"^(\w+): (\d+) nuclei, diameter taken as [\d.]+ px$",
        printed["predict"],
        re.MULTILINE,
    )
    assert (name, int(count) > 10) == ("fluorescence", True)
    assert (tmp_path / "jaxnuc_example" / "fluorescence.overlay.png").is_file()


def test_a_clone_is_imported_from_the_folder_above_it(tmp_path):
    """A folder without `__init__.py` is a package too, and would hide an editable install."""
    (tmp_path / "jaxnuc").symlink_to(ROOT)
    code = "import jaxnuc; print(jaxnuc.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == jaxnuc.__version__, done.stderr
