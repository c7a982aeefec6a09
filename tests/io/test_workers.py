"""Work in other processes: order, bounds, errors."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxnuc.io import workers as module
from jaxnuc.io.workers import affordable, ordered_map


def square(x, pause=0.0):
    time.sleep(pause)
    return x * x, os.getpid()


def fail_at(x, where):
    if x == where:
        raise ValueError(f"{x} is bad")
    return x


def die(x):
    os._exit(3)


@pytest.mark.slow
def test_the_results_are_the_same_whatever_the_number_of_workers():
    # The first tasks take longest, so that the later ones are done before them.
    tasks = [(i, 0.2 if i < 2 else 0.0) for i in range(12)]
    here = list(ordered_map(square, tasks, 0))
    there = list(ordered_map(square, tasks, 2))
    assert [x for x, _ in here] == [x for x, _ in there] == [i * i for i in range(12)]
    assert {pid for _, pid in here} == {os.getpid()}
    assert os.getpid() not in {pid for _, pid in there}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "size", "ahead"), [(0, None, 1), (2, None, 4), (2, 2**27, 4), (2, 1000, 12)]
)
def test_tasks_are_taken_only_as_they_are_needed(workers, size, ahead):
    taken = 0

    def tasks():
        nonlocal taken
        for i in range(20):
            taken += 1
            yield (i,)

    most = 0
    for done, _ in enumerate(ordered_map(square, tasks(), workers, size and (lambda _: size))):
        most = max(most, taken - done)
    assert most == ahead  # as many as are known to fit in memory


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_come_through_as_they_are(workers):
    results = ordered_map(fail_at, [(i, 3) for i in range(8)], workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3 is bad"):
        next(results)


def test_a_worker_that_dies_is_told_of():
    with pytest.raises(ChildProcessError, match="one of 1 worker processes died"):
        list(ordered_map(die, [(1,)], 1))


def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, time\n"
        "from jaxnuc.io.workers import ordered_map\n"
        "def pid(x):\n"
        "    time.sleep(x)\n"
        "    return os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    for p in ordered_map(pid, [(0,), (60,)], 1):\n"
        "        print(p, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    stopped = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and time.monotonic() < stopped:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()


def test_no_more_workers_than_are_of_use(monkeypatch, caplog):
    monkeypatch.setattr(module, "cores", lambda: 2)
    assert [affordable(n) for n in (0, 8)] == [0, 8]
    assert not caplog.text
    assert affordable(100) == 8
    assert "100 workers are asked for; 8 are started, for 2 cores" in caplog.text


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="workers is -1"):
        list(ordered_map(square, [], -1))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no cores")
def test_cores_are_those_that_may_be_used():
    code = (
        "import os; from jaxnuc.io.workers import cores\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "assert cores() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("guard", ["", 'if __name__ == "__main__":\n    '])
def test_a_script_needs_no_guard(tmp_path, guard):
    """A process that is started does not run the script again."""
    script = tmp_path / "script.py"
    call = "print(sum(ordered_map(math.sqrt, [(k * k,) for k in range(5)], 1)))"
    script.write_text(f"import math\nfrom jaxnuc.io.workers import ordered_map\n{guard}{call}\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("10.0\n", "")
