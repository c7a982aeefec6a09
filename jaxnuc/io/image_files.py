"""Names and contents of image files."""

import functools
import io
import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import numpy as np
import tifffile
from PIL import Image, ImageMode, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from jaxnuc.io.limits import MOST_PIXELS, PER_PIXEL
from jaxnuc.io.npy import decode_npy

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")

_KINDS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
# Only these are opened: Pillow knows dozens of formats, some of which start other programs.
_READERS = {"PNG": PngImageFile, "JPEG": jpeg_factory, "BMP": BmpImageFile, "TIFF": TiffImageFile}
LOSSY_SUFFIXES = (".jpg", ".jpeg")
_JUNK = ("__macosx", ".ds_store", "thumbs.db", "desktop.ini")
# What tifffile decodes by itself; it reads every dtype, Pillow reads the other compressions.
_TIFFFILE_CODECS = {
    tifffile.COMPRESSION.NONE,
    tifffile.COMPRESSION.ADOBE_DEFLATE,
    tifffile.COMPRESSION.DEFLATE,
    tifffile.COMPRESSION.PACKBITS,
    tifffile.COMPRESSION.LZMA,
}
_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "I", "I;16", "I;16B", "F")
# Pillow turns TIFF images by their orientation tag; how to turn them back.
_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_ORIENTATION = 274
_IS_TURNED = (
    "%s: turned as its tag (EXIF, orientation %d) says, as viewers, LabelMe and CVAT show it; if a "
    "program that you use shows it otherwise, save it without the tag"
)
_IS_STORED = (
    "%s: read as it is stored, though its tag (orientation %d) asks to turn it; if a program that "
    "you use does, save it as it is shown there"
)
_TURNED = range(2, 9)  # orientations that are not that of the stored image
_PYRAMIDS = (".svs",)  # several pages, the whole image first
_GRAY = {
    tifffile.PHOTOMETRIC.MINISWHITE,
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.PALETTE,
}
# Aperio's own: of tiles in YCbCr, which their codestream does not say, and in RGB.
_JPEG_2000 = tifffile.COMPRESSION.APERIO_JP2000_YCBC, tifffile.COMPRESSION.APERIO_JP2000_RGB
_MADE_RGB = {tifffile.COMPRESSION.JPEG, *_JPEG_2000}  # by the decoder
_LOSSY = {tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG, *_JPEG_2000}
_FAX = {2, 3, 4}  # compressions of black and white, of which 0 is white by convention


class MissingPackage(ImportError):
    """Reading a file needs a package that is not installed."""


class Refused(ValueError):
    """The file may be whole, but is of a kind that is not read."""


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts numbers inside of names by their value.

    >>> sorted(["a10.png", "a9.png", "a1.png"], key=natural_key)
    ['a1.png', 'a9.png', 'a10.png']
    """
    parts = [part for part in re.split(r"([0-9]+)", name) if part]
    # By length and digits: `int` refuses thousands of them.
    digits = [part.lstrip("0") if part.isdecimal() else None for part in parts]
    return [
        (1, 0, part) if number is None else (0, len(number), number)
        for part, number in zip(parts, digits, strict=True)
    ]


def is_junk(name: str) -> bool:
    """Whether a path is what operating systems leave behind, such as `__MACOSX` and `Thumbs.db`.

    >>> is_junk("__MACOSX/a/._1.png"), is_junk("a/.DS_Store"), is_junk("a/1.png")
    (True, True, False)
    """
    parts = PurePosixPath(name).parts
    return any(p.startswith("._") or p.lower() in _JUNK for p in parts)


def decode(data: bytes, where: str) -> np.ndarray:
    """Decodes the bytes of an image or `.npy` file without converting the values.

    For labels and masks. The content of the file is PNG, TIFF, JPEG or BMP whatever its suffix, or
    NPY. Colors of a palette are left aside, and an image lies as it is stored, whatever orientation
    its tags ask for.

    Returns:
      (H, W) or (H, W, C), of the dtype in the file; a palette image gives its indices, and a TIFF
      of several images of one size the stack of them.

    Raises:
      ValueError: the file is truncated, corrupt or of another format; it has several images,
        more pixels than `MOST_PIXELS`, printing colors, or 16 bits in each of
        several channels; Python objects in a NPY file; a TIFF whose 0 is white, which programs
        read in opposite ways; a JPEG of another suffix, whose numbers are not the original ones.
    """
    suffix = PurePosixPath(where).suffix.lower()
    if suffix == ".npy":
        return decode_npy(data, where)
    with _errors(where):
        kind, bits, stored = _kind(data), 8, None
        if kind == "JPEG" and suffix not in LOSSY_SUFFIXES:
            raise Refused(f"a JPEG in a {suffix} file; it has other numbers than the original")
        if kind == "TIFF":
            with tifffile.TiffFile(io.BytesIO(data)) as tiff:
                page, several = _first_page(tiff, where)
                if page.compression in _LOSSY:
                    raise Refused(
                        "a TIFF with JPEG's compression, whose numbers are not the original ones; "
                        "save it with Deflate or LZW"
                    )
                bits, stored = page.bitspersample, page.dtype
                check_black(page)
                if page.compression in _TIFFFILE_CODECS and bits not in (2, 4):
                    if several and len(tiff.series) == 1:
                        check_size((several, page.size), each=np.dtype(page.dtype).itemsize)
                        return tiff.asarray()
                    _check_single(several)
                    array = page.asarray()
                    return np.moveaxis(array, 0, -1) if page.axes == "SYX" else array
                _check_single(several)
        elif kind == "PNG":
            bits = data[24]
        image = _load(data, kind, stored)
        array = np.asarray(image)
        # Pillow stretches gray of 2 and 4 bits to 0 .. 255.
        return array // (255 // (2**bits - 1)) if bits in (2, 4) and image.mode == "L" else array


def decode_colors(data: bytes, where: str) -> np.ndarray:
    """Decodes the bytes of an image of 8 bits, such as a mask, to its colors: see `decode_image`.

    Returns:
      (H, W) uint8 gray, (H, W, C) uint8 gray and alpha, RGB, or RGB and alpha; (H, W) bool.

    Raises:
      ValueError: as `decode_image`; more than 8 bits a channel.
    """
    array = decode_image(data, where)
    if array.dtype not in (np.uint8, np.bool):
        raise ValueError(f"{where}: an image of {array.dtype}; rescale it to 8 bits, 0 to 255")
    return array


def decode_image(
    data: bytes,
    where: str,
    most_pixels: int = MOST_PIXELS,
    transparent: bool = False,
    turned: bool = False,
) -> np.ndarray:
    """Decodes the bytes of an image file to its colors: a palette's, not its indices.

    The image lies as it is stored, as the labels of data sets do, unless it is to be `turned`. Any
    suffix will do.

    Args:
      data: of the file.
      where: its address, for errors.
      most_pixels: refuses larger images, before anything is decoded.
      transparent: give an alpha to a PNG in which one color, or some of a palette, is transparent.
      turned: turn a JPEG or PNG as its tags (EXIF) say, which cameras write: so viewers show it,
        and so it is annotated in LabelMe and CVAT. A warning says so.

    Returns:
      (H, W) gray, (H, W, C) gray and alpha, RGB, or RGB and alpha, of the type in the file.

    Raises:
      ValueError: as `decode`. But any file may be a JPEG, and in gray of 8 bits 0 may be white.
      ImportError: a PNG of 16 bits in several channels, and imagecodecs is not installed.
    """
    with _errors(where):
        kind = _kind(data)
        if kind == "TIFF":
            with tifffile.TiffFile(io.BytesIO(data)) as tiff:
                page, several = _first_page(tiff, where, most_pixels)
                _check_single(several)
                if page.colormap is not None and page.colormap.max() < 256:
                    raise Refused("a palette of 8 bits, where TIFF has 16; save it as RGB")
                deep = page.dtype is not None and page.dtype not in (np.uint8, np.bool)
                if deep or page.bitspersample == 1:
                    check_black(page)
                if deep:
                    array = page.asarray()
                    return np.moveaxis(array, 0, -1) if page.axes == "SYX" else array
                if page.compression in _JPEG_2000:
                    return _jpeg_2000_tiles(data, page)
        elif kind == "PNG" and data[24] > 8:
            PngImageFile(io.BytesIO(data)).verify()
            if data[25] != 0:
                return _deep_png(data, where, most_pixels)
        image = _load(data, kind, most=most_pixels)
        if turned and (orientation := _orientation(image)) in _TURNED:
            _warn_once(_IS_TURNED, where, orientation)
            image = ImageOps.exif_transpose(image)
        if transparent and "transparency" in image.info and image.mode in ("L", "P", "RGB"):
            return np.asarray(image.convert("LA" if image.mode == "L" else "RGBA"))
        if image.mode in ("P", "PA"):
            image.info.pop("transparency", None)  # dropped, like any alpha
            image = image.convert("RGB")
        return np.asarray(image)


def _deep_png(data: bytes, where: str, most: int) -> np.ndarray:
    """A PNG of 16 bits in several channels, of which Pillow drops half of the bits."""
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingPackage(
            f"{where}: a PNG of 16 bits in several channels needs imagecodecs: "
            "pip install jaxnuc[slides]"
        ) from error
    check_size(PngImageFile(io.BytesIO(data)).size, most, 8)
    pixels: np.ndarray = imagecodecs.png_decode(data)
    return pixels


def image_size(data: bytes, where: str) -> tuple[int, int]:
    """Height and width of an image file, as it is stored, from its header.

    Raises:
      ValueError: as `decode_colors`, where the header shows it.
    """
    with _errors(where):
        kind = _kind(data)
        if kind == "TIFF":
            with tifffile.TiffFile(io.BytesIO(data)) as tiff:
                page = _first_page(tiff, where)[0]
                return page.imagelength, page.imagewidth
        width, height = _open(data, kind).size
        return height, width


@contextmanager
def _errors(where: str) -> Iterator[None]:
    """Makes a ValueError with the address of whatever goes wrong."""
    try:
        yield
    except Refused as error:
        raise ValueError(f"{where}: {error}") from None
    except (MemoryError, MissingPackage):
        raise
    except Exception as error:  # what parsers stumble over in a damaged file is of any type
        suffix = PurePosixPath(where).suffix.lower()
        raise ValueError(
            f"{where}: cannot be decoded ({error!s:.200}); it is truncated, corrupt or not a "
            f"{suffix or 'known'} file: fetch it again"
        ) from error


def check_size(sides: tuple[int, int], most: int = MOST_PIXELS, each: int = PER_PIXEL) -> None:
    """Refuses (width, height) of too many pixels: a small file may hold more than the memory.

    Where a pixel has more bytes, `each`, than `PER_PIXEL`, fewer of them are too many.
    """
    many = most if each <= PER_PIXEL else most * PER_PIXEL // each
    if math.prod(sides) > many:
        raise Refused(
            f"{sides[0]} x {sides[1]} pixels, more than the {many} that are read at once; if you "
            "trust it, give --most-pixels to predict, or save it as TIFF in tiles, of which any "
            "size is read"
        )


@functools.lru_cache(maxsize=4096)
def _warn_once(text: str, where: str, orientation: int) -> None:
    logger.warning(text, where, orientation)


def warn_of_orientation(page: tifffile.TiffPage, where: str) -> None:
    """Says once of a TIFF that some viewers turn it."""
    tag = page.tags.get(_ORIENTATION)
    if tag is not None and tag.value in _TURNED:
        _warn_once(_IS_STORED, where, tag.value)


def _orientation(image: Image.Image) -> int:
    """1 to 8, as EXIF numbers them."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # of damaged tags: of any type; viewers show the image as it is stored
        return 1


def check_black(page: tifffile.TiffPage) -> None:
    """Refuses a page in which 0 is white, which programs read as it is or inverted."""
    white = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    if white and page.compression not in _FAX:
        raise Refused(
            "a TIFF in which 0 is white: programs read it as it is or inverted; save it with 0 as "
            "black"
        )


def _first_page(
    tiff: tifffile.TiffFile, where: str, most: int = MOST_PIXELS
) -> tuple[tifffile.TiffPage, int]:
    """The first page of a file, checked, and the number of pages if there are several images.

    Of a slide (`.svs`) the other pages are smaller copies.
    """
    page = tiff.pages.first
    size = np.dtype(page.dtype).itemsize * page.samplesperpixel
    check_size((page.imagewidth, page.imagelength), most, size)
    if page.axes not in ("YX", "YXS", "SYX"):
        raise Refused(f"axes {page.axes} of shape {page.shape}; expected one image")
    if page.photometric not in _GRAY and (
        page.photometric != tifffile.PHOTOMETRIC.RGB and page.compression not in _MADE_RGB
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


def _check_single(pages: int) -> None:
    """Refuses several images, of which all but the first would be lost."""
    if pages:
        raise Refused(f"several images ({pages} pages; save each image on its own)")


def _kind(data: bytes) -> str:
    for start, kind in _KINDS.items():
        if data.startswith(start):
            return kind
    raise ValueError("neither PNG, TIFF, JPEG nor BMP" if data else "it is empty")


def _open(data: bytes, kind: str, most: int = MOST_PIXELS) -> ImageFile:
    """The image, of which only the header is read."""
    image: ImageFile = _READERS[kind](io.BytesIO(data))
    if kind == "PNG":
        several = getattr(image, "n_frames", 1)
        if several > 1:
            raise Refused(f"an animation ({several} images; save each image on its own)")
        if data[24] > 8 and data[25] != 0:  # Pillow would drop half of the bits
            raise Refused("16 bits in each of several channels; save it with 8")
    check_size(image.size, most)
    if image.mode not in _MODES:
        raise Refused(f"an image of {image.mode} colors; convert it to RGB")
    return image


def _load(
    data: bytes, kind: str, stored: np.dtype | None = None, most: int = MOST_PIXELS
) -> Image.Image:
    """The image as it lies in the file; where `stored` is given, with numbers of that size."""
    if kind == "PNG":
        PngImageFile(io.BytesIO(data)).verify()  # the checksums, which decoding does not look at
    image = _open(data, kind, most)
    read = np.dtype(ImageMode.getmode(image.mode).typestr)
    if stored is not None and (stored == np.int8 or stored.itemsize != read.itemsize):
        raise Refused(f"{stored} in this compression; save it uncompressed or with Deflate")
    turned = image.getexif().get(_ORIENTATION) if kind == "TIFF" else None
    image.load()
    return image.transpose(_BACK[turned]) if turned in _BACK else image


def _jpeg_2000_tiles(data: bytes, page: tifffile.TiffPage) -> np.ndarray:
    """A page of a slide of Aperio, (H, W, 3) uint8, of which Pillow decodes every tile."""
    height, width = page.tilelength, page.tilewidth
    rows, columns = -(-page.imagelength // height), -(-page.imagewidth // width)
    check_size((width, height))
    if len(page.dataoffsets) != rows * columns:
        raise ValueError(f"{len(page.dataoffsets)} tiles, expected {rows * columns}")
    slide = np.zeros((rows * height, columns * width, 3), np.uint8)
    places = zip(page.dataoffsets, page.databytecounts, strict=True)
    for k, (offset, count) in enumerate(places):
        with Jpeg2KImageFile(io.BytesIO(data[offset : offset + count])) as tile:
            if tile.size != (width, height) or len(tile.getbands()) != 3:
                raise ValueError(f"tile {k} is {tile.mode} of {tile.size} pixels")
            bands = tile.split()
        if page.compression == tifffile.COMPRESSION.APERIO_JP2000_YCBC:
            bands = Image.merge("YCbCr", bands).convert("RGB").split()
        top, left = k // columns * height, k % columns * width
        slide[top : top + height, left : left + width] = np.dstack([np.asarray(b) for b in bands])
    return slide[: page.imagelength, : page.imagewidth]
