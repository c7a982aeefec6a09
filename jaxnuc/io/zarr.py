"""Zarr arrays and OME-Zarr images, of which only the chunks touched are read."""

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.io.large_image import Box, Contents, LargeImage
from jaxnuc.io.limits import MOST_BYTES, check_bytes
from jaxnuc.io.pixel_size import in_microns
from jaxnuc.io.planes import (
    ALL,
    Absent,
    Chosen,
    Planes,
    Unchosen,
    choose_image,
    has_colors,
    in_focus,
    unnamed,
)
from jaxnuc.io.rgb import check_type
from jaxnuc.io.zarr_chunks import Chunks

_MARKS = ("zarr.json", ".zgroup", ".zarray")
_METADATA = (*_MARKS, ".zattrs", ".zmetadata")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return any((path / mark).is_file() for mark in _MARKS)


class ZarrImage(LargeImage):
    """A Zarr array (H, W[, 1 to 4]), or an image of OME-Zarr (0.4, 0.5), axes in any order."""

    def __init__(self, path: Path, series: int | None = None, planes: Planes = ALL) -> None:
        """Opens a folder.

        Args:
          path: of the folder.
          series: of the images in the folder, from 0; None: the only one.
          planes: of the image, where there are several.

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
            node = zarr.open(_store(path), mode="r")
            if isinstance(node, zarr.Array):
                if series:
                    raise ValueError(f"image {series} (--image), but it is one array")
                if node.ndim not in (2, 3):
                    raise ValueError(f"an array of shape {node.shape}, expected (H, W[, 1 to 4])")
                axes, arrays, sides = list("yxc"[: node.ndim]), [node], None
                images, channels = [""], list[str]()
                seen = planes.of_array(node.shape, node.dtype, str(path))
                chosen = Chosen(seen, (0,), 0, False)
            else:
                group, image, images = _multiscales(node, series, str(path))
                names = [str(axis["name"]).lower() for axis in image["axes"]]
                every = [group[each["path"]] for each in image["datasets"]]
                axes, sides = names, _physical_size(image, names)
                # Planes are numbered as of level 0: a level of fewer depths has none of these.
                counts = [_counts(axes, array.shape) for array in every]
                arrays = [each for each, n in zip(every, counts, strict=True) if n == counts[0]]
                lengths = dict(zip("".join(names).upper(), arrays[0].shape, strict=True))
                rgb = np.dtype(arrays[0].dtype) == np.uint8
                attributes = group.attrs.asdict()
                if "image-label" in attributes.get("ome", attributes):
                    raise ValueError("a label map; give the image, some folders above it")
                channels = _channel_names(group)
                chosen = planes.choose(lengths, channels, str(path), rgb)
            for array in arrays:
                _check(dict(zip(axes, array.shape, strict=True)), chosen, array.dtype)
                _check_chunks(array)
        except (Unchosen, Absent):
            raise
        except Exception as error:  # bad metadata is of any type
            raise ValueError(f"{path}: not a readable Zarr image ({error!s:.300})") from error
        shapes = [tuple(array.shape[axes.index(axis)] for axis in "yx") for array in arrays]
        super().__init__(str(path), [(rows, cols) for rows, cols in shapes], sides)
        self.dtype = np.dtype(arrays[0].dtype)
        self._axes, self._arrays = axes, [arrays[stored] for stored in self._stored]
        lengths = dict(zip("".join(axes).upper(), arrays[0].shape, strict=True))
        in_color = unnamed(channels) and has_colors(lengths.get("C", 1), self.dtype)
        scale = "OME-Zarr's scale" if sides else ""
        self.contents = Contents(images, lengths, channels, scale, in_color=in_color)
        self._chosen = chosen
        self._chosen = in_focus(chosen, self.shape, lambda box, depth: self._at(0, box, depth))

    def _read(self, level: int, box: Box) -> np.ndarray:
        depths = (self._at(level, box, depth) for depth in self._chosen.depths)
        return functools.reduce(np.maximum, depths)

    def _at(self, level: int, box: Box, depth: int) -> np.ndarray:
        """A region at a depth, (height, width, channels): all in one, as chunks hold them."""
        channels = np.array(self._chosen.channels)
        first = int(channels.min())
        place: dict[str, int | slice] = {
            "y": slice(box.row, box.row + box.height),
            "x": slice(box.col, box.col + box.width),
            "c": slice(first, int(channels.max()) + 1),
            "z": depth,
            "t": self._chosen.time,
        }
        region = np.asarray(self._arrays[level][tuple(place[axis] for axis in self._axes)])
        kept = [axis for axis in self._axes if axis in "yxc"]
        region = region.transpose([kept.index(axis) for axis in "yxc" if axis in kept])
        return region[..., channels - first] if "c" in kept else region[..., None]


def read_zarr_labels(path: Path) -> np.ndarray:
    """The label map, (H, W) integers, of a Zarr array or of OME-Zarr in full resolution.

    Of an OME-Zarr image it is the one in its group `labels`. Other axes must have one element.

    Raises:
      ValueError: not a label map, or several; the message lists them.
      ImportError: zarr is not installed.
    """
    try:
        import zarr
    except ImportError as error:
        raise ImportError(f"{path}: reading it needs zarr: pip install jaxnuc[files]") from error
    try:
        node: Any = zarr.open(_store(path), mode="r")
        if not isinstance(node, zarr.Array):
            inside = node.get("labels", node)
            names = inside.attrs.asdict()
            names = names.get("ome", names).get("labels")
            if names is not None and len(names) != 1:
                raise ValueError(f"the labels {', '.join(names) or 'none'}; give one of them")
            group, image, _ = _multiscales(inside[names[0]] if names else inside, None, str(path))
            node = group[image["datasets"][0]["path"]]
        check_bytes(node.shape, np.dtype(node.dtype), "it")
        _check_chunks(node)
        labels = np.asarray(node[...])
        labels = labels.reshape([n for n in labels.shape[:-2] if n != 1] + [*labels.shape[-2:]])
        if labels.ndim != 2 or labels.dtype.kind not in "biu":
            raise ValueError(f"{labels.dtype} of shape {node.shape}; expected (H, W) integers")
    except Exception as error:  # bad metadata is of any type
        raise ValueError(f"{path}: not a readable Zarr label map ({error!s:.300})") from error
    return labels


def _channel_names(group: Any) -> list[str]:
    """The names of the channels, as far as the metadata have them."""
    attributes = group.attrs.asdict()
    omero = attributes.get("ome", attributes).get("omero", {})
    return [str(each.get("label", "")) for each in omero.get("channels", ())]


def _counts(axes: Sequence[str], shape: Sequence[int]) -> dict[str, int]:
    """How many channels, depths and times there are."""
    return {axis: n for axis, n in zip(axes, shape, strict=True) if axis not in ("y", "x")}


def _check(sides: Mapping[str, int], chosen: Chosen, dtype: Any) -> None:
    others = {axis: n for axis, n in sides.items() if axis not in tuple("yxczt")}
    if not {"y", "x"} <= sides.keys() or others:
        raise ValueError(f"axes {sides}, expected y, x, and perhaps c, z and t")
    check_type((sides["y"], sides["x"], len(chosen.channels)), np.dtype(dtype), "it")


def _store(path: Path) -> Any:
    """The files of a folder, of which no chunk is read that becomes more than its array says.

    `_check_chunks` enters here what the chunks of each array may be.
    """
    from zarr.abc.store import RangeByteRequest
    from zarr.storage import LocalStore, WrapperStore

    class Store(WrapperStore[LocalStore]):
        _supports_sync_io = False  # Zarr 3.4 and later would read past `get`, as it does ...
        chunks: dict[str, Chunks]  # by the path of their array

        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            chunks, part = self._chunks_of(key), None
            stored = (path / key).stat().st_size if (path / key).is_file() else 0
            most = MOST_BYTES if chunks is None else chunks.most_stored
            if stored > most:
                raise ValueError(f"{key}: {stored} bytes, more than the {most} that are read")
            value = await super().get(key, prototype, byte_range)
            if value is None or chunks is None:
                return value
            if chunks.shard is not None:
                index = RangeByteRequest(0, chunks.shard.size) if chunks.shard.first else None
                if byte_range is None:
                    part = "shard"
                elif byte_range == index:
                    part = "index"
                elif not isinstance(byte_range, RangeByteRequest):
                    return value  # the index at the end
            try:
                await asyncio.to_thread(chunks.check, value.to_bytes(), part)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from error
            return value

        # ... parts of shards, those of one read together.
        async def get_ranges(
            self, key: str, byte_ranges: Sequence[Any], *, prototype: Any, **options: Any
        ) -> AsyncIterator[list[tuple[int, Any]]]:
            for number, byte_range in enumerate(byte_ranges):
                yield [(number, await self.get(key, prototype, byte_range))]

        def _chunks_of(self, key: str) -> Chunks | None:
            """How the array has its chunks to which a file belongs; None: it is no chunk."""
            folder, _, name = key.rpartition("/")
            while folder not in self.chunks and folder:
                folder = folder.rpartition("/")[0]
            return None if name in _METADATA else self.chunks.get(folder)

    store = Store(LocalStore(path, read_only=True))
    store.chunks = {}
    return store


def _check_chunks(array: Any) -> None:
    """Refuses chunks that are too large, now, or when they are read.

    Raises:
      ValueError: by its metadata a chunk is too large, or is packed so that nobody knows.
    """
    array.store_path.store.chunks[array.path] = Chunks.of(array)


def _multiscales(
    group: Any, series: int | None, where: str
) -> tuple[Any, Mapping[str, Any], list[str]]:
    """The group of an image, its metadata, and what the images are called of which it is one."""
    attributes = group.attrs.asdict()
    attributes = attributes.get("ome", attributes)
    if "bioformats2raw.layout" in attributes:  # a group of images, by number
        images = sorted((n for n in group.group_keys() if n.isdecimal()), key=int)
        group = group[images[choose_image(series, images, where)]]
        attributes = group.attrs.asdict()
        attributes = attributes.get("ome", attributes)
        return group, attributes["multiscales"][0], images
    if "plate" in attributes:
        wells = [each["path"] for each in attributes["plate"]["wells"]]
        raise ValueError(
            f"a plate of {len(wells)} wells ({', '.join(wells[:10])}); give a field of one, such "
            f"as {wells[0]}/0"
        )
    images = attributes.get("multiscales")
    if not images:
        inside = ", ".join(sorted(group.keys())) or "nothing"
        raise ValueError(f"a group without multiscales; give the image in it, of: {inside}")
    names = [str(each.get("name", "")) for each in images]
    return group, images[choose_image(series, names, where)], names


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
