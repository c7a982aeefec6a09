"""PanNuke's neoplastic nuclei as the flexible U-Net (antillia) was trained on them.

The project's repository: Image-Segmentation-Neoplastic-Cell (Apache-2.0).
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from jaxnuc.data.sources._splitting import random_split

_COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rot0": lambda a: a,
    "rot90": lambda a: np.rot90(a, 1),
    "rot180": lambda a: np.rot90(a, 2),
    "rot270": lambda a: np.rot90(a, 3),
    "mirror": lambda a: a[:, ::-1],
    "flip": lambda a: a[::-1],
}


def items(
    tiles: list[tuple[int, int]], split: str, seed: int, compat: bool
) -> list[tuple[int, int, str]]:
    """The (fold, tile, copy) triples of a split.

    Args:
      tiles: (fold, tile) of the tiles with neoplastic nuclei.
      split: `"train"`, `"val"`, `"test"` or `"all"`.
      seed: of the permutation.
      compat: split the six copies of the tiles, not the tiles. The published split was drawn after
        copying, so that most tiles of val and test are in train too, turned: a leak, kept here
        because the published figures have it.

    Returns:
      The triples, in the order of the tiles; without `compat` the copy is the empty string.
    """
    copies = tuple(_COPIES) if compat else ("",)
    triples = {
        f"{fold} {tile} {copy}": (fold, tile, copy) for fold, tile in tiles for copy in copies
    }
    # Rounded down, the rest is test: 6,969, 1,306 and 437 of the 8,712 copies, as published.
    n = len(triples)
    train, val = n * 80 // 100, n * 15 // 100
    shares = (train / n, val / n, (n - train - val) / n) if n else (0.8, 0.15, 0.05)
    return [triples[key] for key in random_split(list(triples), split, seed, shares)]


def as_published(
    image: np.ndarray, instances: np.ndarray, copy: str
) -> tuple[np.ndarray, np.ndarray]:
    """What the published training saw of a tile.

    Its loader blurred the mask over 3x3 pixels and took every value above 0 for foreground, which
    is a dilation: each nucleus grows by a pixel in all eight directions, and nuclei two pixels
    apart merge in the mask. Here the ids stay apart; of two that reach one pixel the higher wins.
    What its JPEG files did is left out: ids 1 to 4 lost, specks around nuclei, blurred images.

    Args:
      image: (H, W, 3) uint8.
      instances: (H, W) int32.
      copy: which of the six copies.

    Returns:
      Image and instances, turned alike.
    """
    grown = ndimage.maximum_filter(instances, size=3, mode="constant")
    instances = np.where(instances > 0, instances, grown)
    turn = _COPIES[copy]
    return np.ascontiguousarray(turn(image)), np.ascontiguousarray(turn(instances))
