"""Measurements of nuclei in an image of any size."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from jaxnuc.io import LargeImage
from jaxnuc.outputs import NucleiTable, measure
from jaxnuc.outputs.intensity import FAR, measure_intensity
from jaxnuc.prediction.overlaps import boxes_of

Colors = Literal["stains", "gray", "rgb"]


def measure_tables(
    tables: Iterable[NucleiTable],
    image: LargeImage,
    mpp: float | None,
    tile: int,
    colors: Colors | None,
) -> Iterator[NucleiTable]:
    """The nuclei of tables, each from a band of the image, with their measurements.

    Args:
      tables: of nuclei.
      image: on the grid of the masks.
      mpp: microns per pixel of it, None where unknown.
      tile: side in pixels of what is read at once, or a little more.
      colors: what is measured of the pixels: `"stains"`, hematoxylin and eosin; `"gray"` and
        `"rgb"`, intensities of one channel or three, in the numbers of the image's file, to 1/255
        of its range; None, nothing.

    Yields:
      The nuclei of each table in parts, tile by tile from left to right.
    """
    for table in tables:
        if not len(table):
            continue
        columns = np.array([mask.col for mask in table.masks]) // tile
        order = np.argsort(columns, kind="stable")
        table = table.take(order)
        for rows in np.split(np.arange(len(table)), np.flatnonzero(np.diff(columns[order])) + 1):
            part = table.take(rows)
            # One region of the image is read for all nuclei of a tile, not one for each nucleus.
            boxes = boxes_of(part.masks)
            (top, left), (bottom, right) = (
                boxes[:, :2].min(0).tolist(),
                boxes[:, 2:].max(0).tolist(),
            )
            top, left = max(0, top - FAR), max(0, left - FAR)
            bottom, right = min(image.shape[0], bottom + FAR), min(image.shape[1], right + FAR)
            region = image.read(top, left, bottom - top, right - left) if colors else None
            stained = region if colors == "stains" else None
            found = measure(part.masks, stained, corner=(top, left), mpp=mpp)
            if region is not None and colors != "stains":
                low, high = image.intensity_range or (0.0, 255.0)
                values = low + region[..., : 1 if colors == "gray" else 3] * ((high - low) / 255)
                found |= measure_intensity(part.masks, values, (top, left))
            yield replace(part, measurements=found)
