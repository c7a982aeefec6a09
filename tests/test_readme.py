"""The examples of the README and of docs/ run, in order; their commands exist."""

import importlib.util
import re
from pathlib import Path

import pytest

import jaxnuc

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_python_examples_run(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"(<!-- needs runs/quickstart -->\n)?```python\n(.*?)```", TEXT, re.S)
    assert len(blocks) == 3
    names: dict = {}
    for needs_run, code in blocks:
        if needs_run:
            monkeypatch.chdir(tmp_path)
            config = jaxnuc.config.default()
            config.model = {"name": "flexible_unet", "variant": "small", "layers": 2}
            config.data.source = {"name": "synthetic", "size": 32}
            config.data.transforms = ()
            config.batch_size, config.duration = 2, "2 steps"
            config.schedule = {"name": "constant"}
            jaxnuc.train_and_evaluate(config, "runs/quickstart")
        exec(compile(code, "README.md", "exec"), names)
    assert names["maps"]["mask"].shape == (1, 64, 64, 1)
    assert int(names["current"].step) == 3
    assert names["result"].instances.shape == names["image"].shape[:2]
    assert capsys.readouterr().out.startswith("1.0 1.0 1.0")


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda path: path.name)
def test_examples_of_the_pages_run(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    assert blocks
    names: dict = {}
    for code in blocks:
        exec(compile(code, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_name_what_exists(page):
    text = page.read_text()
    for name in set(re.findall(r"(?:configs/|jaxnuc/|benchmarks/)?\w+\.py", text)):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"python -m ([\w.]+)", text):
        spec = importlib.util.find_spec(name)
        assert spec, name
        if spec.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{name}.__main__"), name


def test_make_targets_exist():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    for target in re.findall(r"^make (\w+)", TEXT, re.M):
        assert target in targets
