"""An image with the outlines of its nuclei, as PNG."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

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
from jaxnuc.outputs.formats import base
from jaxnuc.outputs.palette import Color
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask

LARGEST = 4096  # pixels, the longer side of a picture
_LIGHT = 100  # of 255: lighter colors get a dark rim, darker ones a light rim


class Format(base.Format):
    """A picture of the image with the outlines of all nuclei, and a legend with counts.

    Outlines are inside of the nuclei, in the colors of their classes; where they cross, the later
    nucleus lies on top. The pixels next to an outline are half black, or half white if its color
    is dark, so that it is seen on any image. Dark images are brightened.

    Images that are shorter than 768 pixels are enlarged by a whole factor, those longer than 4096
    reduced to that: a nucleus is then a few dots. What cannot be read is white. Memory holds the
    picture and one table.
    """

    suffix = ".overlay.png"
    shows_pixels = True

    def _write(self, path: Path, tables: Iterable[NucleiTable], scene: Scene) -> int:
        image = scene.checked_pixels()
        scale: float = enlargement(scene.shape)
        if max(scene.shape) > LARGEST:
            scale = LARGEST / max(scene.shape)
        picture = enlarge(brighten(thumbnail(image, LARGEST)[0]), max(1, int(scale)))
        drawn = np.zeros(picture.shape[:2], np.uint16)  # 1 and the class, 0 without an outline
        counts: Counter[int] = Counter()
        for _, table in scene.numbered(tables):
            classes = np.zeros(len(table), int) if table.classes is None else table.classes
            counts.update(classes.tolist())
            for mask, class_id in zip(table.masks, classes.tolist(), strict=True):
                drawn[_outline(mask, scene.shape, scale, drawn.shape)] = 1 + class_id
        _draw(picture, drawn, {class_id: scene.color(class_id) for class_id in counts})
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
    # Pixels outside of the crop are background; outside of the image there are none, so that a
    # nucleus is not outlined along the border.
    surrounded = np.pad(pixels, ((above, below), (before, after)))
    whole = max(1, int(scale))
    rows, cols = np.nonzero(outlines(enlarge(surrounded, whole), 1 if whole == 1 else 2))
    rows += (row - above) * whole
    cols += (col - before) * whole
    if scale < 1:
        rows = np.minimum((rows * scale).astype(int), drawn[0] - 1)
        cols = np.minimum((cols * scale).astype(int), drawn[1] - 1)
    return rows, cols


def _draw(picture: np.ndarray, drawn: np.ndarray, colors: dict[int, Color]) -> None:
    free = drawn == 0
    for class_id, color in colors.items():
        outline = drawn == 1 + class_id
        rim = ndimage.binary_dilation(outline) & free
        free &= ~rim
        picture[rim] //= 2
        if np.dot(color, (0.299, 0.587, 0.114)) < _LIGHT:
            picture[rim] += 128
        picture[outline] = color


def _legend(scene: Scene, counts: Counter[int]) -> list[tuple[Color | None, str]]:
    classes = range(1, len(scene.class_names or ("",)))
    items = [(scene.color(k), f"{scene.class_name(k)} {counts[k]}") for k in classes]
    if scene.class_names is None or counts[0]:
        items.append((scene.color(0), f"{'unclassified' if items else 'nuclei'} {counts[0]}"))
    return [(None, scene.image), *items]
