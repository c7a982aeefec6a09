"""Small Aperio slides read whole, without OpenSlide."""

import io

import numpy as np
import tifffile
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from jaxnuc.io.image_files import decode_colors
from jaxnuc.io.rgb import to_rgb
from jaxnuc.io.tiff_checks import check_size

_JPEG_2000 = {33003: "YCbCr", 33005: "RGB"}  # Aperio's own numbers, and the tiles' colors


def read_svs(data: bytes, where: str) -> np.ndarray:
    """The slide at its full resolution, the first image in the file.

    Args:
      data: the content of the file, a tiled TIFF: uncompressed, LZW, Deflate, JPEG or JPEG 2000.
      where: its address, for errors.

    Returns:
      (H, W, 3) uint8.

    Raises:
      ValueError: a damaged file, or no such slide.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page = tiff.pages.first
            if page.compression not in _JPEG_2000:
                # Pillow gives the first image, which is the slide.
                return to_rgb(decode_colors(data, where), where)
            return _tiles(data, page, _JPEG_2000[page.compression])
    except MemoryError:
        raise
    except Exception as error:  # what parsers stumble over in a damaged file is of any type
        if str(error).startswith(where):
            raise
        raise ValueError(
            f"{where}: cannot be decoded ({error!s:.200}); it is truncated, corrupt or no Aperio "
            "slide: fetch it again"
        ) from error


def _tiles(data: bytes, page: tifffile.TiffPage, colors: str) -> np.ndarray:
    height, width = page.tilelength, page.tilewidth
    rows, columns = -(-page.imagelength // height), -(-page.imagewidth // width)
    check_size((page.imagewidth, page.imagelength))
    check_size((width, height))
    if len(page.dataoffsets) != rows * columns:
        raise ValueError(f"{len(page.dataoffsets)} tiles, expected {rows * columns}")
    slide = np.zeros((rows * height, columns * width, 3), np.uint8)
    places = zip(page.dataoffsets, page.databytecounts, strict=True)
    for k, (offset, count) in enumerate(places):
        part = io.BytesIO(data[offset : offset + count])
        with Jpeg2KImageFile(part) as tile:
            if tile.size != (width, height) or len(tile.getbands()) != 3:
                raise ValueError(f"tile {k} is {tile.mode} of {tile.size} pixels")
            bands = tile.split()
        if colors == "YCbCr":  # the codestream does not say it
            bands = Image.merge("YCbCr", bands).convert("RGB").split()
        top, left = k // columns * height, k % columns * width
        slide[top : top + height, left : left + width] = np.dstack(
            [np.asarray(band) for band in bands]
        )
    return slide[: page.imagelength, : page.imagewidth]
