"""TIFF files, checked before they are decoded: one image, whole, in gray or RGB."""

import math
from pathlib import PurePosixPath

import tifffile
from PIL import Image

_PYRAMIDS = (".svs",)  # several pages, the whole image first
_GRAY = {
    tifffile.PHOTOMETRIC.MINISWHITE,
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.PALETTE,
}
_JPEG = tifffile.COMPRESSION.JPEG  # of YCbCr, which the decoder makes RGB
_FAX = {2, 3, 4}  # compressions of black and white, of which 0 is white by convention


class Refused(ValueError):
    """The file may be whole, but is of a kind that is not read."""


def check_size(sides: tuple[int, int]) -> None:
    """Refuses images of more pixels than `PIL.Image.MAX_IMAGE_PIXELS`, which may be a bomb.

    Args:
      sides: width and height.

    Raises:
      ValueError: it has more.
    """
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and math.prod(sides) > most:
        raise Refused(
            f"{sides[0]} x {sides[1]} pixels, more than the {most} that are read; cut it up, or, "
            "if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS"
        )


def first_page(tiff: tifffile.TiffFile, where: str) -> tuple[tifffile.TiffPage, int]:
    """The first page of a file, checked.

    Args:
      tiff: the file, open.
      where: its address; of a slide (`.svs`) the other pages are smaller copies.

    Returns:
      The page, and the number of pages if there are several images.

    Raises:
      ValueError: more pixels than are read, colors that are neither gray, a palette nor RGB, more
        channels than that, or a part of the image that is not in the file.
    """
    page = tiff.pages.first
    check_size((page.imagewidth, page.imagelength))
    if page.axes not in ("YX", "YXS", "SYX"):
        raise Refused(f"axes {page.axes} of shape {page.shape}; expected one image")
    if page.photometric not in _GRAY and (
        page.photometric != tifffile.PHOTOMETRIC.RGB and page.compression != _JPEG
    ):
        colors = tifffile.PHOTOMETRIC(page.photometric).name
        raise Refused(f"an image of {colors} colors; convert it to RGB")
    if page.samplesperpixel > (2 if page.photometric in _GRAY else 4):
        raise Refused(f"{page.samplesperpixel} channels, expected gray or RGB")
    length = tiff.filehandle.size
    for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        # A part without bytes is read as zeros.
        if count < 1 or start < 1 or start + count > length:
            raise ValueError("a part of the image is missing")
    if PurePosixPath(where).suffix.lower() in _PYRAMIDS:
        return page, 0
    pages = max(len(tiff.pages), tiff.series[0].size // max(page.size, 1))
    return page, pages if pages > 1 else 0


def check_black(page: tifffile.TiffPage) -> None:
    """Refuses a page in which 0 is white, which programs read as it is or inverted."""
    white = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    if white and page.compression not in _FAX:
        raise Refused(
            "a TIFF in which 0 is white: programs read it as it is or inverted; save it with 0 as "
            "black"
        )


def check_single(pages: int) -> None:
    """Refuses several images, of which all but the first would be lost."""
    if pages:
        raise Refused(f"several images ({pages} pages; save each image on its own)")
