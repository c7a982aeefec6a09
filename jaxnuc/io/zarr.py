"""Zarr arrays and OME-Zarr images, of which only the chunks touched are read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.io.large_image import Box, CorruptRegion, LargeImage
from jaxnuc.io.pixel_size import in_microns
from jaxnuc.io.rgb import check_type

_MARKS = ("zarr.json", ".zgroup", ".zarray")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any((path / mark).is_file() for mark in _MARKS)


class ZarrImage(LargeImage):
    """A Zarr array (H, W[, 1 to 4]), or an image of OME-Zarr (0.4 and 0.5), channels anywhere."""

    def __init__(self, path: Path, series: int | None = None) -> None:
        """Opens a folder.

        Args:
          path: of the folder.
          series: of the images in the folder, from 0; None: the only one.

        Raises:
          ValueError: not an image, no such series, or several images along time or depth.
          ImportError: zarr is not installed.
        """
        try:
            import zarr
        except ImportError as error:
            raise ImportError(
                f"{path}: reading it needs zarr: pip install jaxnuc[files]"
            ) from error
        try:
            node = zarr.open(path, mode="r")
            if isinstance(node, zarr.Array):
                if series:
                    raise ValueError(f"series {series}, but it is one array")
                if node.ndim not in (2, 3):
                    raise ValueError(f"an array of shape {node.shape}, expected (H, W[, 1 to 4])")
                axes, arrays, sides = list("yxc"[: node.ndim]), [node], None
            else:
                group, image = _multiscales(node, series)
                names = [str(axis["name"]) for axis in image["axes"]]
                arrays = [group[each["path"]] for each in image["datasets"]]
                axes, sides = names, _physical_size(image, names)
                _check_channels(dict(zip(names, arrays[0].shape, strict=True)), group)
            for array in arrays:
                _check(dict(zip(axes, array.shape, strict=True)), array.dtype)
        except Exception as error:  # bad metadata is of any type
            raise ValueError(f"{path}: not a readable Zarr image ({error!s:.300})") from error
        shapes = [tuple(array.shape[axes.index(axis)] for axis in "yx") for array in arrays]
        super().__init__(str(path), [(rows, cols) for rows, cols in shapes], sides)
        self.dtype = np.dtype(arrays[0].dtype)
        self._axes, self._arrays = axes, [arrays[stored] for stored in self._stored]

    def _read(self, level: int, box: Box) -> np.ndarray:
        slices = {"y": slice(box.row, box.row + box.height)}
        slices |= {"x": slice(box.col, box.col + box.width), "c": slice(None)}
        index = tuple(slices.get(axis, 0) for axis in self._axes)
        try:
            region = np.asarray(self._arrays[level][index])
        except Exception as error:  # codecs raise whatever they like
            raise CorruptRegion(self.path, level, box, str(error)) from error
        kept = [axis for axis in self._axes if axis in slices]
        order = [kept.index(axis) for axis in "yxc" if axis in kept]
        return region.transpose(order)


def _check_channels(sides: Mapping[str, int], group: Any) -> None:
    """Refuses channels of a microscope, of which none is the alpha: gray and RGB are read."""
    count = sides.get("c", 1)
    if count in (1, 3):
        return
    attributes = group.attrs.asdict()
    omero = attributes.get("ome", attributes).get("omero", {})
    names = ", ".join(str(each.get("label")) for each in omero.get("channels", ())) or "unnamed"
    raise ValueError(
        f"{count} channels ({names}); expected gray or RGB: save the one with the nuclei on its own"
    )


def _check(sides: Mapping[str, int], dtype: Any) -> None:
    if not {"y", "x"} <= sides.keys() or any(n > 1 for a, n in sides.items() if a not in "cyx"):
        raise ValueError(f"axes {sides}, expected one image with y, x and c")
    check_type((sides["y"], sides["x"], sides.get("c", 1)), np.dtype(dtype), "it")


def _multiscales(group: Any, series: int | None) -> tuple[Any, Mapping[str, Any]]:
    """The group of an image, and its metadata."""
    given = series is not None
    series = series or 0
    attributes = group.attrs.asdict()
    attributes = attributes.get("ome", attributes)
    if "bioformats2raw.layout" in attributes:  # a group of images, by number
        images = sorted((n for n in group.group_keys() if n.isdecimal()), key=int)
        if not given and len(images) > 1:
            raise ValueError(f"{len(images)} images ({', '.join(images)}); choose one (--image=0)")
        if str(series) not in images:
            raise ValueError(f"series {series}, but it has {', '.join(images)}")
        group, series = group[str(series)], 0
        attributes = group.attrs.asdict()
        attributes = attributes.get("ome", attributes)
    images = attributes.get("multiscales")
    if not images:
        inside = ", ".join(sorted(group.keys())) or "nothing"
        raise ValueError(f"a group without multiscales; give the image in it, of: {inside}")
    if not 0 <= series < len(images):
        raise ValueError(f"series {series}, but it has {len(images)} from 0")
    return group, images[series]


def _physical_size(image: Mapping[str, Any], axes: Sequence[str]) -> tuple[float, float] | None:
    """Sides of a pixel of level 0: the scales of the level and of the image, in their units."""
    sides = [1.0, 1.0]
    scaled = False
    for transforms in (
        image["datasets"][0].get("coordinateTransformations", ()),
        image.get("coordinateTransformations", ()),
    ):
        for transform in transforms:
            if transform["type"] == "scale":
                scale = dict(zip(axes, transform["scale"], strict=True))
                sides = [side * scale[axis] for side, axis in zip(sides, "yx", strict=True)]
                scaled = True
    units = [str(image["axes"][axes.index(axis)].get("unit")) for axis in "yx"]
    return in_microns(sides[0], sides[1], (units[0], units[1])) if scaled else None
