"""TIFF files, of which only the tiles or strips touched are read and decoded."""

import dataclasses
import itertools
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from jaxnuc.io import pixel_size
from jaxnuc.io.image_files import check_black, check_size, warn_of_orientation
from jaxnuc.io.large_image import BlockImage, Box, Contents, squares
from jaxnuc.io.limits import MOST_PIXELS
from jaxnuc.io.planes import ALL, Planes, choose_image, named_axes, sharpest, unnamed
from jaxnuc.io.rgb import check_type

_COLORS = {
    tifffile.PHOTOMETRIC.MINISWHITE,
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.PALETTE,
    tifffile.PHOTOMETRIC.RGB,
}
_GRAY = {tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK}
_ASSOCIATED = 1  # an extra sample: alpha by which the colors are multiplied
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

    def __init__(
        self,
        path: Path,
        series: int | None = None,
        planes: Planes = ALL,
        most_pixels: int = MOST_PIXELS,
    ) -> None:
        """Opens a file.

        Args:
          path: of the file.
          series: of the images in the file, from 0; None: the only one, or a scanner's slide.
          planes: of the image, where there are several.
          most_pixels: that a tile or strip may have.

        Raises:
          ValueError: not a TIFF, no such series, one of several, or not gray or RGB; too large
            tiles.
          ImportError: its compression needs imagecodecs.
        """
        try:
            self._file = tifffile.TiffFile(path)
        except Exception as error:  # what parsers stumble over is of any type
            raise ValueError(f"{path}: not a readable TIFF ({error!s:.200})") from error
        try:
            images = self._file.series
            if not images:
                raise ValueError(f"{path}: not a readable TIFF (no image in it); fetch it again")
            if series is None and _is_slide(self._file):
                series = 0
            listed = [_described(each) for each in images]
            series = choose_image(series, listed, str(path))
            names = _channel_names(self._file, series)
            stored = images[series]
            in_color = _in_color(stored.keyframe)
            if in_color:
                planes, self.colors = planes.in_color(str(path))
                names = []
            found = [_stored_level(each, str(path), planes, names) for each in stored.levels]
            for each in found:
                _check_block(each, str(path), most_pixels)
            sides, where = pixel_size.of_tiff(self._file, series, found[0].page)
            shapes, blocks = [each.shape for each in found], [each.block for each in found]
            super().__init__(str(path), shapes, blocks, sides)
        except (ValueError, ImportError):
            self._file.close()
            raise
        except Exception as error:
            self._file.close()
            raise ValueError(f"{path}: not a readable TIFF ({error!s:.200})") from error
        warn_of_orientation(found[0].page, str(path))
        lengths = dict(zip(named_axes(stored.axes), stored.shape, strict=True))
        if not in_color and stored.keyframe.dtype == np.uint8:
            in_color = lengths.get("C") == 3 and unnamed(names)
        self.contents = Contents(listed, lengths, names, where, in_color=in_color)
        self._levels = [found[number] for number in self._stored]
        palette = found[0].page.photometric == tifffile.PHOTOMETRIC.PALETTE
        self._channels = 3 if palette else len(found[0].samples) * len(found[0].planes)
        if not palette:
            self.dtype = np.dtype(found[0].page.dtype)
        self._file_lock = threading.Lock()
        if found[0].sharpest:
            self._focus()

    def _focus(self) -> None:
        """Keeps the sharpest of the depths."""
        every = self._levels
        boxes = squares(self.shape)

        def take(depth: int) -> None:
            self._levels = [each.at(depth) for each in every]
            self._cache.clear()
            self._cached_bytes = 0

        def pixels(depth: int) -> np.ndarray:
            take(depth)
            return np.concatenate([self._read(0, box) for box in boxes])

        take(sharpest(range(len(every[0].planes[0])), pixels))

    def _decode(self, level: int, row: int, col: int, box: Box) -> np.ndarray:
        stored = self._levels[level]
        number = row * -(-stored.shape[1] // stored.block[1]) + col
        parts = []
        for depths in stored.planes:
            for plane in range(stored.planes_per_page):
                place = number + plane * stored.blocks
                found = [self._segment(page, place) for page in depths]
                there = [part[0] for part in found if part is not None]
                if not there:
                    return self._empty(box)
                part = there[0] if len(there) == 1 else np.max(there, axis=0)
                parts.append(part[: box.height, : box.width])
        if any(part.shape[:2] != (box.height, box.width) for part in parts):
            raise ValueError(f"only {parts[0].shape[:2]} pixels are stored")
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
        if len(stored.planes) == 1 and pixels.shape[-1] > len(stored.samples):
            pixels = pixels[..., list(stored.samples)]
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
      page: one of them, whose tags hold for all.
      planes: for each channel (one unless each has its own pages) the pages of the depths, of
        which the brightest values are seen.
      planes_per_page: channels that are stored one after the other in a page.
      blocks: tiles or strips in each of them.
      samples: of the channels in a page, those that are seen.
      sharpest: whether one of the depths remains to be chosen.
    """

    shape: tuple[int, int]
    block: tuple[int, int]
    page: Any
    planes: tuple[tuple[Any, ...], ...]
    planes_per_page: int
    blocks: int
    samples: tuple[int, ...]
    sharpest: bool

    def at(self, depth: int) -> "_StoredLevel":
        """The level with one of its depths."""
        planes = tuple((depths[depth],) for depths in self.planes)
        return dataclasses.replace(self, planes=planes)


@dataclass(frozen=True)
class _Following:
    """A plane that lies some bytes behind the page that describes it, as tifffile's pages are."""

    keyframe: Any
    offset: int
    jpegtables = None

    @property
    def dataoffsets(self) -> list[int]:
        return [start + self.offset for start in self.keyframe.dataoffsets]

    @property
    def databytecounts(self) -> Sequence[int]:
        counts: Sequence[int] = self.keyframe.databytecounts
        return counts

    @property
    def parent(self) -> Any:
        return self.keyframe.parent


def _is_slide(file: tifffile.TiffFile) -> bool:
    """Whether the first series is a slide, and the others are its thumbnail, label and overview."""
    return bool(file.is_svs or file.is_ndpi or file.is_scn or file.is_bif or file.is_philips)


def _described(image: tifffile.TiffPageSeries) -> str:
    """The name, lengths and axes of an image."""
    return f"{image.name!r}, {' x '.join(map(str, image.shape))} {image.axes}"


def _channel_names(file: tifffile.TiffFile, series: int) -> list[str]:
    """The names that OME-XML gives to the channels of an image; empty where there are none."""
    pixels = pixel_size.ome_pixels(file.ome_metadata or "", series)
    channels = enumerate([] if pixels is None else pixels.findall("{*}Channel"))
    return [channel.get("Name") or str(number) for number, channel in channels]


def _stored_level(
    series: tifffile.TiffPageSeries, where: str, planes: Planes, names: Sequence[str]
) -> _StoredLevel:
    page: Any = series.keyframe
    pages, samples, sharpest = _chosen_pages(series, where, planes, names)
    shape = page.imagelength, page.imagewidth
    check_type((*shape, len(samples) * len(pages)), np.dtype(page.dtype), where)
    _check_colors(page, where)
    block = (
        (page.tilelength, page.tilewidth)
        if page.is_tiled
        else (min(page.rowsperstrip, shape[0]), shape[1])
    )
    blocks = -(-shape[0] // block[0]) * -(-shape[1] // block[1])
    separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    planes_per_page = page.samplesperpixel if separate else 1
    for each in itertools.chain(*pages):
        if min(len(each.dataoffsets), len(each.databytecounts)) < blocks * planes_per_page:
            raise ValueError(f"{where}: parts of the image are missing; fetch it again")
    return _StoredLevel(shape, block, page, pages, planes_per_page, blocks, samples, sharpest)


def _check_block(level: _StoredLevel, where: str, most_pixels: int) -> None:
    height, width = level.block
    samples = level.page.samplesperpixel // level.planes_per_page
    try:
        check_size((width, height), most_pixels, samples * np.dtype(level.page.dtype).itemsize)
    except ValueError as error:
        raise ValueError(f"{where}: a tile or strip of {error}") from None


def _chosen_pages(
    series: tifffile.TiffPageSeries, where: str, planes: Planes, names: Sequence[str]
) -> tuple[tuple[tuple[Any, ...], ...], tuple[int, ...], bool]:
    """For each channel the pages of its depths, the samples of a page that are seen, and whether
    the sharpest depth is wanted: those of `_StoredLevel`.

    Raises:
      ValueError: the series is no image, or the planes are not in it.
    """
    page: Any = series.keyframe
    every: Sequence[Any] = list(series.pages)
    axes = named_axes(series.axes)
    sides = dict(zip(axes, series.shape, strict=True))
    samples = _samples(page)
    # Axes over the pages; the others are those of a page.
    leading = [axis for axis in axes if axis not in "YXS"]
    if page.samplesperpixel > 1 and "S" not in axes and "C" in leading:
        leading.remove("C")
    counts = [sides[axis] for axis in leading]
    if series.is_truncated and page.compression == 1:
        # ImageJ describes the first of many planes; the others follow it.
        size = sum(page.databytecounts)
        every = [_Following(page, k * size) for k in range(math.prod(counts))]
    others = [axis for axis in axes if axis not in "YXSCZT" and sides[axis] > 1]
    elsewhere = any(each is None or each.parent is not page.parent for each in every)
    both = "C" in leading and (samples > 1 or (_in_color(page) and sides["C"] > 1))
    if others or both or page.imagedepth > 1 or elsewhere or math.prod(counts) != len(every):
        raise ValueError(
            f"{where}: axes {series.axes} of shape {series.shape}; expected one image in one file; "
            "save each on its own"
        )
    over_pages = dict(zip(leading, counts, strict=True))
    channels = over_pages if samples == 1 else over_pages | {"C": samples}
    chosen = planes.choose(channels, names, where, rgb=np.dtype(page.dtype) == np.uint8)

    def number(**place: int) -> int:  # the last of the axes changes first
        result = 0
        for axis, count in over_pages.items():
            result = result * count + place.get(axis, 0)
        return result

    pages = tuple(
        tuple(every[number(T=chosen.time, C=channel, Z=depth)] for depth in chosen.depths)
        for channel in (chosen.channels if samples == 1 else (0,))
    )
    return pages, chosen.channels if samples > 1 else _colors_of(page), chosen.sharpest


def _samples(page: Any) -> int:
    """How many channels of a microscope a page holds: 1 where its samples are colors and alpha."""
    if page.samplesperpixel == 1 or page.photometric not in _GRAY or _has_alpha(page):
        return 1
    return int(page.samplesperpixel)


def _in_color(page: Any) -> bool:
    """Whether a page becomes red, green and blue, perhaps with alpha: by a palette, or as it is."""
    return page.photometric == tifffile.PHOTOMETRIC.PALETTE or (
        page.photometric not in _GRAY and page.samplesperpixel > 2
    )


def _has_alpha(page: Any) -> bool:
    return any(int(each) in (1, 2) for each in page.extrasamples or ())


def _colors_of(page: Any) -> tuple[int, ...]:
    """The samples of a page that are gray or colors and alpha, without one of no known meaning."""
    gray = page.photometric in _GRAY or page.photometric == tifffile.PHOTOMETRIC.PALETTE
    return tuple(range(min(page.samplesperpixel, (1 if gray else 3) + _has_alpha(page))))


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
    if page.photometric == tifffile.PHOTOMETRIC.RGB and page.samplesperpixel > 4:
        raise ValueError(
            f"{where}: {page.samplesperpixel} samples, of which the first three are colors; save "
            "the others as an image of their own"
        )
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and np.dtype(page.dtype).kind in "if":
        raise ValueError(
            f"{where}: a TIFF of {page.dtype} in which 0 is white: programs read it as it is or "
            "inverted; save it with 0 as black"
        )
    if page.bitspersample not in (1, 8, 16, 32, 64):
        raise ValueError(f"{where}: {page.bitspersample} bits a channel; save it with 8 or 16")
    if page.bitspersample == 1:
        try:
            check_black(page)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None


def _colors(pixels: np.ndarray, page: Any) -> np.ndarray:
    """Colors of a palette's indices, and black where the largest number is black.

    Colors that are stored multiplied with their alpha are divided by it, as `to_rgb` takes them.
    """
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        # TIFF has palettes of 16 bits, but some programs write 8 (TIFF 6.0, section 5; libtiff
        # takes them so, too).
        step = 257 if page.colormap.max() > 255 else 1
        return np.rint(np.moveaxis(page.colormap[:, pixels[..., 0]], 0, -1) / step).astype(np.uint8)
    if _ASSOCIATED in (int(each) for each in page.extrasamples or ()) and pixels.shape[-1] in (
        2,
        4,
    ):
        most = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
        alpha = pixels[..., -1:].astype(np.float64) / most
        straight = np.minimum(pixels[..., :-1] / np.where(alpha > 0, alpha, 1), most)
        if pixels.dtype.kind == "u":
            straight = np.rint(straight)
        return np.concatenate([straight.astype(pixels.dtype), pixels[..., -1:]], axis=-1)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        inverted: np.ndarray = np.iinfo(pixels.dtype).max - pixels
        return inverted
    return pixels
