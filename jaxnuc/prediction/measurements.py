"""Measurements of nuclei in an image of any size."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from jaxnuc.io import LargeImage
from jaxnuc.outputs import NucleiTable, measure
from jaxnuc.prediction.overlaps import boxes_of


def measure_tables(
    tables: Iterable[NucleiTable], image: LargeImage, mpp: float | None, tile: int, stains: bool
) -> Iterator[NucleiTable]:
    """The nuclei of tables, each from a band of the image, with their measurements.

    Args:
      tables: of nuclei.
      image: on the grid of the masks.
      mpp: microns per pixel of it, None where unknown.
      tile: side in pixels of what is read at once, or a little more.
      stains: measure hematoxylin and eosin.

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
            region = image.read(top, left, bottom - top, right - left) if stains else None
            kind = "ruifrok" if stains else None
            found = measure(part.masks, region, corner=(top, left), mpp=mpp, stains=kind)
            yield replace(part, measurements=found)
