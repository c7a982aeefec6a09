"""Measurements of nuclei in an image of any size."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from jaxnuc.io import LargeImage
from jaxnuc.outputs import NucleiTable, measure


def measure_tables(
    tables: Iterable[NucleiTable],
    image: LargeImage,
    mpp: float | None,
    tile: int,
    stains: bool,
) -> Iterator[NucleiTable]:
    """The nuclei of an image with their measurements.

    Args:
      tables: of nuclei, each from a band of the image.
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
            yield _measure(table.take(rows), image, mpp, stains)


def _measure(table: NucleiTable, image: LargeImage, mpp: float | None, stains: bool) -> NucleiTable:
    # One region of the image is read for all nuclei of a tile, not one for each nucleus.
    top = min(mask.row for mask in table.masks)
    left = min(mask.col for mask in table.masks)
    bottom = max(mask.row + mask.mask.shape[0] for mask in table.masks)
    right = max(mask.col + mask.mask.shape[1] for mask in table.masks)
    region = image.read(top, left, bottom - top, right - left) if stains else None
    kind = "ruifrok" if stains else None
    columns = measure(table.masks, region, corner=(top, left), mpp=mpp, stains=kind)
    return replace(table, measurements=columns)
