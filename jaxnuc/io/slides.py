"""Whole slides, as OpenSlide reads them."""

import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxnuc.io.large_image import BlockImage, Box, Contents
from jaxnuc.io.pixel_size import plausible
from jaxnuc.io.planes import ALL, Planes, choose_image
from jaxnuc.io.slide_check import check_slide

# Between the pixels of a smaller level, OpenSlide interpolates. Blocks that always begin at the
# same places make every pixel one and the same, whichever region it is read with.
_BLOCK = 512, 512
_PLAIN_TIFF = "generic-tiff"


def slide_vendor(path: Path) -> str | None:
    """The maker of a slide that OpenSlide reads; None where it does not, or is not installed."""
    try:
        import openslide
    except ImportError:
        return None
    vendor: str | None = openslide.OpenSlide.detect_format(path)
    return None if vendor == _PLAIN_TIFF else vendor


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, or a folder has such files, as the levels of a slide are."""
    if path.is_dir():
        return any(each.is_file() for each in path.glob("*.[dD][cC][mM]"))
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def dicom_slide(folder: Path, series: int | None) -> Path:
    """One of the files of a slide, of which OpenSlide finds the others.

    Args:
      folder: of DICOM files.
      series: number of the slide, from 0; None: the only one.

    Raises:
      ValueError: no slide, no such slide, or one of several.
      ImportError: OpenSlide is not installed.
    """
    openslide = _openslide(folder)
    slides: dict[str, Path] = {}
    for path in sorted(folder.glob("*.[dD][cC][mM]")):
        check_slide(path)
        with contextlib.suppress(openslide.OpenSlideError), openslide.OpenSlide(path) as slide:
            slides.setdefault(slide.properties["dicom.SeriesInstanceUID"], path)
    if not slides:
        raise ValueError(f"{folder}: no slide among the DICOM files in it")
    number = choose_image(series, [path.name for path in slides.values()], str(folder))
    return list(slides.values())[number]


def _openslide(path: Path) -> Any:
    try:
        import openslide
    except ImportError as error:
        raise ImportError(
            f"{path}: reading this slide needs OpenSlide: pip install jaxnuc[slides]"
        ) from error
    return openslide


class SlideImage(BlockImage):
    """A slide, read with OpenSlide; what the scanner did not scan is white.

    Of a slide that was scanned in parts, the file may say the bounds of what there is. QuPath crops
    to them, and so do we: the first pixel is that at the upper left corner of the bounds, and all
    coordinates count from there (OpenSlide, "Standard properties"; QuPath,
    `OpenslideImageServer`).
    """

    def __init__(self, path: Path, bounds: bool = True, planes: Planes = ALL) -> None:
        """Opens a slide, all of it or what is within its bounds, in all colors or some.

        Raises:
          ValueError: OpenSlide does not read it; a channel, depth or time that there is not.
          ImportError: OpenSlide is not installed.
        """
        openslide = self._openslide = _openslide(path)
        planes, self.colors = planes.in_color(str(path))
        planes.choose({}, (), str(path), rgb=True)
        self._lock = threading.Lock()
        check_slide(path)
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise ValueError(f"{path}: not a slide that OpenSlide reads ({error})") from error
        width, height = self._slide.dimensions
        whole = Box(0, 0, height, width)
        self._bounds = (_bounds(self._slide) or whole) if bounds else whole
        shapes = [(height, width) for width, height in self._slide.level_dimensions]
        if self._bounds != whole:
            shapes = [
                (
                    _within(self._bounds.height, factor, rows),
                    _within(self._bounds.width, factor, cols),
                )
                for (rows, cols), factor in zip(shapes, self._slide.level_downsamples, strict=True)
            ]
        size = _pixel_size(self._slide)
        super().__init__(str(path), shapes, [_BLOCK] * len(shapes), size)
        self.contents = Contents(
            sides={"Y": height, "X": width},
            pixel_size_from="the slide (openslide.mpp-x)" if size else "",
            bounds=None if self._bounds == whole else self._bounds,
            in_color=True,
        )

    def _decode(self, level: int, row: int, col: int, box: Box) -> np.ndarray:
        with self._lock:
            slide = self._slide
        stored = self._stored[level]
        factor = slide.level_downsamples[stored]
        corner = (
            self._bounds.col + round(box.col * factor),
            self._bounds.row + round(box.row * factor),
        )
        try:
            colors = slide.read_region(corner, stored, (box.width, box.height))
        except self._openslide.OpenSlideError:
            self._reopen(slide)
            raise
        white = Image.new("RGBA", colors.size, "white")
        return np.asarray(Image.alpha_composite(white, colors).convert("RGB"))

    def _reopen(self, failed: Any) -> None:
        """Replaces a slide that failed, which reads nothing more; others may still use it."""
        with self._lock:
            if self._slide is failed:
                self._slide = self._openslide.OpenSlide(self.path)

    def close(self) -> None:
        """Closes the slide."""
        self._slide.close()


def _bounds(slide: Any) -> Box | None:
    """What was scanned, in pixels of level 0; None where the file does not say."""
    width, height = slide.dimensions
    names = ("bounds-y", "bounds-x", "bounds-height", "bounds-width")
    try:
        row, col, rows, cols = (int(slide.properties[f"openslide.{name}"]) for name in names)
    except (KeyError, ValueError):
        return None
    inside = 0 <= row < row + rows <= height and 0 <= col < col + cols <= width
    return Box(row, col, rows, cols) if inside else None


def _within(length: int, factor: float, whole: int) -> int:
    """The side of the bounds in a smaller copy."""
    return min(max(1, round(length / factor)), whole)


def _pixel_size(slide: Any) -> tuple[float, float] | None:
    properties = slide.properties
    try:
        sides = float(properties["openslide.mpp-y"]), float(properties["openslide.mpp-x"])
    except (KeyError, ValueError):
        return None
    plain = properties.get("openslide.vendor") == _PLAIN_TIFF
    return None if min(sides) <= 0 or (plain and not plausible(sides)) else sides
