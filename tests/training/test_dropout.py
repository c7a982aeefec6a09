"""Masks of dropout by image."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxnuc.training.dropout import dropout_by_image

RATE = 0.3


class Net(nn.Module):
    """Drops in two layers, of which the second drops whole columns."""

    shared: tuple[int, ...] = (1,)

    @nn.compact
    def __call__(self, x, train):
        one = nn.Dropout(RATE, deterministic=not train)(x)
        return one, nn.Dropout(RATE, self.shared)(x, not train)


def masks(numbers, shared=(1,), seed=0, train=True):
    ones = np.ones((len(numbers), 40, 50, 3), np.float32)
    with dropout_by_image(np.array(numbers)):
        apply = jax.jit(lambda x, key: Net(shared).apply({}, x, train, rngs={"dropout": key}))
        return [np.asarray(found) for found in apply(ones, jax.random.key(seed))]


def test_an_image_has_its_own_masks_in_every_batch():
    whole, part = masks(range(6)), masks([4, 1])
    for all_of, some in zip(whole, part, strict=True):
        np.testing.assert_array_equal(some, all_of[[4, 1]])
        assert {*np.unique(all_of)} == {np.float32(0), np.float32(1) / np.float32(1 - RATE)}
        for other in range(1, 6):
            assert not np.array_equal(all_of[0], all_of[other])
    kept = whole[0] > 0
    # 36,000 independent draws: four standard deviations.
    assert kept.mean() == pytest.approx(1 - RATE, abs=4 * np.sqrt(RATE * (1 - RATE) / kept.size))
    assert not np.array_equal(whole[0], whole[1])
    assert not np.array_equal(whole[0], masks(range(6), seed=1)[0])


def test_axes_that_share_a_mask():
    columns = masks([0, 1])[1]
    assert (columns == columns[:, :1]).all()
    assert not (columns == columns[:, :, :1]).all()
    images = masks([0, 1], (0,))[1]
    assert (images[0] == images[1]).all()


def test_no_masks_in_evaluation():
    assert all((found == 1).all() for found in masks([0, 1], train=False))
