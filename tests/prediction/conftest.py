"""A network that sees one pixel, and images whose nuclei it finds: for tests of prediction."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import jaxnuc
from jaxnuc.data.normalize import Normalize
from jaxnuc.prediction.predictor import Predictor, TrainedNetwork, make_predictor


def _bright(margin=0, normalize="none", threshold=127.5, forward=None):
    """A network that sees one pixel: nuclei are what is brighter than 127 in the first channel."""

    def brighter(variables, images):
        first, last = margin // 2, margin - margin // 2
        inner = images[:, first : images.shape[1] - last, first : images.shape[2] - last, :1]
        return {"mask": (inner.astype("float32") - variables["threshold"]) / 8}

    binary = jaxnuc.representations.create("binary")
    config = jaxnuc.config.default()
    network = TrainedNetwork(forward or brighter, {"threshold": np.float32(threshold)}, margin)
    return Predictor((network,), binary, Normalize(normalize), config)


def _blobs(shape, seed=0, radius=6, distance=18):
    """Bright discs with a gap between them on a dark image, (H, W, 3), and their label map."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for row in range(radius, shape[0], distance):
        for col in range(radius, shape[1], distance):
            at = row + rng.integers(-2, 3), col + rng.integers(-2, 3)
            mask |= (rows - at[0]) ** 2 + (cols - at[1]) ** 2 < rng.integers(3, radius) ** 2
    image = np.where(mask[..., None], 200, rng.integers(0, 90, (*shape, 3))).astype(np.uint8)
    return image, ndimage.label(mask)[0]


def _same_partition(found, expected):
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    np.testing.assert_array_equal(found > 0, expected > 0)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def _labels(folder, name):
    return tifffile.imread(folder / f"{name}.labels.tif")


def _damage(path, level=0, tiles=(0,)):
    """Overwrites tiles of a TIFF."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.series[0].levels[level].keyframe
        places = [(page.dataoffsets[n], page.databytecounts[n]) for n in tiles]
    with path.open("r+b") as stream:
        for start, size in places:
            stream.seek(start)
            stream.write(bytes(size))


@pytest.fixture(scope="session")
def bright():
    return _bright


@pytest.fixture(scope="session")
def blobs():
    return _blobs


@pytest.fixture
def same_partition():
    return _same_partition


@pytest.fixture
def labels():
    return _labels


@pytest.fixture
def damage():
    return _damage


@pytest.fixture(scope="module")
def predictor():
    """A small U-Net with random parameters."""
    representation = jaxnuc.representations.create("contour")
    model = jaxnuc.models.create(
        "flexible_unet", representation.outputs, variant="small", layers=2, base_filters=4
    )
    variables = jaxnuc.models.initialize(model, 0, np.zeros((1, 64, 64, 3), np.float32))
    config = jaxnuc.config.default()
    return make_predictor(config, model, representation, variables)
