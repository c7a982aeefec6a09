"""Whole slides, as OpenSlide reads them."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxnuc.io.large_image import BlockImage, Box, CorruptRegion
from jaxnuc.io.pixel_size import plausible

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


class SlideImage(BlockImage):
    """A slide, read with OpenSlide; what the scanner did not scan is white."""

    def __init__(self, path: Path) -> None:
        """Opens a slide.

        Raises:
          ValueError: OpenSlide does not read it.
          ImportError: OpenSlide is not installed.
        """
        try:
            import openslide
        except ImportError as error:
            raise ImportError(
                f"{path}: reading this slide needs OpenSlide: pip install jaxnuc[slides]"
            ) from error
        self._openslide: Any = openslide
        self._lock = threading.Lock()
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideError as error:
            raise ValueError(f"{path}: not a slide that OpenSlide reads ({error})") from error
        shapes = [(height, width) for width, height in self._slide.level_dimensions]
        super().__init__(str(path), shapes, [_BLOCK] * len(shapes), _pixel_size(self._slide))

    def _decode(self, level: int, row: int, col: int, box: Box) -> np.ndarray:
        with self._lock:
            slide = self._slide
        stored = self._stored[level]
        factor = slide.level_downsamples[stored]
        corner = round(box.col * factor), round(box.row * factor)
        try:
            colors = slide.read_region(corner, stored, (box.width, box.height))
        except self._openslide.OpenSlideError as error:
            self._reopen(slide)
            raise CorruptRegion(self.path, level, box, str(error)) from error
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


def _pixel_size(slide: Any) -> tuple[float, float] | None:
    properties = slide.properties
    try:
        sides = float(properties["openslide.mpp-y"]), float(properties["openslide.mpp-x"])
    except (KeyError, ValueError):
        return None
    plain = properties.get("openslide.vendor") == _PLAIN_TIFF
    return None if min(sides) <= 0 or (plain and not plausible(sides)) else sides
