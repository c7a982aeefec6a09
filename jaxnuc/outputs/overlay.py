"""A picture of an image with the outlines of its nuclei."""

import os
from collections import Counter
from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from jaxnuc.io import thumbnail
from jaxnuc.outputs.drawing import (
    brighten,
    enlarge,
    enlargement,
    outlines,
    save_png,
    with_legend,
)
from jaxnuc.outputs.scene import Colour, Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask

LARGEST = 4096  # pixels, the longer side of a picture
_LIGHT = 100  # of 255: lighter colours get a dark rim, darker ones a light rim


def write_overlay(path: str | os.PathLike[str], tables: Iterable[NucleiTable], scene: Scene) -> int:
    """Writes a picture of the image with the outlines of all nuclei, and a legend with counts.

    Outlines are inside of the nuclei, in the colours of their classes; where they cross, the later
    nucleus lies on top. The pixels next to an outline are half black, or half white if its colour
    is dark, so that it is seen on any image. Dark images are brightened.

    Images that are shorter than 768 pixels are enlarged by a whole factor, those longer than 4096
    made that small: a nucleus is then a few dots. What cannot be read is white. Memory holds the
    picture and one table.

    Args:
      path: of the file.
      tables: the nuclei; taken one table at a time.
      scene: the image, with its pixels.

    Returns:
      How many nuclei were drawn.

    Raises:
      ValueError: the scene has no pixels, or the tables do not fit it.
    """
    image = scene.checked_pixels()
    scale: float = enlargement(scene.shape)
    if max(scene.shape) > LARGEST:
        scale = LARGEST / max(scene.shape)
    picture = enlarge(brighten(thumbnail(image, LARGEST)[0]), max(1, int(scale)))
    drawn = np.zeros(picture.shape[:2], np.uint16)  # 1 and the class, 0 where there is no outline
    counts: Counter[int] = Counter()
    for _, table in scene.numbered(tables):
        classes = np.zeros(len(table), int) if table.classes is None else table.classes
        counts.update(classes.tolist())
        for mask, class_id in zip(table.masks, classes.tolist(), strict=True):
            drawn[_outline(mask, scene.shape, scale, drawn.shape)] = 1 + class_id
    _draw(picture, drawn, {class_id: scene.colour(class_id) for class_id in counts})
    save_png(path, with_legend(picture, _legend(scene, counts)))
    return counts.total()


def _outline(
    mask: Mask, shape: tuple[int, int], scale: float, drawn: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the picture."""
    row, col, pixels = mask
    above, before = min(row, 1), min(col, 1)
    below, after = (
        min(whole - start - side, 1)
        for whole, start, side in zip(shape, (row, col), pixels.shape, strict=True)
    )
    # What lies outside of the crop is not the nucleus; outside of the image there is nothing.
    surrounded = np.pad(pixels, ((above, below), (before, after)))
    whole = max(1, int(scale))
    rows, cols = np.nonzero(outlines(enlarge(surrounded, whole), 1 if whole == 1 else 2))
    rows += (row - above) * whole
    cols += (col - before) * whole
    if scale < 1:
        rows = np.minimum((rows * scale).astype(int), drawn[0] - 1)
        cols = np.minimum((cols * scale).astype(int), drawn[1] - 1)
    return rows, cols


def _draw(picture: np.ndarray, drawn: np.ndarray, colours: dict[int, Colour]) -> None:
    free = drawn == 0
    for class_id, colour in colours.items():
        outline = drawn == 1 + class_id
        rim = ndimage.binary_dilation(outline) & free
        free &= ~rim
        picture[rim] //= 2
        if np.dot(colour, (0.299, 0.587, 0.114)) < _LIGHT:
            picture[rim] += 128
        picture[outline] = colour


def _legend(scene: Scene, counts: Counter[int]) -> list[tuple[Colour | None, str]]:
    classes = range(1, len(scene.class_names or ("",)))
    items = [(scene.colour(k), f"{scene.class_name(k)} {counts[k]}") for k in classes]
    if scene.class_names is None or counts[0]:
        items.append((scene.colour(0), f"{'unclassified' if items else 'nuclei'} {counts[0]}"))
    return [(None, scene.image), *items]
