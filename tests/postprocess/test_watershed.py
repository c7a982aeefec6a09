"""The watershed by parts against scikit-image's of the whole image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import watershed

from jaxnuc.postprocess import _watershed
from jaxnuc.postprocess._watershed import watershed_by_part
from jaxnuc.postprocess.components import label_components
from jaxnuc.postprocess.regions import relabel


def scene(seed, shape, inside, seeded):
    """A relief without equal pixels, a mask, and markers of which some are outside of it."""
    rng = np.random.default_rng(seed)
    relief = rng.permutation(shape[0] * shape[1]).reshape(shape).astype(float)
    mask = rng.random(shape) < inside
    markers = label_components(rng.random(shape) < seeded, connectivity=1)
    return relief, markers, mask


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(0.2, 1),
    st.floats(0, 0.3),
    st.sampled_from([1, 4, 16]),
)
def test_equals_the_whole_image(seed, shape, inside, seeded, tile):
    relief, markers, mask = scene(seed, shape, inside, seeded)
    parts = label_components(mask, connectivity=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_watershed, "_TILE", tile)
        instances = watershed_by_part(relief, markers, parts)
    expected = watershed(relief, markers, mask=mask)
    assert instances.dtype == np.int32
    np.testing.assert_array_equal(instances, relabel(expected))


def test_parts_of_all_sizes_over_many_tiles():
    rng = np.random.default_rng(1)
    shape = (700, 610)
    relief = ndimage.gaussian_filter(rng.random(shape), 2)
    mask = ndimage.gaussian_filter(rng.random(shape), 4) > 0.497
    mask[:, 300] = True  # a part that is as high as the image
    markers = label_components(ndimage.minimum_filter(relief, 9) == relief, connectivity=1)
    instances = watershed_by_part(relief, markers, label_components(mask, connectivity=1))
    expected = watershed(relief, markers, mask=mask)
    assert instances.max() > 1000
    np.testing.assert_array_equal(instances, relabel(expected))


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (4, 4)])
def test_nothing_to_flood(shape):
    nothing = np.zeros(shape, np.int32)
    np.testing.assert_array_equal(watershed_by_part(np.zeros(shape), nothing, nothing), nothing)
