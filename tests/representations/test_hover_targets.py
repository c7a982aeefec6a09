"""HoVer-Net's maps against reference values and a literal version."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as arrays_of
from scipy import ndimage

from jaxnuc.representations.targets.hover import hover_maps, separate_components

CASES = (
    "crop80_of_160",
    "small_objects_gap_ids",
    "mirrored_duplicates",
    "at_the_border",
    "odd_shapes_area_29_30",
    "empty",
)


@pytest.mark.parametrize("case", CASES)
def test_reference_values(golden, case):
    arrays, scalars = golden("hover_targets")
    label, expected = arrays[f"{case}__label"], arrays[f"{case}__hv"]
    fixed = separate_components(label)
    if f"{case}__label_fixed" in arrays:
        theirs = arrays[f"{case}__label_fixed"]  # whose new ids have gaps
        pairs = set(zip(fixed.ravel().tolist(), theirs.ravel().tolist(), strict=True))
        assert len(pairs) == len(np.unique(fixed)) == len(np.unique(theirs))
        assert all(a == b for a, b in pairs if b <= label.max())
    else:
        np.testing.assert_array_equal(fixed, label)
    maps = hover_maps(fixed, expected.shape[:2], border="reference")
    np.testing.assert_array_equal(maps, expected)
    # What the reference leaves without maps only because it lies at the border gets them here.
    kept = hover_maps(fixed, expected.shape[:2])
    same = (expected != 0).any(-1)
    np.testing.assert_array_equal(kept[same], expected[same])
    if case == "at_the_border":
        gained = (kept != 0).any(-1) & ~same
        assert gained.sum() > 700
    assert scalars[case]["crop"] == list(maps.shape[:2])


def literal(instances, min_area):
    maps = np.zeros((*instances.shape, 2))
    for i in np.unique(instances):
        rows, columns = np.nonzero(instances == i)
        if not i or len(rows) < min_area:
            continue
        for channel, place in ((0, columns), (1, rows)):
            x = place + 1.0 - int(place.mean() + 0.5)
            low, high = x.min(), x.max()
            x = np.where(x < 0, x / (abs(low) if low < 0 else 1), x / (high if high > 0 else 1))
            maps[rows, columns, channel] = x
    return maps


labels = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays_of(np.int32, shape, elements=st.sampled_from([0, 0, 3, 4, 900]))
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(labels, st.sampled_from([0, 3, 10]))
def test_equals_the_literal_version(instances, min_area):
    maps = hover_maps(instances, min_area=min_area)
    np.testing.assert_allclose(maps, literal(instances, min_area), rtol=1e-6, atol=1e-7)
    assert np.abs(maps).max(initial=0) <= 1


@settings(max_examples=100, deadline=None, derandomize=True)
@given(labels)
def test_components_get_ids_of_their_own(instances):
    separate = separate_components(instances)
    for i in np.unique(separate):
        if i:
            assert ndimage.label(separate == i)[1] == 1
            assert len(np.unique(instances[separate == i])) == 1
    parts = sum(ndimage.label(instances == i)[1] for i in np.unique(instances) if i)
    assert np.count_nonzero(np.unique(separate)) == parts
    assert np.isin(np.unique(instances), separate).all()
    np.testing.assert_array_equal(separate > 0, instances > 0)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"crop of \(9, 4\) pixels is larger .* \(8, 8\)"):
        hover_maps(np.zeros((8, 8), int), (9, 4))
    with pytest.raises(ValueError, match="border='reflect'; known: keep, reference"):
        hover_maps(np.zeros((8, 8), int), border="reflect")
