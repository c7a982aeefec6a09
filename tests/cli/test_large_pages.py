"""The restart of a command with large memory pages."""

import subprocess
import sys

import pytest

from jaxnuc.cli import large_pages

SCRIPT = """
import os, sys
from pathlib import Path
from jaxnuc.cli import large_pages

large_pages.OFFERED = Path(sys.argv[1])
large_pages._libc_can_ask = lambda: True
print(os.getpid(), sys.argv[2:], os.environ.get("GLIBC_TUNABLES"), flush=True)
forked = sys.argv[-1] == "forked"
large_pages.restart_with_large_pages(["--other"] if forked else sys.argv[2:])
print("ran")
"""


@pytest.fixture
def offered(tmp_path):
    path = tmp_path / "enabled"
    path.write_text("always [madvise] never\n")
    return path


def run(offered, monkeypatch, tunables=None, arguments=("--name=a b", "")):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if tunables is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    command = [sys.executable, "-c", SCRIPT, str(offered), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_process_starts_once_more_with_the_same_arguments(offered, monkeypatch):
    first, second, end = run(offered, monkeypatch)
    process, arguments = first.split(" ", 1)
    assert arguments == "['--name=a b', ''] None"
    assert second == f"{process} ['--name=a b', ''] glibc.malloc.hugetlb=1"
    assert end == "ran"


def test_other_settings_stay(offered, monkeypatch):
    lines = run(offered, monkeypatch, "glibc.malloc.check=0")
    assert lines[1].endswith(" glibc.malloc.check=0:glibc.malloc.hugetlb=1")


@pytest.mark.parametrize("chosen", ["0", "1", "2"])
def test_the_users_own_choice_stays(offered, monkeypatch, chosen):
    assert len(run(offered, monkeypatch, f"glibc.malloc.hugetlb={chosen}")) == 2


@pytest.mark.parametrize("text", ["[always] madvise never", "always madvise [never]", None])
def test_no_restart_where_it_changes_nothing(offered, monkeypatch, text):
    if text is None:
        offered.unlink()
    else:
        offered.write_text(text)
    assert len(run(offered, monkeypatch)) == 2


def test_no_restart_of_another_program(offered, monkeypatch):
    assert len(run(offered, monkeypatch, arguments=["forked"])) == 2


@pytest.mark.parametrize(
    ("found", "can"),
    [(("glibc", "2.36"), True), (("glibc", "2.31"), False), (("", ""), False)],
)
def test_which_library_can_ask(monkeypatch, found, can):
    monkeypatch.setattr(large_pages.platform, "libc_ver", lambda: found)
    assert large_pages._libc_can_ask() is can
