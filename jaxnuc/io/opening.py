"""Opens an image by what is in the file."""

import os
from pathlib import Path
from typing import Literal

from jaxnuc.io.array_image import open_npy, open_whole
from jaxnuc.io.large_image import LargeImage
from jaxnuc.io.slides import SlideImage, slide_vendor
from jaxnuc.io.tiff import TiffImage
from jaxnuc.io.zarr import ZarrImage, is_zarr

KNOWN = "PNG, JPEG, BMP, TIFF, .npy, Zarr, OME-Zarr, or a slide that OpenSlide reads"
SLIDE_SUFFIXES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".bif", ".tiff", ".tif")
# Of these, the file itself holds no more than a picture or a list of others.
_ONLY_OPENSLIDE = (".mrxs", ".vms")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHOLE = (b"\x89PNG", b"\xff\xd8\xff", b"BM")
_NPY = b"\x93NUMPY"

Backend = Literal["openslide", "tifffile"]


def open_image(
    path: str | os.PathLike[str], *, series: int = 0, backend: Backend | None = None
) -> LargeImage:
    """Opens an image of any size, of which regions are read.

    Only the tiles, strips or chunks touched are read of TIFF, slides, `.npy` and Zarr. PNG, JPEG
    and BMP are decoded whole. Regions are RGB of 8 bits: gray is repeated, alpha dropped, 16 bits
    divided by 257; the transparent parts of slides are white.

    Args:
      path: a file, or the folder of a Zarr array or an OME-Zarr image.
      series: of TIFF and OME-Zarr files that hold several images, from 0.
      backend: which reads slides. By default OpenSlide, where it is installed and knows the maker,
        and tifffile otherwise, which reads TIFF only.

    Returns:
      The image, to be closed or used in `with`.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not an image of a known kind, corrupt, or not a single one of gray or RGB.
      ImportError: reading it needs a package that is not installed.

    Example:
      >>> with open_image("slide.svs") as image:                            # doctest: +SKIP
      ...     region = image.read(0, 0, 256, 256)
    """
    path = Path(path)
    if backend not in (None, "openslide", "tifffile"):
        raise ValueError(f"backend {backend!r}; it is 'openslide', 'tifffile' or None")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        if backend is None and is_zarr(path):
            return ZarrImage(path, series)
        raise ValueError(f"{path}: a folder, not an image; known are {KNOWN}")
    if backend == "tifffile":
        return TiffImage(path, series)
    suffix = path.suffix.lower()
    if (
        backend == "openslide"
        or suffix in _ONLY_OPENSLIDE
        or (suffix in SLIDE_SUFFIXES and slide_vendor(path) and not series)
    ):
        _check_single(path, series)
        return SlideImage(path)
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith(_TIFF):
        return TiffImage(path, series)
    _check_single(path, series)
    if start.startswith(_NPY):
        return open_npy(path)
    if start.startswith(_WHOLE):
        return open_whole(path)
    raise ValueError(f"{path}: {'not an image' if start else 'empty'}; known are {KNOWN}")


def _check_single(path: Path, series: int) -> None:
    if series:
        raise ValueError(f"{path}: series {series}, but it is read as one image, series 0")
