"""A batch to time steps with: noise for images, and a square for the only nucleus of each."""

from typing import Any

import numpy as np

from jaxnuc.representations import Representation


def example_batch(representation: Representation, count: int, side: int) -> dict[str, Any]:
    """Images (count, side, side, 3) uint8 with the targets of a representation."""
    shape = (count, side, side, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    labels = np.zeros((side, side), np.int32)
    labels[side // 4 : side // 2, side // 4 : side // 2] = 1
    targets = representation.encode(labels)
    return {"image": images, "targets": {k: np.stack([x] * count) for k, x in targets.items()}}
