"""Intensities of nuclei against loops over all pixels."""

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.outputs.intensity import FAR, NEAR, is_stained, measure_intensity
from jaxnuc.postprocess.masks import Mask


def literal(masks, image, corner):
    """Every pixel by its city-block distance to the nucleus."""
    height, width, _ = image.shape
    whole = []
    for one in masks:
        mask = np.zeros((height, width), bool)
        row, col = one.row - corner[0], one.col - corner[1]
        mask[row : row + one.mask.shape[0], col : col + one.mask.shape[1]] = one.mask
        whole.append(mask)
    taken = np.any(whole, axis=0)
    rows = []
    for mask in whole:
        distance = ndimage.distance_transform_cdt(~mask, "taxicab")
        ring = (distance > NEAR) & (distance <= FAR) & ~taken
        outside = np.median(image[ring], axis=0) if ring.any() else np.full(image.shape[2], np.nan)
        inside = image[mask]
        rows.append([inside.mean(axis=0), np.median(inside, axis=0), inside.sum(axis=0), outside])
    return np.array(rows)


@pytest.mark.parametrize("channels", [1, 3])
def test_intensities(blobs, channels):
    masks = blobs(12, 0)
    image = np.random.default_rng(1).integers(0, 4096, (190, 260, channels)).astype(float)
    corner = (-20, -15)
    found = measure_intensity(masks, image, corner)
    expected = literal(masks, image, corner)
    names = ["intensity"] if channels == 1 else ["red", "green", "blue"]
    for channel, name in enumerate(names):
        for k, kind in enumerate(("mean", "median", "sum", "background")):
            np.testing.assert_allclose(found[f"{name}_{kind}"], expected[:, k, channel])
    assert len(found) == 4 * channels


def test_a_nucleus_that_fills_the_image_has_no_background():
    found = measure_intensity([Mask(0, 0, np.ones((4, 5), bool))], np.ones((4, 5, 1)))
    assert found["intensity_sum"].tolist() == [20]
    assert np.isnan(found["intensity_background"]).all()


def test_what_cannot_be_measured():
    mask = Mask(3, 3, np.ones((4, 5), bool))
    with pytest.raises(ValueError, match="2 channels"):
        measure_intensity([mask], np.ones((20, 20, 2)))
    with pytest.raises(ValueError, match=r"a mask at \(3, 3\) leaves the image of \(6, 9\)"):
        measure_intensity([mask], np.ones((6, 9, 1)))


def test_stained_tissue_is_bright_and_colored():
    rng = np.random.default_rng(0)
    tissue = np.clip(rng.normal((190, 150, 190), 20, (50, 50, 3)), 0, 255).astype(np.uint8)
    assert is_stained(tissue)
    assert not is_stained(tissue[..., :1].repeat(3, axis=-1))  # gray
    assert not is_stained(255 - tissue)
