"""Reads slides once beforehand, in a process of its own.

On a damaged slide OpenSlide may ask for more memory than there is, at which GLib ends the process.
So it is another one that ends, which costs that slide and not the run.
"""

import atexit
import functools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

# Not part of the package, whose import would take longer than the checks. A pixel in every ninth of
# every level: what the header says wrongly of its tiles, it says of all.
_SCRIPT = """
import json
import sys

import openslide

try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
except ImportError:  # Windows
    pass
for line in sys.stdin:
    try:
        with openslide.OpenSlide(json.loads(line)) as slide:
            for level, (width, height) in enumerate(slide.level_dimensions):
                scale = slide.level_downsamples[level]
                for row in (0, height // 2, height - 1):
                    for col in (0, width // 2, width - 1):
                        corner = int(col * scale), int(row * scale)
                        slide.read_region(corner, level, (1, 1))
    except Exception:  # who reads the slide gets it again
        pass
    print(flush=True)
"""


def check_slide(path: Path) -> None:
    """Refuses a slide that would end the process that reads it.

    Raises:
      ValueError: it would.
    """
    file = path.stat()
    status = _status(str(path.absolute()), file.st_mtime_ns, file.st_size)
    if status:
        raise ValueError(
            f"{path}: damaged; OpenSlide ended the process that read it for a check (status "
            f"{status}); fetch it again"
        )


@functools.lru_cache(maxsize=4096)
def _status(path: str, changed: int, size: int) -> int:
    """With what the process ended at a slide, 0 where it did not; remembered while it is as it is.

    A worker process that was forked has a checker of its own.
    """
    return _checker(os.getpid()).read(path)


class _Checker:
    """A process that reads slides, started anew where one has ended it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self._end)

    def read(self, path: str) -> int:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _SCRIPT],
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(path) + "\n")
            self._process.stdin.flush()
            return 0 if self._process.stdout.readline() else self._end()

    def _end(self) -> int:
        process, self._process = self._process, None
        if process is not None:
            process.communicate()
        return process.returncode if process is not None else 0


_checker = functools.cache(lambda pid: _Checker())
