"""In how far the members of an average find the same nuclei."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import linen as nn
from scipy import ndimage

import jaxnuc
from jaxnuc.postprocess.masks import Mask
from jaxnuc.prediction.agreement import agreement
from jaxnuc.prediction.predictor import TrainedNetwork, make_predictor

SHAPE = (60, 70)


def masks_of(labels):
    boxes = ndimage.find_objects(labels)
    return [
        Mask(rows.start, cols.start, labels[rows, cols] == number)
        for number, (rows, cols) in enumerate(boxes, 1)
    ]


def blobs(seed, level=0.3):
    """Ragged nuclei of any size, (N,) masks, some of which overlap when moved."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2.5)
    return masks_of(ndimage.label(noise > level * noise.std())[0])


def literal(masks, members):
    """As it is defined, on whole images."""

    def whole(mask):
        image = np.zeros(SHAPE, bool)
        image[mask.row :, mask.col :][: mask.mask.shape[0], : mask.mask.shape[1]] = mask.mask
        return image

    def iou(one, other):
        return (whole(one) & whole(other)).sum() / (whole(one) | whole(other)).sum()

    return [
        np.mean([max((iou(mask, other) for other in member), default=0) for member in members])
        for mask in masks
    ]


def test_equals_its_definition():
    masks = blobs(0) + blobs(1, 1.2)[:4]  # some lie on others
    members = [blobs(0, 0.6), blobs(0, 0.1), blobs(2), [], masks[3:9]]
    found = agreement(masks, members)
    assert found.dtype == np.float32
    assert len(found) > 12
    assert np.ptp(found) > 0.2
    np.testing.assert_allclose(found, literal(masks, members), rtol=1e-6)


def test_its_ends():
    masks = blobs(0)
    np.testing.assert_array_equal(agreement(masks, [masks, masks[::-1]]), np.ones(len(masks)))
    np.testing.assert_array_equal(agreement(masks, [[], []]), np.zeros(len(masks)))
    assert agreement([], [masks]).shape == (0,)
    touching = Mask(0, 0, np.ones((2, 2), bool)), Mask(0, 2, np.ones((2, 2), bool))
    np.testing.assert_array_equal(agreement(touching[:1], [touching[1:]]), [0])
    with pytest.raises(ValueError, match="no members"):
        agreement(masks, [])


class Convolution(nn.Module):
    """One convolution; with a kernel of one pixel, turning the image turns its maps."""

    kernel: int
    margin = 0

    @nn.compact
    def __call__(self, images, train=False):
        return {"mask": nn.Conv(1, (self.kernel, self.kernel))(images)}


def predictor(kernel):
    """Nuclei are where it is brighter than half, as a kernel of one or more pixels sees it."""
    model = Convolution(kernel)
    params = {
        "kernel": np.zeros((kernel, kernel, 3, 1), np.float32),
        "bias": np.full(1, -10, np.float32),
    }
    params["kernel"][0, 0, 0, 0] = 20  # the pixel in a corner of the kernel
    binary = jaxnuc.representations.create("binary")
    variables = {"params": {"Conv_0": params}}
    return make_predictor(jaxnuc.config.default(), model, binary, variables)


@pytest.fixture(scope="module")
def image():
    image = np.full((*SHAPE, 3), 20, np.uint8)
    image[jaxnuc.postprocess.masks.paint(blobs(0), SHAPE) > 0] = 220
    return image


@pytest.mark.parametrize("networks", [1, 2])
def test_symmetries_agree_where_directions_do_not_count(image, networks):
    one = replace(predictor(1), symmetries=tuple(range(8)), agreement=True)
    found = replace(one, networks=one.networks * networks)(image)
    assert len(found.scores) == len(blobs(0))
    np.testing.assert_array_equal(found.agreement, np.ones(len(blobs(0)), np.float32))
    assert replace(one, agreement=False)(image).agreement is None


def test_members_that_see_nuclei_elsewhere_agree_less(image):
    """A corner of the kernel sees nuclei a pixel off; after half a turn, off to the other side."""
    moved = replace(predictor(3), symmetries=(0, 2), agreement=True)
    found = moved(image)
    each = [
        masks_of(ndimage.label(ndimage.shift(image[..., 0] > 99, by, order=0, cval=0))[0])
        for by in ((1, 1), (-1, -1))
    ]
    expected = literal(masks_of(found.instances), each)
    assert min(expected) < 0.9
    np.testing.assert_allclose(found.agreement, expected, rtol=1e-6)


def test_a_network_that_finds_nothing_halves_it(image):
    one = predictor(1)
    (network,) = one.networks
    nothing = jax.tree.map(lambda x: x * 0 - 1 / 8, network.variables)
    both = replace(
        one, networks=(network, TrainedNetwork(network.forward, nothing)), agreement=True
    )
    found = both(image)
    np.testing.assert_array_equal(found.agreement, np.full(len(blobs(0)), 0.5, np.float32))
