"""Images and slides of Zeiss (CZI), read with Zeiss's own library, region by region."""

import contextlib
import functools
import threading
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from jaxnuc.io.large_image import BlockImage, Box, Contents
from jaxnuc.io.pixel_size import in_microns
from jaxnuc.io.planes import ALL, Planes, choose_image, in_focus
from jaxnuc.io.rgb import check_type

_BLOCK = 1024, 1024
_COLORS = ("Bgr24", "Bgr48")
_IMAGE, _SCALING = "Metadata/Information/Image", "Metadata/Scaling/Items/Distance"


class CziImage(BlockImage):
    """A scene of a CZI file; what the scanner left out is white in color, black in gray.

    bioio's plugin for CZI is not used: of colors it reads one channel (bioio-czi 3.0.1), and of
    scenes that the metadata do not list, the first.
    """

    def __init__(self, path: Path, series: int | None = None, planes: Planes = ALL) -> None:
        """Opens a scene.

        Args:
          path: of the file.
          series: number of the scene, from 0; None: the only one.
          planes: of the scene, where there are several.

        Raises:
          ValueError: not a CZI, no such scene, or one of several; planes to choose.
          ImportError: pylibCZIrw is not installed.
        """
        try:
            from pylibCZIrw import czi
        except ImportError as error:
            raise ImportError(
                f"{path}: reading it needs pylibCZIrw: pip install jaxnuc[microscopy]"
            ) from error
        try:
            self._file: Any = czi.CziReader(str(path))
        except Exception as error:  # of any type
            raise ValueError(f"{path}: not a readable CZI ({error!s:.200})") from error
        try:
            self._open(path, series, planes)
        except ValueError:
            self._file.close()
            raise
        except Exception as error:
            self._file.close()
            raise ValueError(f"{path}: not a readable CZI ({error!s:.200})") from error

    def _open(self, path: Path, series: int | None, planes: Planes) -> None:
        ranges = self._file.total_bounding_box
        scenes = self._file.scenes_bounding_rectangle_no_pyramid
        # Where there are no scenes, `read` takes none either.
        areas = [*scenes.items()] or [(None, self._file.total_bounding_rectangle_no_pyramid)]
        images = [f"{area.h} x {area.w}" for _, area in areas]
        self._scene, area = areas[choose_image(series, images, str(path))]
        self._corner = area.y, area.x
        sides = {axis: ranges[axis][1] - ranges[axis][0] for axis in "CZT"}
        self._first = {axis: ranges[axis][0] for axis in "CZT"}
        metadata = ElementTree.fromstring(self._file.raw_metadata)
        image = metadata.find(_IMAGE)
        _check_axes(image, path)
        types = set(self._file.pixel_types.values())
        self._colors = bool(types & {*_COLORS})
        if self._colors and sides["C"] > 1:
            raise ValueError(f"{path}: {sides['C']} channels, of colors; expected one image")
        names = [] if self._colors else _channel_names(image)
        if self._colors:
            planes, self.colors = planes.in_color(str(path))
        self._chosen = planes.choose(sides, names, str(path), rgb=False)
        shape = area.h, area.w
        size = _pixel_size(metadata)
        super().__init__(str(path), [shape], [_BLOCK], size)
        stored = {**sides, "Y": area.h, "X": area.w}
        scaling = "CZI's scaling" if size else ""
        self.contents = Contents(images, stored, names, scaling, in_color=self._colors)
        self._lock = threading.Lock()
        self.dtype = self._plane(Box(0, 0, 1, 1), self._chosen.channels[0], 0).dtype
        check_type((*shape, 3), self.dtype, str(path))
        self._chosen = in_focus(self._chosen, shape, self._at)

    def _plane(self, box: Box, channel: int, depth: int) -> np.ndarray:
        """A region of a plane, (height, width, 1, or 3 for red, green and blue)."""
        place = {"C": channel, "Z": depth, "T": self._chosen.time}
        roi = self._corner[1] + box.col, self._corner[0] + box.row, box.width, box.height
        white = 1.0 if self._colors else 0.0
        with self._lock:
            pixels: np.ndarray = self._file.read(
                roi=roi,
                plane={axis: self._first[axis] + number for axis, number in place.items()},
                scene=self._scene,
                background_pixel=(white, white, white),
            )
        return pixels[..., ::-1] if self._colors else pixels

    def _at(self, box: Box, depth: int) -> np.ndarray:
        """A region at a depth, (height, width, channels)."""
        planes = [self._plane(box, channel, depth) for channel in self._chosen.channels]
        return np.concatenate(planes, axis=-1)

    def _decode(self, level: int, row: int, col: int, box: Box) -> np.ndarray:
        return functools.reduce(np.maximum, [self._at(box, depth) for depth in self._chosen.depths])

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _check_axes(image: Any, path: Path) -> None:
    """Refuses what has more axes than channels, depths and times: angles, phases, lights."""
    sizes = {} if image is None else {axis: image.findtext(f"Size{axis}") for axis in "HIRVB"}
    more = {axis: size for axis, size in sizes.items() if size and int(size) > 1}
    if more:
        raise ValueError(f"{path}: several of the axes {more}; save one of each on its own")


def _channel_names(image: Any) -> list[str]:
    channels = () if image is None else image.findall("Dimensions/Channels/Channel")
    return [channel.get("Name") or str(number) for number, channel in enumerate(channels)]


def _pixel_size(metadata: Any) -> tuple[float, float] | None:
    """Sides of a pixel; CZI states them in meters."""
    meters = {each.get("Id"): each.findtext("Value") for each in metadata.findall(_SCALING)}
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return in_microns(float(meters["Y"]), float(meters["X"]), ("m", "m"))
    return None
