"""Nuclei with everything that outlines stumble over: holes, pinched corners, pieces, overlaps."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.io import ArrayImage
from jaxnuc.outputs import NucleiTable, Scene
from jaxnuc.postprocess.masks import Mask

SHAPE = (150, 220)


def cropped(mask: np.ndarray, row: int, col: int) -> Mask:
    (rows, cols), *_ = ndimage.find_objects(mask.astype(int))
    return Mask(row + rows.start, col + cols.start, mask[rows, cols])


def random_blobs(n: int, seed: int) -> tuple[Mask, ...]:
    """Smooth, ragged and sparse random masks inside of SHAPE."""
    rng = np.random.default_rng(seed)
    masks = []
    while len(masks) < n:
        noise = rng.normal(size=rng.integers(1, 26, 2))
        mask = ndimage.gaussian_filter(noise, rng.choice([0, 0.7, 2])) > 0
        if rng.random() < 0.5:
            labels, _ = ndimage.label(mask)
            mask = labels == 1
        if mask.any():
            place = rng.integers(0, np.subtract(SHAPE, mask.shape) + 1)
            masks.append(cropped(mask, *place.tolist()))
    return tuple(masks)


@pytest.fixture
def blobs() -> Callable[[int, int], tuple[Mask, ...]]:
    """`blobs(n, seed)`: masks."""
    return random_blobs


@pytest.fixture
def make_table() -> Callable[..., NucleiTable]:
    def make(n: int = 40, seed: int = 0, classes: bool = True) -> NucleiTable:
        rng = np.random.default_rng(seed)
        probabilities = rng.dirichlet(np.ones(3), n).astype(np.float32)
        return NucleiTable(
            random_blobs(n, seed),
            rng.random(n).astype(np.float32),
            rng.integers(0, 3, n).astype(np.int32) if classes else None,
            probabilities if classes else None,
            {"area": np.arange(n), "hematoxylin": rng.random(n)},
        )

    return make


@pytest.fixture
def scene() -> Scene:
    pixels = ArrayImage(np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8))
    names = ("background", "tumor", "immune, T")
    return Scene("slide 1.svs", SHAPE, 0.5, (2.0, 2.0), names, pixels=pixels)
