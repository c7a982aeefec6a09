"""Files of microscopes, as the plugins of bioio read them: ND2, LIF, DV and others."""

import copyreg
import math
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.io.large_image import BlockImage, Box, Contents, CorruptRegion
from jaxnuc.io.limits import MOST_PIXELS
from jaxnuc.io.pixel_size import in_microns
from jaxnuc.io.planes import ALL, Absent, Planes, Unchosen, choose_image, in_focus
from jaxnuc.io.rgb import check_type

# Zeiss's own library reads the first; the plugins of the extra some, other plugins the last.
MICROSCOPY_SUFFIXES = (".czi", ".nd2", ".lif", ".dv", ".r3d", ".oir", ".vsi", ".sldy")
_AXES = "TCZYXS"


class MicroscopyImage(BlockImage):
    """A scene of a file, of which the parts are read that its plugin can read alone.

    They are whole planes in most formats, and the tiles of a mosaic in some.
    """

    def __init__(
        self,
        path: Path,
        series: int | None = None,
        planes: Planes = ALL,
        most_pixels: int = MOST_PIXELS,
    ) -> None:
        """Opens a scene.

        Args:
          path: of the file.
          series: number of the scene, from 0; None: the only one.
          planes: of the scene, where there are several.
          most_pixels: that a part may have.

        Raises:
          ValueError: not a readable file, no such scene, or one of several; planes to choose.
          ImportError: bioio is not installed, or no plugin for such files.
        """
        try:
            import bioio
            from bioio_base.exceptions import UnsupportedFileFormatError
        except ImportError as error:
            raise ImportError(
                f"{path}: reading it needs bioio: pip install jaxnuc[microscopy]"
            ) from error
        # To import it makes all errors be pickled with their causes (tblib), which many cannot be.
        copyreg.dispatch_table.pop(CorruptRegion, None)
        try:
            image = bioio.BioImage(path)
        except UnsupportedFileFormatError as error:
            raise ImportError(
                f"{path}: none of the plugins of bioio that are installed reads it; if it is not "
                f"damaged, install the one for {path.suffix} files (bioio-bioformats reads most, "
                "and needs Java), or save it as OME-TIFF"
            ) from error
        except Exception as error:  # what parsers stumble over is of any type
            raise ValueError(f"{path}: not readable ({error!s:.200})") from error
        try:
            self._open(path, image, series, planes, most_pixels)
        except (Unchosen, Absent):
            raise
        except Exception as error:
            reason = str(error).removeprefix(f"{path}: ")
            raise ValueError(f"{path}: not readable ({reason:.200})") from error

    def _open(
        self, path: Path, image: Any, series: int | None, planes: Planes, most_pixels: int
    ) -> None:
        image.set_scene(choose_image(series, image.scenes, str(path)))
        # In the order of `_AXES`, a mosaic in one piece. bioio leaves out all but the first of
        # what has further axes.
        data = image.xarray_dask_data
        sides = dict(zip(data.dims, data.shape, strict=True))
        stored = image.reader.xarray_dask_data
        for axis, size in zip(stored.dims, stored.shape, strict=True):
            if axis not in _AXES and size > 1 and not (axis == "M" and "M" not in sides):
                raise ValueError(f"{size} of the axis {axis}; save one of them on its own")
        if "M" in sides:  # tiles of a mosaic, of which there is one
            data = data.isel(M=0)
        self._colors = sides.get("S", 1)
        if self._colors > 1 and sides["C"] > 1:
            raise ValueError(f"{sides['C']} channels, of colors; expected one image")
        in_color = self._colors > 2
        if in_color:
            planes, self.colors = planes.in_color(str(path))
        names = [] if in_color else [str(each) for each in image.channel_names]
        self._chosen = planes.choose(sides, names, str(path), rgb=False)
        self._data = data.data
        shape = sides["Y"], sides["X"]
        height, width = (data.data.chunksize[data.dims.index(axis)] for axis in "YX")
        if height * width > most_pixels:
            raise ValueError(
                f"{height} x {width} pixels are read at once, more than {most_pixels}; allow it "
                "(--most-pixels), or save it as OME-TIFF in tiles"
            )
        size = _pixel_size(image)
        super().__init__(str(path), [shape], [(height, width)], size)
        scale = "the microscope" if size else ""
        self.contents = Contents(image.scenes, sides, names, scale, in_color=in_color)
        self.dtype = np.dtype(self._data.dtype)
        check_type((*shape, self._colors * len(self._chosen.channels)), self.dtype, "it")
        self._chosen = in_focus(self._chosen, shape, lambda box, depth: self._at(box, (depth,)))

    def _at(self, box: Box, depths: tuple[int, ...]) -> np.ndarray:
        """The brightest values of some depths, (height, width, channels)."""
        rows, cols = slice(box.row, box.row + box.height), slice(box.col, box.col + box.width)
        part = self._data[self._chosen.time, :, :, rows, cols]
        part = part[list(self._chosen.channels)][:, list(depths)].max(axis=1)
        pixels: np.ndarray = part.compute(scheduler="synchronous")
        return np.moveaxis(pixels, 0, -1) if self._colors == 1 else pixels[0]

    def _decode(self, level: int, row: int, col: int, box: Box) -> np.ndarray:
        return self._at(box, self._chosen.depths)


def _pixel_size(image: Any) -> tuple[float, float] | None:
    """Sides of a pixel in micrometers."""
    sizes = image.physical_pixel_sizes
    sides = [math.nan if side is None else float(side) for side in (sizes.Y, sizes.X)]
    if sides == [1.0, 1.0]:  # what microscopes write, and readers fill in, without a calibration
        return None
    return in_microns(sides[0], sides[1], ("um", "um"))
