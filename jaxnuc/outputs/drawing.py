"""Elements of pictures of nuclei: outlines, a legend, a brightened image."""

import math
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxnuc.io.atomic import replacing
from jaxnuc.outputs.palette import Color

SIDE = 768  # pixels: pictures with a shorter long side are enlarged
PAPER: Color = (24, 24, 24)
INK: Color = (235, 235, 235)
# Pixels of a legend below a picture of at most 2047 a side.
FONT_SIZE, LINE, GAP, SWATCH, SPACE, NARROWEST = 15, 26, 14, 14, 6, 320


def enlargement(shape: tuple[int, int]) -> int:
    """The whole factor that makes the longer side of an image at least `SIDE` pixels long."""
    return math.ceil(SIDE / max(shape))


def enlarge(array: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, ...) to (scale * H, scale * W, ...), each pixel a square."""
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


def brighten(image: np.ndarray) -> np.ndarray:
    """A dark (H, W, 3) uint8 image in proportion brighter, a bright one as it is.

    Fluorescence often uses the lowest tenth of the range: black on most screens.
    """
    top = float(np.percentile(image, 99.5)) if image.size else 255.0
    gain = min(max(220.0 / max(top, 1.0), 1.0), 8.0)
    if gain == 1:
        return image.copy()
    shown = np.minimum(np.arange(256) * gain, 255.0).astype(np.uint8)
    return np.array(Image.fromarray(image).point(shown.tolist() * 3))


def outlines(instances: np.ndarray, width: int = 1) -> np.ndarray:
    """The outermost pixels of every instance, against its neighbors too; not along the border.

    Of (H, W) integer or bool instances, (H, W) bool; `width` pixels wide.

    Example:
      >>> outlines(np.array([[0, 1, 1, 1, 2, 2]])).astype(int)
      array([[0, 1, 0, 1, 1, 0]])
    """
    found = np.zeros(instances.shape, bool)
    for _ in range(width):
        inner = instances.copy()
        inner[found] = 0
        edge = np.zeros_like(found)
        down, across = inner[1:] != inner[:-1], inner[:, 1:] != inner[:, :-1]
        edge[1:] |= down
        edge[:-1] |= down
        edge[:, 1:] |= across
        edge[:, :-1] |= across
        found |= edge & (inner != 0)
    return found


def with_legend(picture: np.ndarray, items: Sequence[tuple[Color | None, str]]) -> np.ndarray:
    """Puts a strip below a picture: swatches and texts, in as many lines as the width needs.

    Text is larger below a picture of 2048 pixels or more, which is usually viewed reduced.

    Args:
      picture: (H, W, 3) uint8, RGB.
      items: the color of a swatch, or None, and a text.
    """
    scale = max(1, max(picture.shape) // 1024)
    size, pitch, gap, swatch, space, narrowest = (
        scale * n for n in (FONT_SIZE, LINE, GAP, SWATCH, SPACE, NARROWEST)
    )
    height, width = picture.shape[0], max(picture.shape[1], narrowest)
    font = ImageFont.load_default(size=size)
    places, x, line = [], gap, 0
    for color, text in items:
        mark = swatch + space if color else 0
        while text[1:] and mark + font.getlength(text) > width - 2 * gap:
            text = text[:-2] + "…"
        length = mark + int(font.getlength(text))
        if x > gap and x + length > width - gap:
            x, line = gap, line + 1
        places.append((x, line, color, text))
        x += length + gap
    canvas = Image.new("RGB", (width, height + (line + 1) * pitch + space), PAPER)
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for x, line, color, text in places:
        middle = height + space // 2 + line * pitch + pitch // 2
        if color:
            box = (x, middle - swatch // 2, x + swatch, middle + swatch // 2)
            draw.rectangle(box, color, outline=INK)  # of black, nothing else would be seen
            x += swatch + space
        draw.text((x, middle), text, fill=INK, font=font, anchor="lm")
    return np.asarray(canvas)


def save_png(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 as PNG; the file is never seen half written."""
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, "PNG")
