"""The examples of the README and of docs/ run, in order; their commands exist."""

import importlib.util
import os
import re
import shlex
from pathlib import Path

import pytest

from jaxnuc.cli.main import COMMANDS, command_parser, main
from jaxnuc.config import pages

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_python_examples_run(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in blocks:
        exec(compile(code, "README.md", "exec"), names)
    assert names["nuclei"].instances.shape == names["image"].shape[:2] == (256, 256)
    assert names["nuclei"].instances.max() > 3
    expected = re.findall(r"^print\(.*pq.*\)  # (.*)$", TEXT, re.M)
    assert capsys.readouterr().out.splitlines()[-1:] == expected
    example, _ = (each for each in commands(TEXT) if each[0] == "predict")
    assert main(example) == 0
    files = {"index.html", "fluorescence.geojson", "fluorescence.overlay.png"}
    assert files <= set(os.listdir("found"))


CONFIGS = sorted((ROOT / "configs").rglob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


WITH_EXAMPLES = [page for page in PAGES[1:] if "```python" in page.read_text()]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda path: path.name)
def test_examples_of_the_pages_run(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    names: dict = {}
    for code in blocks:
        exec(compile(code, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_name_what_exists(page):
    text = page.read_text()
    for name in set(re.findall(r"(?:configs|jaxnuc|benchmarks|tests)/[\w/]+\.py", text)):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(name), name


def commands(text):
    """The lines of a text that run `jaxnuc`, as lists of words."""
    for line in text.replace("\\\n", " ").splitlines():
        if match := re.match(r"\s*(?:\$ |JAXNUC_DATA=\S+ )?jaxnuc ([a-z]+ .*)", line):
            yield shlex.split(re.sub(r"[][]", "", match[1]), comments=True)


@pytest.mark.parametrize("page", [*PAGES, *CONFIGS], ids=lambda path: path.name)
def test_commands_are_taken(page, a_run):
    """Flags and configurations that the documentation names exist."""
    for name, *arguments in commands(page.read_text()):
        assert name in COMMANDS
        if {"--list-configs", "--list"} & {*arguments}:
            continue
        options = command_parser(name).parse([each for each in arguments if each != "..."])
        if name == "train":
            if options.config.startswith("finetune"):
                options.overrides["weights.file"] = str(a_run)
            pages.load(options.config, options.overrides)
        if name == "study" and not options.study.startswith("my_"):
            pages.STUDIES.make(options.study)


def test_commands_are_found():
    assert len(list(commands((ROOT / "README.md").read_text()))) > 5
    assert list(commands("x\n  jaxnuc train --a=b \\\n   [--c d]  # e")) == [
        ["train", "--a=b", "--c", "d"]
    ]


def test_make_targets_exist():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    text = TEXT + (ROOT / "CONTRIBUTING.md").read_text()
    for target in re.findall(r"(?:^|`)make (\w+)", text, re.M):
        assert target in targets
