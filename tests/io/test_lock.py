"""Folders that one process at a time writes into."""

import logging
import os
import signal
import subprocess
import sys
from multiprocessing import shared_memory

import pytest

from jaxnuc.io.atomic import remove_leftovers, replacing, temporary_folder, temporary_name
from jaxnuc.io.lock import locked
from jaxnuc.io.shared_memory import FOLDER, remove_orphans

HERE = temporary_name("a", 1).rpartition("-")[2]  # this machine
ELSEWHERE = "0123abcd"
HOLD = """
import sys
from pathlib import Path
from jaxnuc.io.atomic import replacing
from jaxnuc.io.lock import locked

folder = Path(sys.argv[1])
with locked(folder), replacing(folder / "a.txt") as temporary:
    temporary.write_text("half of it")
    print("held", flush=True)
    sys.stdin.read()
"""
SHARE = """
import multiprocessing
import time
from multiprocessing import shared_memory

from jaxnuc.io.shared_memory import name_after_parent

def work():
    name_after_parent()
    print(shared_memory.SharedMemory(create=True, size=9).name, flush=True)
    time.sleep(60)

if __name__ == "__main__":
    worker = multiprocessing.get_context("spawn").Process(target=work, daemon=True)
    worker.start()
    worker.join()
"""


def test_a_second_process_is_told_and_takes_over_from_a_killed_one(tmp_path, caplog):
    folder = tmp_path / "new" / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match=rf"run is written to by process {holder.pid} on \S+, "),
            locked(folder),
        ):
            pass
        with locked(folder, ".lock_2_of_3"):  # another part of the work
            assert len(list(folder.glob(".a.txt.*"))) == 1
        holder.kill()
    caplog.set_level(logging.INFO)
    with locked(folder):
        assert f"taken over from process {holder.pid} on " in caplog.text
        assert (
            f"removed what a killed process left: .a.txt.jaxnuc{holder.pid}-{HERE}" in caplog.text
        )
        assert [path.name for path in folder.iterdir()] == [".lock"]
    assert list(folder.iterdir()) == []


def test_what_is_left_behind(tmp_path, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = {"a.txt", ".bashrc.1", ".b.jaxnuc", f".c.jaxnuc{os.getpid()}-{HERE}"}
    kept |= {f".g.jaxnuc{ended.pid}-{ELSEWHERE}"}  # of another machine, where it may run
    for name in kept | {f".d.geojson.jaxnuc{ended.pid}-{HERE}"}:
        (tmp_path / name).touch()
    for name in (f".e.jaxnuc{ended.pid}-{HERE}", f".e.jaxnuc{ended.pid}-{HERE}.old"):
        (tmp_path / name).mkdir()
    (tmp_path / f".e.jaxnuc{ended.pid}-{HERE}.old" / "whole").touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept | {"e"}
    assert (tmp_path / "e" / "whole").exists()

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f".f.jaxnuc{ended.pid}-{HERE}").mkdir()
    with temporary_folder() as folder:
        assert folder.parent == tmp_path
        assert not (tmp_path / f".f.jaxnuc{ended.pid}-{HERE}").exists()
    assert not folder.exists()
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == kept | {"e"}


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.is_dir(), reason="shared memory has no folder on this system")
def test_shared_memory_of_processes_that_were_all_killed(tmp_path):
    (tmp_path / "share.py").write_text(SHARE)
    owners, names = [], []
    for _ in range(2):
        owner = subprocess.Popen(
            [sys.executable, tmp_path / "share.py"], stdout=subprocess.PIPE, start_new_session=True
        )
        names.append(owner.stdout.readline().decode().strip())
        owners.append(owner)
    other = shared_memory.SharedMemory(create=True, size=9)  # of a program that is not ours
    assert all((FOLDER / name).exists() for name in names)
    killed, living = owners
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert (FOLDER / names[0]).exists()
    with locked(tmp_path / "run"):
        assert [(FOLDER / name).exists() for name in (*names, other.name)] == [False, True, True]
    other.close()
    other.unlink()
    os.killpg(living.pid, signal.SIGKILL)
    living.communicate()
    remove_orphans()
    assert not (FOLDER / names[1]).exists()


def test_a_full_disk_is_named_where_numpy_does_not(tmp_path):
    """On a full disk, `tofile` raises an OSError without a number, and with no file."""

    def write() -> None:
        with replacing(tmp_path / "a.tif") as temporary:
            temporary.write_bytes(b"half")
            raise OSError("9 requested and 4 written")

    message = r"a\.tif: not written, as on a full disk \(9 requested and 4 written\)"
    with pytest.raises(OSError, match=message):
        write()
    assert list(tmp_path.iterdir()) == []
