"""Files and folders that are replaced as a whole, so that nobody sees half of one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Writes the whole file or leaves the old one."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside `path`, which takes its place when the block ends well.

    After an exception the temporary file or folder is removed, and what was at `path` stays. A
    killed process leaves at most the temporary one, `.NAME.PROCESS`, which is never read. The
    folder of `path` exists.

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
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():  # a folder takes no other's place
            old = temporary.with_name(f"{temporary.name}.old")
            os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    except BaseException:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)
        raise
