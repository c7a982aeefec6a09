"""The contract of an annotation format."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from jaxnuc.io.limits import MOST_PIXELS
from jaxnuc.io.polygons import Patch, Pieces, Shape


class Object(NamedTuple):
    """One annotated object.

    Attributes:
      shape: its outline, outlines or pixels, (x, y) in the coordinates of the file.
      name: of its class, None where it has none.
      ignored: what is there is neither to be found nor to be left out.
      plane: (z, t) in a stack; None where the file does not say.
    """

    shape: Shape
    name: str | None
    ignored: bool = False
    plane: tuple[int, int] | None = None


class ImageAnnotations(NamedTuple):
    """What a file says of an image.

    Attributes:
      objects: in the order of the file.
      image: name of the image's file, perhaps with its folders; None: the file does not say, and is
        of one image.
      size: (H, W) of the image; None: the file does not say.
      mpp: microns per pixel; None: the file does not say.
      convention: how outlines become pixels, see `jaxnuc.io.polygons.rasterize`: where the format
        has them through the centers of pixels, not along their borders.
      centered: coordinates are micrometers from the center of the slide, and the file does not say
        where the image lies.
    """

    objects: tuple[Object, ...]
    image: str | None = None
    size: tuple[int, int] | None = None
    mpp: float | None = None
    convention: str = "pixel_centers"
    centered: bool = False


class Reader(ABC):
    """A kind of annotation file.

    A format is a class `Reader` in a file of this package, or in a package of the user's.

    Attributes:
      title: what it is called, for errors.
    """

    title: ClassVar[str]

    @abstractmethod
    def accepts(self, content: Any) -> bool:
        """Whether a file is of this format; no two formats accept the same.

        Args:
          content: what JSON holds, the root element of XML, or the bytes of a zip or ROI.
        """

    @abstractmethod
    def read(self, content: Any, where: str) -> tuple[ImageAnnotations, ...]:
        """Reads a file that `accepts` was true of.

        Args:
          content: as for `accepts`.
          where: address of the file, for errors.

        Raises:
          ValueError: the file is damaged, or holds an object that is no nucleus; the message names
            the file, the object and the way out.
        """


def is_region(name: str) -> bool:
    """Whether a name is QuPath's of annotated regions, as `Region*` and `region 2`.

    >>> is_region("Region*"), is_region("region_2"), is_region("Regional")
    (True, True, False)
    """
    return re.match(r"region(?![^\W\d_])", name, re.IGNORECASE) is not None


def check_plane(objects: Sequence[Object], where: str) -> None:
    """Refuses, with a ValueError, objects that lie on several planes of a stack."""
    planes = sorted({each.plane for each in objects if each.plane is not None})
    if len(planes) > 1:
        listed = " and ".join(f"z={z}, t={t}" for z, t in (planes[0], planes[-1]))
        raise ValueError(
            f"{where}: objects on {len(planes)} planes, such as {listed}, and an image is one; "
            "export each plane with its own annotations"
        )


def is_list_of(content: Any, key: str) -> bool:
    """Whether every element of a list, at least one, is a dictionary with this key."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(each, dict) and key in each for each in content)
    )


def grouped(objects: Sequence[Object], groups: Sequence[Any]) -> tuple[Object, ...]:
    """Objects of one class and one group, None being no group, as one object of several pieces."""
    found: dict[Any, list[Object]] = {}
    for k, (each, group) in enumerate(zip(objects, groups, strict=True)):
        key = k if group is None else (each.name, str(group))
        found.setdefault(key, []).append(each)
    return tuple(
        several[0] if len(several) == 1 else Object(_joined(several), several[0].name)
        for several in found.values()
    )


def _joined(objects: Sequence[Object]) -> Pieces:
    shapes = [each.shape for each in objects]
    return Pieces(tuple(p for s in shapes for p in (s.parts if isinstance(s, Pieces) else (s,))))


def text_or_none(value: Any, at: str) -> str | None:
    """The name of a class; numbers become text, an empty name is none.

    Raises:
      ValueError: it is something else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{at} has the class {value!r:.80}; expected a name")
    return str(value)


def size_or_none(height: Any, width: Any, where: str) -> tuple[int, int] | None:
    """(H, W) of two numbers or strings; None where one is missing.

    Raises:
      ValueError: they are no whole numbers above 0.
    """
    if height is None or width is None:
        return None
    try:
        found = int(height), int(width)
    except (TypeError, ValueError, OverflowError):
        found = 0, 0
    if min(found) < 1 or found != (float(height), float(width)):
        raise ValueError(
            f"{where}: an image of height {height!r:.40} and width {width!r:.40}; expected two "
            "whole numbers above 0"
        )
    return found


def ellipse(
    center: tuple[float, float], radii: tuple[float, float], degrees: float = 0
) -> np.ndarray:
    """(256, 2) points (x, y) around an ellipse, nowhere farther from it than 0.0001 radii.

    `degrees` turn it clockwise about its center, as y counts downward.
    """
    angles = np.arange(256) * (2 * np.pi / 256)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return points @ np.array([[cos, sin], [-sin, cos]]) + center


def rectangle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The four corners (x, y) of a box between two opposite ones."""
    (left, top), (right, bottom) = first, second
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def patch_of_runs(starts: np.ndarray, stops: np.ndarray, height: int) -> Patch:
    """The pixels of half-open runs down the columns of an image of this height; no run: none.

    Raises:
      ValueError: they reach over more than `MOST_PIXELS`.
    """
    if not len(starts):
        return Patch(0, 0, np.zeros((0, 0), bool))
    left, right = int(starts.min()) // height, int(stops.max() - 1) // height
    if (right - left + 1) * height > MOST_PIXELS:
        raise ValueError(
            f"a mask over {right - left + 1} columns of {height} pixels, more than the "
            f"{MOST_PIXELS} pixels that are read"
        )
    change = np.zeros((right - left + 1) * height + 1, np.int8)
    change[starts - left * height] += 1
    change[stops - left * height] -= 1
    mask = np.cumsum(change[:-1]).astype(bool).reshape(-1, height).T
    rows = np.flatnonzero(mask.any(axis=1))
    return Patch(int(rows[0]), left, mask[rows[0] : rows[-1] + 1])
