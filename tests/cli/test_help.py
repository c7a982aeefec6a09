"""Help fits a screen and comes at once; commands and their files are the same."""

import subprocess
import sys
from pathlib import Path

import pytest

import jaxnuc as library
from jaxnuc.cli import main

HELPERS = {"__init__", "interrupts", "large_pages", "main", "parser"}


def test_each_command_is_a_file():
    files = {path.stem for path in Path(main.__file__).parent.glob("*.py")}
    assert files - HELPERS == {*main.COMMANDS}


@pytest.mark.parametrize("command", main.COMMANDS)
def test_help_fits_a_screen(jaxnuc, command):
    done = jaxnuc(command, "--help")
    assert done.status == 0
    lines = done.out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(f"usage: jaxnuc {command} ")
    assert f"  jaxnuc {command} " in done.out  # an example
    # Its own flags and no other library's.
    assert {"--verbosity", "--log_dir", "--pdb"}.isdisjoint(done.out.split())


def test_the_top_lists_the_commands(jaxnuc):
    done = jaxnuc("--help")
    assert done.status == 0
    assert jaxnuc().out == done.out
    for command in main.COMMANDS:
        (line,) = [each for each in done.out.splitlines() if each.startswith(f"  {command} ")]
        assert 30 < len(line) <= 90


def test_version(jaxnuc):
    assert jaxnuc("--version").out == f"jaxnuc {library.__version__}\n"


def test_help_and_first_words_come_before_slow_imports():
    """Nothing slow is imported by the first message of a command, nor for its help."""
    code = """
import logging, sys
from jaxnuc.cli.main import COMMANDS, main

class Stop(BaseException): pass

class First(logging.Handler):
    def emit(self, record):
        raise Stop

logging.getLogger("jaxnuc.cli").addHandler(First())
arguments = {
    "train": ["--config=quickstart", "--workdir=x"],
    "evaluate": ["--workdir=x"],
    "predict": ["--workdir=x", "--input=y", "--output=z"],
    "suggest": ["y", "--workdir=x"],
    "inspect": ["synthetic"],
    "pack": ["consep", "x", "y"],
    "score": ["x", "y"],
    "compare": ["x", "y"],
    "export": ["--workdir=x", "--output=y"],
    "convert": ["x.pth", "--output=y"],
    "study": ["harunet_ablation", "--output=x"],
}
for command in COMMANDS:
    runs = ((["--help"], SystemExit), (arguments.get(command), Stop))
    for given, expected in runs[: 1 if command == "models" else 2]:  # which has nothing slow
        try:
            main([command, *given])
        except expected:
            pass
        else:
            raise AssertionError((command, given))
    slow = {"jax", "numpy", "scipy", "tqdm"} & {*sys.modules}
    assert not slow, (command, slow)
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("script", "command"), [("train", "train"), ("eval", "evaluate"), ("predict", "predict")]
)
def test_scripts_of_the_repository_are_the_commands(script, command):
    path = Path(__file__).parents[2] / f"{script}.py"
    shown = [
        subprocess.run(
            [sys.executable, *start, "--help"], check=True, capture_output=True, text=True
        ).stdout
        for start in ([str(path)], ["-m", "jaxnuc", command])
    ]
    assert shown[0] == shown[1] != ""
