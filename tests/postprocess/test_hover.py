"""HoVer-Net's post-processing against reference values, SciPy and scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import watershed

from jaxnuc.postprocess.components import label_components
from jaxnuc.postprocess.hover import hover_energy, hover_markers, hover_watershed, sobel
from jaxnuc.postprocess.regions import class_votes, regions, relabel

CASES = ["s164", "s256", "s512", "empty", "constant_hv", "constant_h_only"]
ELLIPSE = np.array([[0, 0, 1, 0, 0], [1] * 5, [1] * 5, [1] * 5, [0, 0, 1, 0, 0]], bool)


def inputs(arrays, case):
    probability = arrays[f"{case}__np_u8"].astype(np.float32) / np.float32(255)
    return probability, arrays[f"{case}__hv_i8"].astype(np.float32) / np.float32(127)


def scale(values):
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def large_components(mask, min_size=10):
    labels, n = ndimage.label(mask)
    areas = ndimage.sum_labels(mask, labels, np.arange(n + 1))
    return np.where(areas[labels] >= min_size, labels, 0)


def literal(probability, hv, kernel=21):
    """Every step on the whole image, as it is described."""
    blob = large_components(probability >= 0.5) > 0
    derive = (np.poly1d([1, 1]) ** (kernel - 2) * np.poly1d([-1, 1])).c
    smooth = (np.poly1d([1, 1]) ** (kernel - 1)).c
    slopes = []
    for channel, axis in ((0, 1), (1, 0)):
        slope = ndimage.correlate1d(scale(hv[..., channel]), derive, axis, mode="mirror")
        slopes.append(ndimage.correlate1d(slope, smooth, 1 - axis, mode="mirror"))
    overall = np.maximum(1 - scale(slopes[0]), 1 - scale(slopes[1]))
    overall = np.maximum(overall - ~blob, 0)
    relief = (1 - overall) * blob
    gauss = np.exp(-np.array([1, 0, 1]) / (2 * 0.8**2))
    gauss /= gauss.sum()
    for axis in (0, 1):
        relief = ndimage.correlate1d(relief, gauss, axis, mode="mirror")
    marker = np.maximum(blob - (overall >= 0.4).astype(int), 0)
    marker = ndimage.binary_fill_holes(marker)
    marker = ndimage.binary_erosion(marker, ELLIPSE, border_value=1)
    marker = ndimage.binary_dilation(marker, ELLIPSE)
    return watershed(-relief, large_components(marker), mask=blob)


def nuclei(side, radius=8, seed=0):
    """Touching discs on a jittered grid: probability (H, W) and maps (H, W, 2) with noise."""
    rng = np.random.default_rng(seed)
    step = 2 * radius - 1
    grid = np.stack(np.mgrid[radius:side:step, radius:side:step], axis=-1).reshape(-1, 2)
    centers = grid + rng.uniform(-1.5, 1.5, grid.shape)
    labels = np.zeros((side, side), int)
    hv = np.zeros((side, side, 2))
    rows, cols = np.mgrid[:side, :side]
    for i, (r, c) in enumerate(centers, start=1):
        disc = (rows - r) ** 2 + (cols - c) ** 2 < radius**2
        labels[disc] = i
        hv[disc] = np.stack([cols[disc] - c, rows[disc] - r], axis=-1) / radius
    noisy = ndimage.gaussian_filter((labels > 0) * 1.0, 0.7) + rng.normal(0, 0.05, labels.shape)
    hv = ndimage.gaussian_filter(hv, (1, 1, 0)) + rng.normal(0, 0.05, hv.shape)
    return np.clip(noisy, 0, 1).astype(np.float32), hv.astype(np.float32), labels


@pytest.mark.parametrize("case", CASES)
def test_reference_values(golden, case):
    arrays, facts = golden("hover_postprocess")
    probability, hv = inputs(arrays, case)
    assert list(probability.shape) == facts[case]["shape"]
    blob = label_components(probability >= 0.5, 10, connectivity=1) > 0
    np.testing.assert_array_equal(blob, arrays[f"{case}__blob"])

    energy = hover_energy(hv, constant="reference") * blob
    if f"{case}__overall_f16" in arrays:
        overall = np.where(blob, 1 - energy, 0)
        np.testing.assert_allclose(overall, arrays[f"{case}__overall_f16"], atol=3e-4)
    markers = hover_markers(energy, blob)
    assert markers.max() == facts[case]["markers"]
    np.testing.assert_array_equal(markers, relabel(arrays[f"{case}__markers"]))

    instances = hover_watershed(probability, hv, constant="reference")
    assert instances.dtype == np.int32
    expected = relabel(arrays[f"{case}__inst"])
    assert instances.max() == expected.max() == facts[case]["instances"]
    unreached = np.count_nonzero(blob & (instances == 0))
    assert unreached == facts[case]["blob_pixels_without_instance"]
    # The reference smooths in single precision: a pixel of a few thousand goes to a neighbor.
    assert (instances != expected).mean() <= 5e-4


@pytest.mark.parametrize("case", CASES)
def test_reference_values_of_each_nucleus(golden, case):
    arrays, facts = golden("hover_postprocess")
    assert not facts[case]["instances_not_in_info"]
    instances, types = arrays[f"{case}__inst"], arrays[f"{case}__tp"]
    found = regions(instances)
    np.testing.assert_array_equal(found.ids, arrays[f"{case}__info_id"])
    np.testing.assert_array_equal(found.boxes, arrays[f"{case}__info_bbox"])
    np.testing.assert_allclose(found.centroids[:, ::-1], arrays[f"{case}__info_centroid_xy"])
    classes, shares = class_votes(instances, types, 6)
    np.testing.assert_array_equal(classes, arrays[f"{case}__info_type"])
    shares *= found.areas / (found.areas + 1e-6)  # as the reference divides
    np.testing.assert_allclose(shares, arrays[f"{case}__info_type_prob"], rtol=1e-12)


@pytest.mark.parametrize(("seed", "kernel"), [(0, 21), (1, 21), (2, 11), (3, 5)])
def test_equals_every_step_on_the_whole_image(seed, kernel):
    probability, hv, _ = nuclei(190, seed=seed)
    instances = hover_watershed(probability, hv, kernel=kernel)
    np.testing.assert_array_equal(instances, relabel(literal(probability, hv, kernel)))


def test_separates_touching_nuclei():
    probability, hv, labels = nuclei(200)
    instances = hover_watershed(probability, hv, kernel=11)
    assert label_components(probability >= 0.5, 10).max() < 20
    assert instances.max() == labels.max() == 169
    centers = regions(labels).centroids.round().astype(int)
    assert len(np.unique(instances[tuple(centers.T)])) == 169


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.floats(0.3, 0.7), st.floats(0.2, 0.6), st.integers(0, 30))
def test_flips_and_bounds(seed, threshold, marker_threshold, min_size):
    probability, hv, _ = nuclei(60, radius=6, seed=seed)
    arguments = {
        "threshold": threshold,
        "marker_threshold": marker_threshold,
        "min_size": min_size,
        "kernel": 7,
    }
    instances = hover_watershed(probability, hv, **arguments)
    assert set(np.unique(instances)) | {0} == set(range(instances.max() + 1))
    assert not instances[probability < threshold].any()
    for turn, turned_hv in [
        (lambda x: x[:, ::-1], hv * (-1, 1)),
        (lambda x: x[::-1], hv * (1, -1)),
    ]:
        turned = turn(hover_watershed(turn(probability), turn(turned_hv), **arguments))
        pairs = np.stack([instances, turned]).reshape(2, -1)
        _, counts = np.unique(pairs, axis=1, return_counts=True)
        assert turned.max() == instances.max()
        # Two neighbors can reach a pixel at once, within rounding.
        assert np.sort(counts)[: -instances.max() - 1].sum() <= 5


@pytest.mark.parametrize("kernel", [3, 5, 21])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (7, 1), (8, 30), (50, 40)])
def test_sobel_is_the_outer_product_of_binomials(kernel, shape):
    values = np.random.default_rng(0).random(shape)
    reach = kernel // 2
    smooth = (np.poly1d([1, 1]) ** (kernel - 1)).c
    derive = (np.poly1d([1, 1]) ** (kernel - 2) * np.poly1d([-1, 1])).c
    index = [
        np.abs((np.arange(-reach, n + reach) + n - 1) % max(2 * n - 2, 1) - (n - 1)) for n in shape
    ]
    around = values[np.ix_(*index)]
    windows = np.lib.stride_tricks.sliding_window_view(around, (kernel, kernel))
    for axis, weights in ((1, np.outer(smooth, derive)), (0, np.outer(derive, smooth))):
        expected = (windows * weights).sum(axis=(2, 3))
        atol = 1e-12 * np.abs(weights).sum()
        np.testing.assert_allclose(sobel(values, axis, kernel), expected, rtol=0, atol=atol)


def test_sobel_of_a_ramp():
    ramp = np.broadcast_to(3.0 * np.arange(100), (60, 100))
    inside = sobel(ramp, 1, 21)[:, 10:-10]
    np.testing.assert_allclose(inside, 3 * 2**20 * 2**19)  # 2 per pixel and pair of smoothing steps
    assert not sobel(ramp, 0, 21).any()


def squares():
    """Two squares that touch, side by side, and maps of which only the horizontal one shows it."""
    probability = np.zeros((40, 60))
    probability[10:30, 10:50] = 1
    hv = np.zeros((40, 60, 2))
    hv[10:30, 10:50, 0] = np.tile(np.linspace(-1, 1, 20), 2)
    return probability, hv


@pytest.mark.parametrize("value", [0, 0.1, -1])
def test_constant_maps(value):
    probability, hv = squares()
    hv[..., 1] = value
    both = hover_watershed(probability, hv, kernel=5)
    assert np.unique(both[10:30, 10:30]) == 1
    assert np.unique(both[10:30, 30:50]) == 2
    assert not hover_watershed(probability, hv, kernel=5, constant="reference").any()

    hv[..., 0] = value
    np.testing.assert_array_equal(hover_watershed(probability, hv), probability)
    assert not hover_watershed(probability, hv, constant="reference").any()


def test_a_map_that_changes_along_the_other_axis_only_is_constant():
    probability = np.ones((30, 30))
    hv = np.random.default_rng(0).random((30, 1, 2)).repeat(30, axis=1)
    hv[..., 1] = 0.7
    assert (hover_watershed(probability, hv) == 1).all()
    assert not hover_watershed(probability, hv, constant="reference").any()


def test_a_marker_fills_holes_with_what_is_in_them():
    probability = np.zeros((40, 40))
    probability[5:35, 5:35] = 1
    probability[12:28, 12:28] = 0
    probability[18:22, 18:22] = 1  # an island in the hole
    instances = hover_watershed(probability, np.zeros((40, 40, 2)))
    np.testing.assert_array_equal(instances, probability)


def test_components_without_a_marker_are_dropped():
    probability = np.zeros((20, 40))
    probability[2:18, 2:18] = probability[5:8, 25:38] = 1  # the second is too thin for the ellipse
    instances = hover_watershed(probability, np.zeros((20, 40, 2)))
    assert (instances[:, :20] == probability[:, :20]).all()
    assert not instances[:, 20:].any()


@pytest.mark.slow
def test_a_hundred_thousand_nuclei():
    ramp = np.tile(np.linspace(-1, 1, 8, dtype=np.float32), 320)
    hv = np.stack(np.meshgrid(ramp, ramp), axis=-1)
    instances = hover_watershed(np.ones(hv.shape[:2], np.float32), hv, kernel=3)
    tiles = instances.reshape(320, 8, 320, 8)
    assert (tiles[:, 3:5, :, 3:5] == tiles[:, 3:4, :, 3:4]).all()
    assert instances.max() == 320 * 320
    assert np.bincount(instances.ravel())[1:].min() >= 36


def test_one_nucleus_over_the_whole_image():
    hv = np.stack(np.meshgrid(np.linspace(-1, 1, 300), np.linspace(-1, 1, 200)), axis=-1)
    instances = hover_watershed(np.ones((200, 300)), hv)
    assert (instances == 1).all()


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (1, 1), (1, 9), (30, 30)])
def test_no_nucleus(shape):
    instances = hover_watershed(np.zeros(shape), np.ones((*shape, 2)))
    assert instances.shape == shape
    assert instances.dtype == np.int32
    assert not instances.any()


def test_memory_layouts_and_types():
    probability, hv, _ = nuclei(80)
    expected = hover_watershed(probability, hv)
    before = probability.copy(), hv.copy()
    wide = np.zeros((80, 80, 5))
    wide[..., 1:3] = hv
    probability.flags.writeable = hv.flags.writeable = False
    for maps in [
        (probability, hv),
        (np.asfortranarray(probability), wide[..., 1:3]),
        (probability.astype(np.float64), hv.astype(np.float64)),
    ]:
        np.testing.assert_array_equal(hover_watershed(*maps), expected)
    half = hover_watershed(probability.astype(np.float16), hv.astype(np.float16))
    assert half.max() == expected.max()
    np.testing.assert_array_equal(probability, before[0])
    np.testing.assert_array_equal(hv, before[1])


@pytest.mark.parametrize(
    ("probability", "hv", "arguments", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2, 2)), {}, r"width \(2, 3\), hv \(3, 2\)"),
        (np.zeros((2, 3)), np.zeros((2, 3)), {}, r"hv must be \(H, W, 2\), got shape \(2, 3\)"),
        (np.zeros((2, 3)), np.zeros((2, 3, 3)), {}, r"hv must be \(H, W, 2\), got .*\(2, 3, 3\)"),
        (np.zeros((2, 3, 1)), np.zeros((2, 3, 2)), {}, r"probability must be \(H, W\), got"),
        (np.full((2, 3), np.nan), np.zeros((2, 3, 2)), {}, "probability holds 6 NaN and 0 inf"),
        (np.zeros((2, 3)), np.full((2, 3, 2), np.inf), {}, "hv holds 0 NaN and 12 infinite"),
        (np.full((2, 3), 1.5), np.zeros((2, 3, 2)), {}, "probability reaches from 1.5 to 1.5"),
        (np.full((2, 3), -3.0), np.zeros((2, 3, 2)), {}, "apply the sigmoid or the softmax"),
        (np.zeros((2, 3)), np.zeros((2, 3, 2)), {"kernel": 20}, "kernel 20 is not an odd number"),
        (np.zeros((2, 3)), np.zeros((2, 3, 2)), {"kernel": 1}, "kernel 1 is not an odd number"),
        (np.zeros((2, 3)), np.zeros((2, 3, 2)), {"threshold": 127}, "threshold 127 is not within"),
        (np.zeros((2, 3)), np.zeros((2, 3, 2)), {"marker_threshold": np.nan}, "marker_threshold n"),
        (np.zeros((2, 3)), np.zeros((2, 3, 2)), {"constant": "ignored"}, "did you mean 'ignore'"),
    ],
)
def test_bad_input_is_refused(probability, hv, arguments, message):
    with pytest.raises(ValueError, match=message):
        hover_watershed(probability, hv, **arguments)
