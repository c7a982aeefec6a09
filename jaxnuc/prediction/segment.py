"""From an image array to its nuclei."""

import numpy as np

from jaxnuc.io import ArrayImage
from jaxnuc.outputs import NucleiTable
from jaxnuc.postprocess import masks
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.prediction.patches import OVERLAP, TILE, check_sizes
from jaxnuc.prediction.predictor import Predictor, as_rgb
from jaxnuc.prediction.stitching import stitch
from jaxnuc.prediction.stream import predict_rows
from jaxnuc.prediction.tiles import Tiling
from jaxnuc.representations import Nuclei


def segment(
    image: np.ndarray,
    predictor: Predictor,
    *,
    patch: int | None = None,
    overlap: int = OVERLAP,
    tile: int = TILE,
    offset: tuple[int, int] = (0, 0),
    batch_size: int = 4,
) -> Nuclei:
    """Predicts the nuclei of an image.

    Args:
      image: (H, W), (H, W, 3) or (H, W, 4); uint8, uint16 or float in [0, 1].
      predictor: from `load`.
      patch: side of what the network sees at once, a multiple of 64; None: all of the image, for
        which the device needs the memory.
      overlap: of neighboring patches and of neighboring tiles in pixels, a multiple of 32.
      tile: side of what is decoded at once, a multiple of 64: the nuclei of an image that is larger
        are stitched.
      offset: (rows, cols), multiples of 32, by which the grid of tiles and their patches is moved
        up and left.
      batch_size: patches that the devices take at once.

    Returns:
      `instances` (H, W) int32, `classes` (N,) or None, `scores` (N,).

    Raises:
      ValueError: the array is not an image, or the sizes are not possible.
    """
    if patch is None:
        return predictor(image)
    check_sizes(tile, patch, overlap)
    if any(at % 32 for at in offset):
        raise ValueError(f"offset={offset} must be multiples of 32")
    pixels = as_rgb(image)
    tiling = Tiling(pixels.shape[:2], tile, overlap, offset)
    runner = BatchRunner(predictor, batch_size)
    rows = predict_rows(ArrayImage(pixels), tiling, range(tiling.grid[0]), runner, patch=patch)
    # The candidates of all rows fit in memory here, as the image does.
    table = stitch(tiling, NucleiTable.concatenated([row.candidates for row in rows]))
    return Nuclei(
        masks.paint(table.masks, tiling.shape),
        table.classes,
        table.scores,
        table.class_probabilities,
        masks=table.masks,
        agreement=table.agreement,
    )
