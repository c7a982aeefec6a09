"""Names and contents of image files, as every package that reads them needs."""

import io
import re
import struct
import zlib
from pathlib import PurePosixPath

import numpy as np
import tifffile
from PIL import Image

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")

# What tifffile decodes by itself; it reads every dtype, Pillow reads the other compressions.
_TIFFFILE_CODECS = {
    tifffile.COMPRESSION.NONE,
    tifffile.COMPRESSION.ADOBE_DEFLATE,
    tifffile.COMPRESSION.DEFLATE,
    tifffile.COMPRESSION.PACKBITS,
    tifffile.COMPRESSION.LZMA,
}


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts numbers inside of names by their value.

    >>> sorted(["a10.png", "a9.png", "a1.png"], key=natural_key)
    ['a1.png', 'a9.png', 'a10.png']
    """
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]


def is_junk(name: str) -> bool:
    """Whether a path is what operating systems leave behind: `__MACOSX`, `._x`, `.DS_Store`.

    >>> is_junk("__MACOSX/a/._1.png"), is_junk("a/.DS_Store"), is_junk("a/1.png")
    (True, True, False)
    """
    parts = PurePosixPath(name).parts
    return any(p == "__MACOSX" or p.startswith("._") or p == ".DS_Store" for p in parts)


def decode(data: bytes, where: str) -> np.ndarray:
    """Decodes the bytes of an image or `.npy` file without converting the values.

    Args:
      data: the content of the file.
      where: its address; the suffix tells the format, and errors name it.

    Returns:
      (H, W) or (H, W, C), of the dtype in the file; a palette image gives its indices.

    Raises:
      ValueError: the file is truncated, corrupt or of another format.
    """
    suffix = PurePosixPath(where).suffix.lower()
    try:
        if suffix == ".npy":
            return np.load(io.BytesIO(data), allow_pickle=False)
        if suffix in (".tif", ".tiff"):
            with tifffile.TiffFile(io.BytesIO(data)) as tiff:
                if tiff.pages.first.compression in _TIFFFILE_CODECS:
                    return tiff.asarray()
                if len(tiff.pages) > 1:  # of which Pillow would give the first
                    raise ValueError(f"{len(tiff.pages)} pages; save each image on its own")
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)
    except (
        OSError,
        EOFError,
        SyntaxError,
        ValueError,
        IndexError,
        struct.error,
        zlib.error,
    ) as error:
        raise ValueError(
            f"{where}: cannot be decoded ({error}); it is truncated, corrupt or not a "
            f"{suffix or 'known'} file: fetch it again"
        ) from error
