"""Binary filters against SciPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from jaxnuc.postprocess.filters import open_with_ellipse
from jaxnuc.postprocess.regions import fill_holes

ELLIPSE = np.array([[0, 0, 1, 0, 0], [1] * 5, [1] * 5, [1] * 5, [0, 0, 1, 0, 0]], bool)
masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=16))


def opened(mask):
    eroded = ndimage.binary_erosion(mask, ELLIPSE, border_value=1)
    return ndimage.binary_dilation(eroded, ELLIPSE)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(masks, st.integers(0, 3))
def test_equal_scipy(mask, thicker):
    if mask.size:
        mask = ndimage.binary_dilation(mask, iterations=thicker) if thicker else mask
        np.testing.assert_array_equal(open_with_ellipse(mask), opened(mask))
        np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))
    else:
        assert open_with_ellipse(mask).shape == fill_holes(mask).shape == mask.shape


@pytest.mark.parametrize("order", ["C", "F"])
def test_smooth_masks(order):
    noise = np.random.default_rng(0).random((150, 130))
    mask = np.asarray(ndimage.gaussian_filter(noise, 2) > 0.49, order=order)
    mask.flags.writeable = False
    np.testing.assert_array_equal(open_with_ellipse(mask), opened(mask))
    np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))
