"""Pictures in a page, and several of one place that a slider wipes between."""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

from jaxnuc.outputs import NucleiTable, Scene
from jaxnuc.outputs.drawing import brighten, enlarge
from jaxnuc.outputs.outlined import outlined
from jaxnuc.reports.page import Html, element

SIDE = 1000  # pixels: longer pictures are made smaller


def photograph(pixels: np.ndarray) -> str:
    """A picture (h, w, 3) uint8 as the address of a JPEG."""
    return address(jpeg(pixels), "JPEG")


def jpeg(pixels: np.ndarray) -> bytes:
    """A picture (h, w, 3) uint8 as JPEG."""
    return _encoded(Image.fromarray(pixels), "JPEG", quality=85)


def png(pixels: np.ndarray) -> bytes:
    """A picture (h, w, 3) uint8 as PNG."""
    return _encoded(Image.fromarray(pixels), "PNG")


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """The picture, made smaller where a side is longer than `side`."""
    shrink = min(1.0, side / max(picture.size))
    width, height = (max(1, round(n * shrink)) for n in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX) if shrink < 1 else picture


def outlined_picture(
    tables: Iterable[NucleiTable], scene: Scene, image: np.ndarray, side: int
) -> np.ndarray:
    """A picture of a whole image with the outlines of its nuclei.

    Args:
      tables: of the nuclei.
      scene: the image.
      image: (h, w, 3) uint8, the image itself, or made small.
      side: of the picture at most, in pixels; a small image is enlarged by a whole factor.

    Returns:
      (h, w, 3) uint8.
    """
    small = np.asarray(fitted(Image.fromarray(brighten(image)), side))
    picture = enlarge(small, max(1, side // max(scene.shape)))
    outlined(tables, scene, picture)
    return picture


def drawing(levels: np.ndarray, colors: np.ndarray) -> str:
    """A picture of few colors as the address of a PNG.

    Args:
      levels: (h, w) uint8, which of the colors each pixel has.
      colors: (n, 4) uint8, red, green, blue and opacity.
    """
    # With a palette, outlines take a few kilobytes; in full color it would be a hundred times that.
    picture = Image.fromarray(levels)
    picture.putpalette(colors.tobytes(), "RGBA")
    return address(_encoded(picture, "PNG", compress_level=6), "PNG")


def address(data: bytes, kind: str) -> str:
    """The content of a PNG or JPEG as an address that holds it."""
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode()}"


def _encoded(picture: Image.Image, kind: str, **how: bool | int) -> bytes:
    data = io.BytesIO()
    picture.save(data, format=kind, **how)
    return data.getvalue()


def compare(
    of: str,
    size: tuple[int, int],
    bottom: tuple[str, str],
    layers: Mapping[str, str],
    start: Sequence[str],
    microns: float | None = None,
) -> Html:
    """A picture with layers over it, of which one shows left of a slider and one right of it.

    It fits the window, so that all of it is visible at once.

    Args:
      of: what the picture shows.
      size: (height, width) of the picture in pixels.
      bottom: name and address of the picture itself.
      layers: addresses by name of pictures over it, transparent or opaque.
      start: names of the layers that show at first, left and right.
      microns: width of the picture, for a scale bar; None: unknown.
    """
    height, width = size
    pictures = [element("img", src=bottom[1], width=width, height=height, alt=f"{of}: {bottom[0]}")]
    for name, address in layers.items():
        sides = [side for side, at in zip(("left", "right"), start, strict=True) if at == name]
        shown = {"class_": " ".join(["layer", *sides]), "data_layer": name}
        pictures.append(element("img", src=address, alt=f"{of}: {name}", **shown))
    label = f"{of}: where the left layer ends and the right one begins, in percent"
    wipe = element("input", type="range", min=0, max=100, value=50, class_="wipe", aria_label=label)
    bar = [element("span", class_="bar")]
    if microns is not None:
        bar.append(scale_bar(microns))
    stage = element("div", pictures, wipe, bar, class_="stage")
    choices = []
    for side, at in zip(("left", "right"), start, strict=True):
        buttons = []
        for name in [bottom[0], *layers]:
            pressed = "true" if name == at else "false"
            data = {"data_side": side, "data_layer": name, "aria_pressed": pressed}
            buttons.append(element("button", name, type="button", **data))
        label = f"{side} of the slider"
        choices.append(element("div", buttons, role="group", aria_label=label))
    shape = f"--shape: {width / height:.5g}"
    below = element("div", choices, class_="sides")
    return element("div", stage, below, class_="view", style=shape)


def scale_bar(microns: float) -> Html:
    """A bar of a round length, a tenth to a quarter of a picture that is so many microns wide.

    >>> scale_bar(700.0)
    '<span class="micron" style="width: 14.286%">100 µm</span>'
    """
    power = 10.0 ** math.floor(math.log10(microns / 4))
    length = max(step * power for step in (1, 2, 5) if step * power <= microns / 4)
    text = f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"
    return element("span", text, class_="micron", style=f"width: {100 * length / microns:.5g}%")
