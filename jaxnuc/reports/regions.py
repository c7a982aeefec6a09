"""Regions of a large image in its full resolution, with the outlines of their nuclei."""

from collections.abc import Callable, Iterable

import numpy as np

from jaxnuc.io import FilledImage, LargeImage
from jaxnuc.outputs import NucleiTable, Scene
from jaxnuc.outputs.drawing import brighten, enlargement
from jaxnuc.outputs.outlined import Outlined
from jaxnuc.reports import page, pictures
from jaxnuc.reports.page import Html, element

SIDE = 512  # pixels


class Blocks:
    """How many nuclei lie in each block of `SIDE` pixels.

    >>> blocks = Blocks((600, 1100))
    >>> blocks.add(np.array([[3.5, 4.0], [599.0, 1050.0]]))
    >>> blocks.counts.tolist()
    [[1, 0, 0], [0, 0, 1]]
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.counts = np.zeros([-(-side // SIDE) for side in shape], int)

    def add(self, middles: np.ndarray) -> None:
        """Counts nuclei by the (row, col) of their middles, (n, 2)."""
        rows, cols = (middles // SIDE).astype(int).T
        np.add.at(self.counts, (rows, cols), 1)

    def chosen(self) -> list[tuple[int, int]]:
        """The block with the most nuclei, and those at the upper quartile and the median."""
        rows, cols = np.nonzero(self.counts)
        order = np.argsort(-self.counts[rows, cols], kind="stable")
        ranks = dict.fromkeys(int(share * len(order)) for share in (0, 0.25, 0.5))
        return [(int(rows[k]), int(cols[k])) for k in order[[*ranks]]] if len(order) else []


def drawn(
    blocks: Blocks,
    tables: Callable[[], Iterable[NucleiTable]],
    scene: Scene,
    image: LargeImage,
) -> list[Html]:
    """Figures of the regions with the most nuclei, and with as many as others have."""
    found = []
    for row, col in blocks.chosen():
        corner = row * SIDE, col * SIDE
        shape = min(SIDE, scene.shape[0] - corner[0]), min(SIDE, scene.shape[1] - corner[1])
        scale = enlargement(shape)
        size = shape[0] * scale, shape[1] * scale
        found.append((corner, shape, size, Outlined(scene, scale, size, corner)))
    for table in tables():
        if not len(table):
            continue
        first = np.array([mask[:2] for mask in table.masks])
        last = first + [mask.mask.shape for mask in table.masks]
        for corner, shape, _, outlines in found:
            inside = (last > corner) & (first < np.add(corner, shape))
            outlines.add(table.take(np.flatnonzero(inside.all(axis=1))))
    figures, filled = [], FilledImage(image)
    for (row, col), shape, size, outlines in found:
        pixels = filled.read(row, col, *shape)
        title = f"Rows from {row:,}, columns from {col:,}: {outlines.counts.total():,} nuclei"
        bottom = ("image", pictures.photograph(brighten(pixels)))
        microns = None if scene.mpp is None else shape[1] * scene.mpp
        shown = pictures.compare(
            title, size, bottom, {"nuclei": layer(outlines)}, ("image", "nuclei"), microns
        )
        caption = element("figcaption", title)
        figures.append(element("figure", shown, key(outlines), caption, class_="compare"))
    return figures


def layer(outlines: Outlined) -> str:
    """The address of a picture of outlines, transparent elsewhere."""
    numbers = sorted(outlines.counts)
    places = np.zeros(2 + max(numbers, default=0), np.uint8)
    places[[1 + k for k in numbers]] = range(1, 1 + len(numbers))
    levels = places[outlines.levels]
    colors = [(0, 0, 0, 0), *((*outlines.scene.color(k), 255) for k in numbers)]
    return pictures.drawing(levels, np.array(colors, np.uint8))


def key(outlines: Outlined) -> Html:
    """The colors of the classes; nothing where no classes are predicted."""
    scene = outlines.scene
    if scene.class_names is None:
        return Html("")
    return page.key(
        [
            (page.swatch(*scene.color(k)), f"{scene.class_name(k) or 'without a class'} {n:,}")
            for k, n in sorted(outlines.counts.items())
        ]
    )
