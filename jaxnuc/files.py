"""Writing files so that nobody ever sees half of one."""

import os
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Writes the whole file or leaves the old one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)
