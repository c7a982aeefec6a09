"""Pictures of a segmentation: what was found, what was missed, what was made up."""

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from jaxnuc import metrics
from jaxnuc.files import replace_file
from jaxnuc.metrics import DEFAULT, Conventions
from jaxnuc.metrics.scores import judged

Colour = tuple[int, int, int]

# Okabe and Ito's palette, told apart with any colour vision, on black, white and stained tissue.
MATCHED: Colour = (86, 180, 233)  # sky blue: outline of a prediction that matches a true nucleus
TRUTH: Colour = (255, 255, 255)  # white: outline of that true nucleus
FALSE: Colour = (230, 97, 0)  # vermilion: predicted where no true nucleus matches
MISSED: Colour = (240, 228, 66)  # yellow: true nucleus that no prediction matches

SIDE = 768  # pixels: pictures with a shorter long side are enlarged
PAPER: Colour = (24, 24, 24)
INK: Colour = (235, 235, 235)
FONT_SIZE, LINE, GAP, SWATCH, NARROWEST = 15, 26, 14, 14, 320  # pixels, of the legend


def overlay(
    image: np.ndarray,
    truth: np.ndarray | None,
    prediction: np.ndarray,
    *,
    conventions: Conventions = DEFAULT,
    scale: int | None = None,
    caption: str = "",
) -> np.ndarray:
    """Draws the outlines of true and predicted nuclei, and a legend with counts and scores.

    Outlines are inside the nuclei, one for each of two that touch. Where outlines fall together,
    errors lie on top of matches. Dark images are brightened.

    Args:
      image: (H, W, 3) uint8, RGB.
      truth: (H, W) integer instances, 0 is background; None where there is none: all predictions
        then have one colour.
      prediction: (H, W) integer instances.
      conventions: by which nuclei match and are scored.
      scale: whole factor of enlargement; None enlarges small images to about 768 pixels.
      caption: text that opens the legend, such as the image's name.

    Returns:
      (scale * H + legend, max(scale * W, 320), 3) uint8, RGB.

    Raises:
      ValueError: the shapes differ, or `scale` is below 1.
    """
    image = np.asarray(image)
    height, width = image.shape[:2]
    if image.shape != (height, width, 3) or image.dtype != np.uint8:
        raise ValueError(f"image is {image.dtype} {image.shape}; expected uint8 (H, W, 3)")
    for name, instances in (("truth", truth), ("prediction", prediction)):
        if instances is not None and instances.shape != (height, width):
            raise ValueError(f"{name} is {instances.shape}, but the image is {(height, width)}")
    if scale is None:
        scale = math.ceil(SIDE / max(height, width))
    if scale < 1:
        raise ValueError(f"scale is {scale}; it must be 1 or more")
    picture = _enlarge(_brighten(image), scale)
    layers, legend = _layers(truth, prediction, conventions)
    for instances, colour in layers:
        picture[_outlines(_enlarge(instances, scale), 1 if scale == 1 else 2)] = colour
    head: list[tuple[Colour | None, str]] = [(None, caption)] if caption else []
    return _with_legend(picture, [*head, *legend])


def write_overlay(
    path: str | os.PathLike[str],
    image: np.ndarray,
    truth: np.ndarray | None,
    prediction: np.ndarray,
    *,
    conventions: Conventions = DEFAULT,
    scale: int | None = None,
    caption: str = "",
) -> None:
    """Writes an `overlay` as PNG; takes the same arguments. The file is never seen half written."""
    picture = overlay(
        image, truth, prediction, conventions=conventions, scale=scale, caption=caption
    )
    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="PNG")
    replace_file(Path(path), data.getvalue())


def _layers(
    truth: np.ndarray | None, prediction: np.ndarray, conventions: Conventions
) -> tuple[list[tuple[np.ndarray, Colour]], list[tuple[Colour | None, str]]]:
    """The outlines to draw, lowest first, and the legend: (colour or None, text)."""
    if truth is None:
        return [(prediction, MATCHED)], [(MATCHED, f"predicted {_count(prediction)}")]
    c = conventions
    found = metrics.match(
        *judged(c, truth, prediction), c.threshold, inclusive=c.inclusive, matching=c.matching
    )
    false = np.where(np.isin(prediction, found.false), prediction, 0)
    missed = np.where(np.isin(truth, found.missed), truth, 0)
    layers = [
        (np.where(missed > 0, 0, truth), TRUTH),
        (np.where(false > 0, 0, prediction), MATCHED),
        (missed, MISSED),
        (false, FALSE),
    ]
    scores = metrics.score_with(conventions, truth, prediction)
    figures = (("PQ", scores.pq), ("AJI+", scores.aji_plus), ("Dice", scores.dice))
    legend: list[tuple[Colour | None, str]] = [
        (MATCHED, f"matched {len(found.truth)}"),
        (TRUTH, "truth of matched"),
        (MISSED, f"missed {len(found.missed)}"),
        (FALSE, f"false {len(found.false)}"),
        *((None, f"{name} {value:.3f}") for name, value in figures if not math.isnan(value)),
    ]
    return layers, legend


def _count(instances: np.ndarray) -> int:
    return int(np.count_nonzero(np.unique(instances)))


def _outlines(instances: np.ndarray, width: int) -> np.ndarray:
    """(H, W) bool: the outermost `width` pixels of every instance, against its own neighbours."""
    outlines = np.zeros(instances.shape, bool)
    for _ in range(width):
        outlines |= find_boundaries(np.where(outlines, 0, instances), connectivity=1, mode="inner")
    return outlines


def _enlarge(array: np.ndarray, scale: int) -> np.ndarray:
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


def _brighten(image: np.ndarray) -> np.ndarray:
    """Fluorescence often uses the lowest tenth of the range: black on most screens."""
    top = float(np.percentile(image, 99.5)) if image.size else 255.0
    gain = min(max(220.0 / max(top, 1.0), 1.0), 8.0)
    return np.minimum(image * gain, 255.0).astype(np.uint8)


def _with_legend(picture: np.ndarray, items: Sequence[tuple[Colour | None, str]]) -> np.ndarray:
    """Puts a strip below the picture: swatches and texts, in as many lines as the width asks."""
    height, width = picture.shape[0], max(picture.shape[1], NARROWEST)
    font = ImageFont.load_default(size=FONT_SIZE)
    places, x, line = [], GAP, 0
    for colour, text in items:
        mark = SWATCH + 6 if colour else 0
        while text[1:] and mark + font.getlength(text) > width - 2 * GAP:
            text = text[:-2] + "…"
        length = mark + int(font.getlength(text))
        if x > GAP and x + length > width - GAP:
            x, line = GAP, line + 1
        places.append((x, line, colour, text))
        x += length + GAP
    canvas = Image.new("RGB", (width, height + (line + 1) * LINE + 8), PAPER)
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for x, line, colour, text in places:
        middle = height + 4 + line * LINE + LINE // 2
        if colour:
            draw.rectangle((x, middle - SWATCH // 2, x + SWATCH, middle + SWATCH // 2), colour)
            x += SWATCH + 6
        draw.text((x, middle), text, fill=INK, font=font, anchor="lm")
    return np.asarray(canvas)
