"""Which of the images and planes of a file are read: its channels, depths and times."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import numpy as np

from jaxnuc.io.large_image import Box, squares

Depth = int | Literal["max", "best"]

# What the channels of an image in color are called.
COLORS = ("red", "green", "blue")

# Pages of one shape of which the file does not say what they are.
_UNNAMED = ("I", "Q")


@dataclass(frozen=True)
class Planes:
    """The planes of an image that the network sees, of a file that has several.

    Attributes:
      channel: one by its name or number from 0, shown in gray, or three, shown as red, green and
        blue; none: the only one, or RGB. Those of an image in color are `"red"`, `"green"` and
        `"blue"`.
      z: a depth by its number from 0; `"max"`, the brightest value of all depths at each pixel; or
        `"best"`, the sharpest depth of the image; None: there is one.
      time: a time by its number from 0; None: there is one.
    """

    channel: tuple[str | int, ...] = ()
    z: Depth | None = None
    time: int | None = None

    def __post_init__(self) -> None:
        if len(self.channel) not in (0, 1, 3):
            raise ValueError(
                f"{len(self.channel)} channels {self.channel}; give one, or three for red, green "
                "and blue"
            )
        for each in self.channel:
            if not isinstance(each, str | Integral):
                raise ValueError(f"channel={each!r}: a channel is a name or a number from 0")
        if self.z not in ("max", "best") and not isinstance(self.z, Integral | None):
            raise ValueError(f"z={self.z!r}; it is a number from 0, 'max' or 'best'")
        if not isinstance(self.time, Integral | None):
            raise ValueError(f"time={self.time!r}; it is a number from 0")

    def choose(
        self, sides: Mapping[str, int], names: Sequence[str], where: str, rgb: bool
    ) -> "Chosen":
        """The planes of a file.

        Args:
          sides: lengths of its axes `"C"`, `"Z"` and `"T"`, as far as there are such.
          names: of the channels, as far as they are known.
          where: the address of the file, for errors.
          rgb: whether three channels are red, green and blue where none is asked for.

        Raises:
          Unchosen: there are several, and none is chosen; lists them.
          Absent: one is chosen that there is not.
        """
        missing: list[str] = []
        count = sides.get("C", 1)
        if rgb and count == 3 and unnamed(names):
            names = COLORS
        channels: tuple[int, ...] = ()
        if self.channel:
            channels = tuple(_channel(each, count, names, where) for each in self.channel)
        elif count == 1 or (count == 3 and rgb):
            channels = tuple(range(count))
        else:
            missing.append(
                f"{count} channels ({_listed(count, names)}); choose one by name or number, such "
                "as --channel=0, or three to be red, green and blue"
            )
        depth, depths = self.z, sides.get("Z", 1)
        if depth is None and depths > 1:
            missing.append(
                f"{depths} depths; choose one (--z=0 to {depths - 1}), the sharpest (--z=best) or "
                "the brightest of all at each pixel (--z=max)"
            )
        if isinstance(depth, int):
            _check(depth, depths, where, "z", "depth")
        every = tuple(range(depths)) if isinstance(depth, str) else (depth or 0,)
        times = sides.get("T", 1)
        if self.time is None and times > 1:
            missing.append(f"{times} times; choose one (--time=0 to {times - 1})")
        _check(self.time or 0, times, where, "time", "time")
        if missing:
            raise Unchosen(f"{where}: {', and '.join(missing)}; see docs/prediction.md")
        return Chosen(channels, every, self.time or 0, sharpest=depth == "best")

    def in_color(self, where: str) -> tuple["Planes", tuple[int, ...]]:
        """Of a file whose pixels have colors: the planes without channels, and the colors.

        The colors are the numbers of those that are seen: 0 red, 1 green, 2 blue.

        Raises:
          Absent: a channel is chosen that is no color.

        >>> Planes(("blue",), z=3).in_color("a.png")
        (Planes(channel=(), z=3, time=None), (2,))
        """
        seen = tuple(_channel(each, len(COLORS), COLORS, where) for each in self.channel)
        return dataclasses.replace(self, channel=()), seen or (0, 1, 2)

    def of_array(self, shape: tuple[int, ...], dtype: np.dtype, where: str) -> tuple[int, ...]:
        """The channels of an array (H, W[, C]) in a file that does not say what they are.

        Three are taken for colors, and four of 8 bits for colors and alpha; other numbers for
        channels of a microscope.

        Raises:
          Unchosen: there are several, and none is chosen; lists them.
          Absent: one is chosen that there is not.
        """
        count = shape[2] if len(shape) == 3 else 1
        names = COLORS if has_colors(count, dtype) else ()
        whole = count == 4 and bool(names) and not self.channel
        chosen = self.choose({"C": 1 if whole else count}, names, where, rgb=True)
        return tuple(range(4)) if whole else chosen.channels


ALL = Planes()


class Unchosen(ValueError):
    """A file holds several images or planes, and none of them is chosen."""


class Absent(ValueError):
    """An image or a plane is chosen that the file does not have."""


@dataclass(frozen=True)
class Chosen:
    """Numbers of planes: the brightest of several depths is seen, or the sharpest of them."""

    channels: tuple[int, ...]
    depths: tuple[int, ...]
    time: int
    sharpest: bool


def has_colors(count: int, dtype: np.dtype) -> bool:
    """Whether the channels of an array are taken for red, green and blue, perhaps with alpha."""
    return count == 3 or (count == 4 and dtype == np.uint8)


def unnamed(names: Sequence[str]) -> bool:
    """Whether the channels of a file have no names, or only their numbers as names."""
    return not any(name.strip("0123456789") for name in names)


def named_axes(axes: str) -> str:
    """Axes in which pages of unknown meaning are depths, where there are no depths.

    >>> named_axes("IYX"), named_axes("tczyx"), named_axes("ZQYX")
    ('ZYX', 'TCZYX', 'ZQYX')
    """
    axes = axes.upper()
    for name in _UNNAMED:
        if name in axes and "Z" not in axes:
            axes = axes.replace(name, "Z")
    return axes


def choose_image(number: int | None, images: Sequence[str], where: str) -> int:
    """The number of the image that is read, of those that a file holds, by what they are called.

    Raises:
      Unchosen: there are several, and none is chosen; lists them.
      Absent: there is no such image.
    """
    if number is None and len(images) > 1:
        named = "; ".join(f"{k}: {each}" for k, each in enumerate(images[:10]))
        more = f" and {len(images) - 10} more" if len(images) > 10 else ""
        raise Unchosen(
            f"{where}: {len(images)} images ({named}{more}); choose one (--image=0), or save each "
            "on its own; see docs/prediction.md"
        )
    number = number or 0
    if not 0 <= number < len(images):
        raise Absent(f"{where}: image {number} (--image), but it has {len(images)} from 0")
    return number


def in_focus(
    chosen: Chosen, shape: tuple[int, int], read: Callable[[Box, int], np.ndarray]
) -> Chosen:
    """The planes with the sharpest of the depths, where that is what is wanted.

    Args:
      chosen: the planes.
      shape: (H, W) of the image.
      read: gives the pixels of a region at a depth.
    """
    if not chosen.sharpest:
        return chosen
    boxes = squares(shape)
    depth = sharpest(
        chosen.depths, lambda depth: np.concatenate([read(box, depth) for box in boxes])
    )
    return dataclasses.replace(chosen, depths=(depth,))


def sharpest(depths: Sequence[int], pixels: Callable[[int], np.ndarray]) -> int:
    """The depth whose pixels differ most from the mean of their four neighbors.

    `pixels` gives those of a depth, (H, W[, C]). The measure is the variance of the Laplacian (Pech
    Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000).
    """

    def sharpness(depth: int) -> float:
        image = pixels(depth).astype(np.float64)
        if min(image.shape[:2]) < 3:
            return 0.0
        around = image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:]
        return float((around - 4 * image[1:-1, 1:-1]).var())

    return max(depths, key=sharpness)


def _channel(wanted: str | int, count: int, names: Sequence[str], where: str) -> int:
    """The number of a channel by its name, upper and lower case alike where one is meant, or by its
    number."""
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    alike = [k for k, name in enumerate(names) if name.casefold() == str(wanted).casefold()]
    if len(alike) == 1:
        return alike[0]
    number = int(wanted) if str(wanted).isdecimal() else None
    if number is None or number >= count:
        if count == 1:
            raise Absent(
                f"{where}: no channel {wanted!r}: the image has one, in gray; leave the channel "
                "(--channel) out"
            )
        raise Absent(f"{where}: no channel {wanted!r}; there are {_listed(count, names)}")
    return number


def _listed(count: int, names: Sequence[str]) -> str:
    """Numbers and names of channels.

    >>> _listed(3, ["DAPI", "GFP"])
    '0 DAPI, 1 GFP, 2'
    """
    named = [*names[:count], *[""] * (count - len(names))]
    return ", ".join(f"{number} {name}".strip() for number, name in enumerate(named))


def _check(number: int, count: int, where: str, axis: str, kind: str) -> None:
    if not 0 <= number < count:
        there = f"there are {count} from 0" if count > 1 else f"there is one {kind}; leave it out"
        raise Absent(f"{where}: {axis}={number} (--{axis}), but {there}")
