"""Files and folders that are replaced as a whole, so that nobody sees half of one."""

import logging
import os
import re
import secrets
import shutil
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

logger = logging.getLogger(__name__)


def _machine() -> str:
    """Where the numbers of processes mean the same: on one machine, and in one container of it."""
    # Machines that share a folder, as shards on a cluster do, do not know each other's processes.
    space = Path("/proc/self/ns/pid")
    number = space.stat().st_ino if space.exists() else 0
    return f"{zlib.crc32(f'{socket.gethostname()} {number}'.encode()):08x}"


_MACHINE = _machine()
_TEMPORARY = re.compile(rf"\.(?P<name>.+)\.jaxnuc(?P<process>\d+)-{_MACHINE}(?P<old>\.old)?")


def replace_file(path: Path, data: bytes) -> None:
    """Writes the whole file or leaves the old one."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path`, which takes its place when the block ends well.

    After an exception the temporary file or folder is removed, and what was at `path` stays. A
    killed process leaves at most the temporary one, `.NAME.jaxnucPROCESS-MACHINE`, which is never
    read and which `remove_leftovers` removes. The folder of `path` exists.

    Yields:
      Where to write.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.txt")
      >>> with replacing(path) as temporary:
      ...     _ = temporary.write_text("whole")
      >>> path.read_text(), len(list(path.parent.iterdir()))
      ('whole', 1)
    """
    path = Path(path)
    temporary = path.with_name(temporary_name(path.name, os.getpid()))
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():  # a folder takes no other's place
            old = temporary.with_name(f"{temporary.name}.old")
            os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    except BaseException as error:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is None:  # NumPy says how many bytes
            reason = f"{path}: not written, as on a full disk ({error})"
            raise OSError(reason) from error
        raise


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Errors of the system in the block, which do not say of which file they are, name `path`.

    Example:
      >>> with naming("metrics.jsonl"):
      ...     raise OSError(28, "No space left on device")
      Traceback (most recent call last):
      OSError: [Errno 28] No space left on device: 'metrics.jsonl'
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder among the system's temporary ones, removed at the end of the block.

    One that a killed process has left is removed by the next that asks for one.
    """
    folder = Path(tempfile.gettempdir())
    remove_leftovers(folder)
    path = folder / temporary_name(secrets.token_hex(4), os.getpid())
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def remove_leftovers(folder: Path) -> None:
    """Removes unfinished files and folders from here whose processes on this machine have ended."""
    removed = []
    for path in sorted(folder.iterdir(), reverse=True):  # an old folder before what takes its place
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or _runs(int(match["process"])):
            continue
        with suppress(OSError):  # of another user, or another process is faster
            if match["old"] and not (folder / match["name"]).exists():
                path.rename(folder / match["name"])  # killed amid its replacement
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            removed.append(path.name)
    if removed:
        logger.info("%s: removed what a killed process left: %s", folder, ", ".join(removed))


def temporary_name(name: str, process: int | None) -> str:
    """A name in place of `name`, by which `remove_leftovers` knows whose file it is."""
    return f".{name}.jaxnuc{process}-{_MACHINE}"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
