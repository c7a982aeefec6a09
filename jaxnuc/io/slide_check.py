"""Reads slides once beforehand, in a process of its own.

On a damaged slide OpenSlide may ask for more memory than there is, at which GLib ends the process.
So it is another one that ends, which costs that slide and not the run.
"""

import functools
import os
from pathlib import Path

from jaxnuc.io.child_process import ChildEnded, ChildProcess

# Not part of the package, whose import would take longer than the checks. A pixel in every ninth of
# every level: what the header says wrongly of its tiles, it says of all.
_SCRIPT = """
import json
import signal
import sys

import openslide

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks

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
    print('{"read": true}', flush=True)
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
    try:
        _checker(os.getpid()).ask(path)
    except ChildEnded as ended:
        return ended.status
    return 0


_checker = functools.cache(lambda pid: ChildProcess(_SCRIPT))
