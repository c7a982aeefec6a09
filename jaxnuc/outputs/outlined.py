"""Outlines of nuclei on a picture of an image, or of a part of one."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from jaxnuc.outputs.drawing import enlarge, outlines
from jaxnuc.outputs.palette import Color
from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.postprocess.masks import Mask

_LIGHT = 100  # of 255: lighter colors get a dark rim, darker ones a light rim


class Outlined:
    """Which pixels of a picture lie on outlines, and of nuclei of which class.

    Outlines are inside of the nuclei; where they cross, the later nucleus lies on top. They are two
    pixels wide where the picture is enlarged.

    Args:
      scene: the image.
      scale: pixels of the picture per pixel of the scene; from 1 on, a whole number.
      shape: (h, w) of the picture.
      corner: (row, col) of the pixel of the scene at the picture's first.

    Attributes:
      levels: (h, w) uint16: 1 and the class of the nucleus, 0 without an outline.
      counts: number of nuclei added so far, by class.
    """

    def __init__(
        self,
        scene: Scene,
        scale: float,
        shape: tuple[int, int],
        corner: tuple[int, int] = (0, 0),
    ) -> None:
        self.scene, self.scale, self.corner = scene, scale, corner
        self.levels = np.zeros(shape, np.uint16)
        self.counts: Counter[int] = Counter()

    def add(self, table: NucleiTable) -> None:
        """Draws the nuclei of a table."""
        classes = np.zeros(len(table), int) if table.classes is None else table.classes
        self.counts.update(classes.tolist())
        for mask, class_id in zip(table.masks, classes.tolist(), strict=True):
            rows, cols = _outline(mask, self.scene.shape, self.scale)
            rows -= int(self.corner[0] * self.scale)
            cols -= int(self.corner[1] * self.scale)
            if self.scale < 1:  # the last pixel of the picture is that of all that are left
                rows, cols = (
                    np.minimum(at, side - 1)
                    for at, side in zip((rows, cols), self.levels.shape, strict=True)
                )
            inside = (
                (rows >= 0)
                & (rows < self.levels.shape[0])
                & (cols >= 0)
                & (cols < self.levels.shape[1])
            )
            self.levels[rows[inside], cols[inside]] = 1 + class_id

    @property
    def colors(self) -> dict[int, Color]:
        """The colors of the classes that were drawn."""
        return {class_id: self.scene.color(class_id) for class_id in sorted(self.counts)}

    def draw(self, picture: np.ndarray) -> None:
        """Colors the outlines on a picture (h, w, 3) uint8, in place.

        The pixels next to an outline become half black, or half white if its color is dark, so that
        it is seen on any image.
        """
        free = self.levels == 0
        for class_id, color in self.colors.items():
            outline = self.levels == 1 + class_id
            rim = ndimage.binary_dilation(outline) & free
            free &= ~rim
            picture[rim] //= 2
            if np.dot(color, (0.299, 0.587, 0.114)) < _LIGHT:
                picture[rim] += 128
            picture[outline] = color


def picture_scale(shape: tuple[int, ...], scene: Scene) -> float:
    """Pixels of a picture of the whole scene, whose shape is given, per pixel of the scene."""
    return max(shape[:2]) / max(scene.shape)


def outlined(tables: Iterable[NucleiTable], scene: Scene, picture: np.ndarray) -> Counter[int]:
    """Draws the outlines of all nuclei on a picture of the whole scene, in place.

    Returns:
      How many nuclei there are, by class.
    """
    height, width, _ = picture.shape
    drawing = Outlined(scene, picture_scale(picture.shape, scene), (height, width))
    for _, table in scene.numbered(tables):
        drawing.add(table)
    drawing.draw(picture)
    return drawing.counts


def _outline(mask: Mask, shape: tuple[int, int], scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the outline in a picture of the whole scene."""
    row, col, pixels = mask
    above, before = min(row, 1), min(col, 1)
    below, after = (
        min(whole - start - side, 1)
        for whole, start, side in zip(shape, (row, col), pixels.shape, strict=True)
    )
    # Pixels outside of the crop are background; outside of the image there are none, so that a
    # nucleus is not outlined along the border.
    height, width = pixels.shape
    surrounded = np.zeros((above + height + below, before + width + after), bool)
    surrounded[above : above + height, before : before + width] = pixels
    whole = max(1, int(scale))
    rows, cols = np.nonzero(outlines(enlarge(surrounded, whole), 1 if whole == 1 else 2))
    rows += (row - above) * whole
    cols += (col - before) * whole
    if scale < 1:
        rows, cols = (rows * scale).astype(int), (cols * scale).astype(int)
    return rows, cols
