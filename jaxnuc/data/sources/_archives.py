"""Finding a data set where its user has put it."""

from collections.abc import Callable
from pathlib import Path

from jaxnuc.io.archive import Files


def open_files(root: str | Path, belongs: Callable[[str], bool], expected: str) -> Files:
    """Opens an unpacked data set, its zip, or the folder in which that zip lies.

    Args:
      root: a folder or a zip.
      belongs: whether a relative path is one of the data set's files.
      expected: what should be there and where it is published, for the error.

    Returns:
      The files of the folder if any of them belongs to the data set, else of the only zip in it.

    Raises:
      FileNotFoundError: there is nothing of the data set.
    """
    root = Path(root)
    if root.exists():
        files = Files(root)
        if any(map(belongs, files.names)):
            return files
        zips = [name for name in files.names if "/" not in name and name.lower().endswith(".zip")]
        if len(zips) == 1:
            files = Files(root / zips[0])
            if any(map(belongs, files.names)):
                return files
            root = files.path
    raise FileNotFoundError(f"{root}: {expected}")
