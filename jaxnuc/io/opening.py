"""Opens an image by what is in the file."""

import os
from pathlib import Path
from typing import Literal

from jaxnuc.io.array_image import open_npy, open_whole
from jaxnuc.io.large_image import LargeImage
from jaxnuc.io.limits import MOST_PIXELS
from jaxnuc.io.microscopy import MICROSCOPY_SUFFIXES
from jaxnuc.io.planes import ALL, Planes
from jaxnuc.io.separate_image import SeparateImage
from jaxnuc.io.slides import SlideImage, dicom_slide, is_dicom, slide_vendor
from jaxnuc.io.tiff import TiffImage
from jaxnuc.io.zarr import ZarrImage, is_zarr

KNOWN = (
    "PNG, JPEG, BMP, TIFF, .npy, Zarr, OME-Zarr, a slide that OpenSlide reads (DICOM "
    "among them), or a microscope's CZI, ND2, LIF or DV"
)
SLIDE_SUFFIXES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".bif", ".tiff", ".tif")
# Of these, the file itself holds a list of others, or, read as TIFF, an overview or parts.
_ONLY_OPENSLIDE = (".mrxs", ".vms", ".scn", ".bif")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHOLE = (b"\x89PNG", b"\xff\xd8\xff", b"BM")
_NPY = b"\x93NUMPY"
_CZI = b"ZISRAWFILE"

Backend = Literal["openslide", "tifffile"]


def open_image(
    path: str | os.PathLike[str],
    *,
    series: int | None = None,
    backend: Backend | None = None,
    planes: Planes = ALL,
    bounds: bool = True,
    most_pixels: int = MOST_PIXELS,
) -> LargeImage:
    """Opens an image of any size, of which regions are read.

    Only the tiles, strips or chunks touched are read of TIFF, slides, CZI, `.npy` and Zarr. PNG,
    JPEG and BMP are decoded whole, and the planes of other microscopes' files. Regions are RGB of
    8 bits: gray is repeated, what is transparent is white; of other numbers than 8 bits, the
    intensity range of the whole image becomes 0 to 255.

    Args:
      path: a file, or the folder of a Zarr array, an OME-Zarr image or the DICOM files of a slide.
      series: which one, from 0, of files that hold several images, such as scenes. None: the only
        one, or the slide in a scanner's file, beside which are pictures of its label.
      backend: which reads slides. By default OpenSlide, where it is installed and knows the maker,
        and tifffile otherwise, which reads TIFF only.
      planes: channels, depth and time, of files that hold several; of an image in color, red, green
        or blue.
      bounds: crop a slide to the part that was scanned, where its file says which, as QuPath does.
      most_pixels: of what is decoded whole: PNG, JPEG and BMP files, tiles and strips of TIFF, and
        planes of ND2, LIF and DV; of up to 4 bytes each, fewer if they have more.

    Returns:
      The image, to be closed or used in `with`.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not an image of a known kind, corrupt, not gray or RGB, or one of several.
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
    try:
        if path.is_dir():
            return _open_folder(path, series, backend, planes, bounds)
        return _open_file(path, series, backend, planes, bounds, most_pixels)
    except (OSError, ImportError):
        raise
    except Exception as error:  # what decoders stumble over in a damaged file is of any type
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        kind = type(error).__name__
        raise ValueError(
            f"{path}: not readable ({kind}: {' '.join(str(error).split()):.200}); fetch it again"
        ) from error


def _open_folder(
    path: Path, series: int | None, backend: Backend | None, planes: Planes, bounds: bool
) -> LargeImage:
    if backend is None and is_zarr(path):
        return ZarrImage(path, series, planes)
    if backend != "tifffile" and is_dicom(path):
        return SlideImage(dicom_slide(path, series), bounds, planes)
    raise ValueError(f"{path}: a folder, not an image; known are {KNOWN}")


def _open_file(
    path: Path,
    series: int | None,
    backend: Backend | None,
    planes: Planes,
    bounds: bool,
    most_pixels: int,
) -> LargeImage:
    if backend == "tifffile":
        return TiffImage(path, series, planes, most_pixels)
    suffix = path.suffix.lower()
    if (
        backend == "openslide"
        or suffix in _ONLY_OPENSLIDE
        or (suffix in SLIDE_SUFFIXES and slide_vendor(path) and not series)
        or is_dicom(path)
    ):
        _check_single(path, series)
        return SlideImage(path, bounds, planes)
    with path.open("rb") as stream:
        start = stream.read(10)
    if start.startswith(_TIFF):
        return TiffImage(path, series, planes, most_pixels)
    if start == _CZI:
        return SeparateImage("czi", path, series, planes, most_pixels)
    if start and suffix in MICROSCOPY_SUFFIXES:
        return SeparateImage("bioio", path, series, planes, most_pixels)
    if start.startswith(_NPY) and not series:
        return open_npy(path, planes)
    _check_single(path, series)
    if start.startswith(_WHOLE):
        return open_whole(path, planes, most_pixels)
    raise ValueError(f"{path}: {'not an image' if start else 'empty'}; known are {KNOWN}")


def _check_single(path: Path, series: int | None) -> None:
    if series:
        raise ValueError(f"{path}: image {series} (--image), but it is read as one image, 0")
