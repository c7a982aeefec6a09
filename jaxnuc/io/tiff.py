"""TIFF files, of which only the tiles or strips touched are read and decoded."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from jaxnuc.io import pixel_size
from jaxnuc.io.image_files import check_black
from jaxnuc.io.large_image import BlockImage, Box, CorruptRegion
from jaxnuc.io.rgb import check_type

_COLORS = {
    tifffile.PHOTOMETRIC.MINISWHITE,
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.PALETTE,
    tifffile.PHOTOMETRIC.RGB,
}
# Their decoders make RGB of YCbCr.
_DECODED_TO_RGB = {
    tifffile.COMPRESSION.JPEG,
    tifffile.COMPRESSION.OJPEG,
    tifffile.COMPRESSION.WEBP,
    tifffile.COMPRESSION.APERIO_JP2000_YCBC,
}


class TiffImage(BlockImage):
    """A series of a TIFF file: strips, tiles, pyramids, BigTIFF, OME-TIFF, Aperio's slides.

    Tiles of which the file stores no byte are white, as a viewer shows the glass of a slide.
    """

    def __init__(self, path: Path, series: int | None = None) -> None:
        """Opens a file.

        Args:
          path: of the file.
          series: of the images in the file, from 0; None: the only one, or a scanner's slide.

        Raises:
          ValueError: not a TIFF, no such series, one of several, or not gray or RGB.
          ImportError: its compression needs imagecodecs.
        """
        try:
            self._file = tifffile.TiffFile(path)
        except (tifffile.TiffFileError, OSError) as error:
            raise ValueError(f"{path}: not a readable TIFF ({error!s:.200})") from error
        try:
            images = self._file.series
            if not images:
                raise ValueError(f"{path}: not a readable TIFF (no image in it); fetch it again")
            if series is None and len(images) > 1 and not _is_slide(self._file):
                raise ValueError(f"{path}: {_several(images)}")
            series = series or 0
            if not 0 <= series < len(images):
                raise ValueError(f"{path}: series {series}, but it has {len(images)} from 0")
            found = [_stored_level(each, str(path)) for each in images[series].levels]
            sides = pixel_size.of_tiff(self._file, series, found[0].page)
            shapes, blocks = [each.shape for each in found], [each.block for each in found]
            super().__init__(str(path), shapes, blocks, sides)
        except (ValueError, ImportError):
            self._file.close()
            raise
        except Exception as error:  # what parsers stumble over is of any type
            self._file.close()
            raise ValueError(f"{path}: not a readable TIFF ({error!s:.200})") from error
        self._levels = [found[stored] for stored in self._stored]
        palette = found[0].page.photometric == tifffile.PHOTOMETRIC.PALETTE
        self._channels = 3 if palette else found[0].page.samplesperpixel * len(found[0].planes)
        if not palette:
            self.dtype = np.dtype(found[0].page.dtype)
        self._file_lock = threading.Lock()

    def _decode(self, level: int, row: int, col: int, box: Box) -> np.ndarray:
        stored = self._levels[level]
        number = row * -(-stored.shape[1] // stored.block[1]) + col
        parts = []
        try:
            for page in stored.planes:
                for plane in range(stored.planes_per_page):
                    part = self._segment(page, number + plane * stored.blocks)
                    if part is None:
                        return self._empty(box)
                    parts.append(part[0, : box.height, : box.width])
        except Exception as error:  # of any type, and none says where
            raise CorruptRegion(self.path, level, box, str(error)) from error
        if any(part.shape[:2] != (box.height, box.width) for part in parts):
            reason = f"only {parts[0].shape[:2]} pixels are stored"
            raise CorruptRegion(self.path, level, box, reason)
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        return _colors(pixels, stored.page)

    def _empty(self, box: Box) -> np.ndarray:
        """A block of which nothing is stored: white as glass, but black in a camera's image."""
        if self.dtype == np.uint8:
            return np.full((box.height, box.width, self._channels), 255, np.uint8)
        return np.zeros((box.height, box.width, self._channels), self.dtype)

    def _segment(self, page: Any, number: int) -> np.ndarray | None:
        """One tile or strip (1, h, w, channels), None where nothing of it is stored."""
        start, count = page.dataoffsets[number], page.databytecounts[number]
        if not count:
            return None
        with self._file_lock:
            self._file.filehandle.seek(start)
            data = self._file.filehandle.read(count)
        if len(data) < count:
            raise ValueError(f"the file ends {count - len(data)} bytes before its end")
        header = page.keyframe.jpegheader
        return page.keyframe.decode(data, number, jpegtables=page.jpegtables, jpegheader=header)[0]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


@dataclass(frozen=True)
class _StoredLevel:
    """Where the pixels of a level lie.

    Attributes:
      shape: (H, W).
      block: height and width of a tile or strip.
      page: of which the tags tell what all of them are.
      planes: the pages that hold its channels, one unless each has its own.
      planes_per_page: channels that are stored one after the other in a page.
      blocks: tiles or strips in each of them.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    page: Any
    planes: tuple[Any, ...]
    planes_per_page: int
    blocks: int


def _is_slide(file: tifffile.TiffFile) -> bool:
    """Whether the first series is a slide, and the others are its thumbnail, label and overview."""
    return bool(file.is_svs or file.is_ndpi or file.is_scn or file.is_bif or file.is_philips)


def _several(images: list[tifffile.TiffPageSeries]) -> str:
    """What is in a file of several images, and how to choose one."""
    named = [
        f"{number}: {each.name!r}, {' x '.join(map(str, each.shape))} {each.axes}"
        for number, each in enumerate(images[:10])
    ]
    more = f" and {len(images) - 10} more" if len(images) > 10 else ""
    return (
        f"{len(images)} images ({'; '.join(named)}{more}); choose one (--image=0), or save each on "
        "its own"
    )


def _stored_level(series: tifffile.TiffPageSeries, where: str) -> _StoredLevel:
    page: Any = series.keyframe
    pages: tuple[Any, ...] = tuple(series.pages)
    sides = {axis: n for axis, n in zip(series.axes, series.shape, strict=True) if n > 1}
    others = {axis: n for axis, n in sides.items() if axis not in "YXSC"}
    elsewhere = any(each is None or each.parent is not page.parent for each in pages)
    size = page.imagelength * page.imagewidth * page.samplesperpixel * len(pages)
    if others or page.imagedepth > 1 or elsewhere or series.size != size:
        raise ValueError(
            f"{where}: axes {series.axes} of shape {series.shape}; expected one image in one "
            "file; save each on its own"
        )
    channels = page.samplesperpixel * len(pages)
    if len(pages) not in (1, 3) or (len(pages) == 3 and page.samplesperpixel > 1):
        raise ValueError(f"{where}: {channels} channels; expected gray or RGB")
    shape = page.imagelength, page.imagewidth
    check_type((*shape, channels), np.dtype(page.dtype), where)
    _check_colors(page, where)
    block = (
        (page.tilelength, page.tilewidth)
        if page.is_tiled
        else (min(page.rowsperstrip, shape[0]), shape[1])
    )
    blocks = -(-shape[0] // block[0]) * -(-shape[1] // block[1])
    separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    planes_per_page = page.samplesperpixel if separate else 1
    for each in pages:
        if min(len(each.dataoffsets), len(each.databytecounts)) < blocks * planes_per_page:
            raise ValueError(f"{where}: parts of the image are missing; fetch it again")
    return _StoredLevel(shape, block, page, pages, planes_per_page, blocks)


def _check_colors(page: Any, where: str) -> None:
    if page.compression != 1 and page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise ImportError(
            f"{where}: the compression {page.compression!r} needs imagecodecs: "
            "pip install jaxnuc[slides]"
        )
    decoded = page.photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression in _DECODED_TO_RGB
    if page.photometric not in _COLORS and not decoded:
        colors = tifffile.PHOTOMETRIC(page.photometric).name
        raise ValueError(f"{where}: an image of {colors} colors; convert it to RGB")
    if page.bitspersample not in (1, 8, 16, 32, 64):
        raise ValueError(f"{where}: {page.bitspersample} bits a channel; save it with 8")
    if page.bitspersample == 1:
        try:
            check_black(page)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None


def _colors(pixels: np.ndarray, page: Any) -> np.ndarray:
    """Colors of a palette's indices, and black where the largest number is black."""
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return np.rint(np.moveaxis(page.colormap[:, pixels[..., 0]], 0, -1) / 257).astype(np.uint8)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        most: np.ndarray = np.iinfo(pixels.dtype).max - pixels
        return most
    return pixels
