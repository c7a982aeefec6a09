"""Contact sheets: many small pictures of a data set with its nuclei outlined, to look at."""

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms.geometry import centers
from jaxnuc.io.atomic import replace_file

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

NUCLEUS: Color = (0, 230, 90)  # outlines where there are no classes
# Outlines of class 1, 2, ...: after Okabe and Ito, lightened to be seen on stained tissue.
CLASSES: tuple[Color, ...] = (
    (0, 230, 120),
    (255, 170, 0),
    (90, 190, 255),
    (255, 240, 70),
    (235, 80, 0),
    (0, 90, 220),
    (230, 120, 190),
    (255, 255, 255),
)
IGNORED: Color = (150, 150, 150)  # outlines of nuclei of ignored classes, and the hatching
UNCLASSED: Color = (255, 0, 0)  # a nucleus without class where the others have one
CAPTIONS: dict[str, Color] = {"": (235, 235, 235), "note": (240, 228, 66), "error": (255, 90, 70)}

PAPER: Color = (24, 24, 24)
FONT_SIZE, LINE, GAP, SWATCH = 12, 18, 6, 10  # pixels
HATCH, STROKE = 8, 2  # pixels from line to line, and of a line


@dataclass(frozen=True)
class Picture:
    """A tile of the sheet.

    Attributes:
      pixels: (h, w, 3) uint8, RGB, from `thumbnail`.
      caption: what stands below it, shortened to the width of the tile.
      level: `""`, or `"note"` or `"error"`, which color the caption.
    """

    pixels: np.ndarray
    caption: str
    level: str = ""


def thumbnail(sample: Sample, side: int = 256) -> np.ndarray:
    """A small picture (h, w, 3) uint8 of a sample with the outlines of its nuclei.

    Outlines are inside the nuclei, one for each of two that touch, colored by class where there
    are classes. What is to be ignored is hatched. Dark images are brightened. Samples with a longer
    side than `side` pixels are reduced to it, smaller ones stay as they are.
    """
    height, width = sample.instances.shape
    factor = min(1.0, side / max(height, width))
    h, w = max(1, round(height * factor)), max(1, round(width * factor))
    small = Image.fromarray(sample.image).resize((w, h), Image.Resampling.BOX)
    picture = _brighten(np.asarray(small))
    nearest = np.ix_(centers(height, h), centers(width, w))
    if sample.ignore is not None:
        row, column = np.indices((h, w))
        picture[sample.ignore[nearest] & ((row + column) % HATCH < STROKE)] = IGNORED
    instances = sample.instances[nearest]
    outlines = find_boundaries(instances, connectivity=1, mode="inner")
    if sample.classes is None:
        picture[outlines] = NUCLEUS
    else:
        picture[outlines] = _colors(sample.classes[nearest][outlines])
    return picture


def contact_sheet(pictures: Sequence[Picture], classes: Sequence[str] = ()) -> np.ndarray:
    """Puts pictures into a grid about as wide as it is high, with captions and a legend of classes.

    Returns:
      (H, W, 3) uint8, RGB. Picture k has its upper left pixel at `GAP + row * (h + LINE + GAP)`,
      `GAP + column * (w + GAP)`, with h and w of the largest picture.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    h = max(picture.pixels.shape[0] for picture in pictures)
    w = max(picture.pixels.shape[1] for picture in pictures)
    columns = max(1, round(math.sqrt(len(pictures) * (h + LINE) / w)))
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    font = ImageFont.load_default(size=FONT_SIZE)
    width = GAP + columns * (w + GAP)
    legend = _legend(classes, width, font)
    top = GAP + rows * (h + LINE + GAP)
    canvas = Image.new("RGB", (width, top + (legend[-1][1] + LINE if legend else 0)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for k, picture in enumerate(pictures):
        row, column = divmod(k, columns)
        x, y = GAP + column * (w + GAP), GAP + row * (h + LINE + GAP)
        canvas.paste(Image.fromarray(picture.pixels), (x, y))
        text = _shortened(picture.caption, w, font)
        place = (x, y + picture.pixels.shape[0] + LINE // 2)
        draw.text(place, text, fill=CAPTIONS[picture.level], font=font, anchor="lm")
    for x, y, color, text in legend:
        middle = top + y + LINE // 2
        draw.rectangle((x, middle - SWATCH // 2, x + SWATCH, middle + SWATCH // 2), color)
        draw.text((x + SWATCH + 4, middle), text, fill=CAPTIONS[""], font=font, anchor="lm")
    return np.asarray(canvas)


def write_contact_sheet(
    path: str | os.PathLike[str], pictures: Sequence[Picture], classes: Sequence[str] = ()
) -> None:
    """Writes a `contact_sheet` as PNG; the file is never seen half written."""
    data = io.BytesIO()
    Image.fromarray(contact_sheet(pictures, classes)).save(data, format="PNG")
    replace_file(Path(path), data.getvalue())


def _colors(classes: np.ndarray) -> np.ndarray:
    """(N, 3) uint8, the color of each of N classes."""
    palette = np.array(CLASSES, np.uint8)
    colors = palette[(classes - 1) % len(palette)]
    colors[classes == 0] = UNCLASSED
    colors[classes < 0] = IGNORED
    return colors


def _brighten(image: np.ndarray) -> np.ndarray:
    """Fluorescence often uses the lowest tenth of the range: black on most screens."""
    gain = min(max(220.0 / max(float(np.percentile(image, 99.5)), 1.0), 1.0), 8.0)
    return np.minimum(image * gain, 255.0).astype(np.uint8)


def _shortened(text: str, width: int, font: Font) -> str:
    """The text, its middle left out where it is too long: names differ at both ends."""
    short, kept = text, len(text) - 1
    while font.getlength(short) > width and kept:
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        kept -= 1
    return short


def _legend(classes: Sequence[str], width: int, font: Font) -> list[tuple[int, int, Color, str]]:
    """(x, y, color, text) of each class, in as many lines as the width asks."""
    items, x, y = [], GAP, 0
    for k, name in enumerate(classes):
        length = SWATCH + 4 + int(font.getlength(name)) + 2 * GAP
        if x > GAP and x + length > width:
            x, y = GAP, y + LINE
        items.append((x, y, CLASSES[k % len(CLASSES)], name))
        x += length
    return items
