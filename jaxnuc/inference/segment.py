"""Array in, nuclei out."""

import numpy as np

from jaxnuc.images import ArrayImage
from jaxnuc.inference.batches import Batches
from jaxnuc.inference.predictor import Predictor, as_rgb
from jaxnuc.inference.stitching import stitch
from jaxnuc.inference.stream import found_rows
from jaxnuc.inference.tiles import Tiling
from jaxnuc.outputs import NucleiTable
from jaxnuc.postprocess import masks
from jaxnuc.representations import Nuclei


def segment(
    image: np.ndarray,
    predictor: Predictor,
    *,
    tile: int | None = None,
    overlap: int = 96,
    offset: tuple[int, int] = (0, 0),
    batch_size: int = 4,
) -> Nuclei:
    """Finds the nuclei of an image.

    Args:
      image: (H, W), (H, W, 3) or (H, W, 4); uint8, uint16 or float in [0, 1].
      predictor: from `load`.
      tile: side of the tiles in which the image is done, a multiple of 64; None: all at once, for
        which the device needs the memory.
      overlap: of neighbouring tiles in pixels.
      offset: (rows, cols) by which the grid of tiles is moved up and left, multiples of the
        representation's grid.
      batch_size: tiles that the devices take at once.

    Returns:
      `instances` (H, W) int32, `classes` (N,) or None, `scores` (N,).

    Raises:
      ValueError: the image is none, or the sizes of the tiles are not possible.
    """
    if tile is None:
        return predictor(image)
    if tile % 64:
        raise ValueError(f"tile={tile} must be a multiple of 64")
    pixels = as_rgb(image)
    tiling = Tiling(pixels.shape[:2], tile, overlap, offset)
    batches = Batches(predictor, batch_size)
    rows = found_rows(ArrayImage(pixels), tiling, range(tiling.grid[0]), batches)
    table = stitch(tiling, NucleiTable.concatenated([row.candidates for row in rows]))
    return Nuclei(
        masks.paint(table.masks, tiling.shape),
        table.classes,
        table.scores,
        table.class_probabilities,
        masks=table.masks,
    )
