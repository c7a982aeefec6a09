"""Large memory pages for the computations of a command, on Linux.

A step on a CPU takes its memory from the system anew, hundreds of megabytes in pages of 4 KB, which
costs a fifth of its time (docs/performance.md). The C library asks for large pages only if the
environment says so when the process starts.
"""

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

SETTING = "glibc.malloc.hugetlb"
OFFERED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_large_pages(arguments: Sequence[str]) -> None:
    """Starts this process again, with the setting, where that makes a difference.

    It does where the kernel gives large pages to those who ask, and the C library can ask. Whoever
    sets `GLIBC_TUNABLES=glibc.malloc.hugetlb=0` (or `=1`) is left alone.

    Args:
      arguments: of the command. A process that was not started with them, but forked by another,
        is not started again: that would start the other.
    """
    own = len(arguments) > 0 and sys.orig_argv[-len(arguments) :] == list(arguments)
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if not own or SETTING in tunables or not _on_request() or not _libc_can_ask():
        return
    os.environ["GLIBC_TUNABLES"] = ":".join(filter(None, [tunables, f"{SETTING}=1"]))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _on_request() -> bool:
    try:
        return "[madvise]" in OFFERED.read_text()
    except OSError:  # another system, or a kernel without them
        return False


def _libc_can_ask() -> bool:
    name, version = platform.libc_ver()
    return name == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 35)
