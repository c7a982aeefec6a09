import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import find_contours

from jaxnuc.postprocess import overlap_separation
from jaxnuc.postprocess.components import label_components
from jaxnuc.postprocess.masks import paint
from jaxnuc.postprocess.overlap_separation import separate_by_distance, separate_overlaps

CASES = ("resized", "same_size", "few", "blank")


def inputs(arrays, case: str) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    height, width = arrays[f"{case}__size"].tolist()
    mask, boundary = (arrays[f"{case}__{name}_u8"] / 255 for name in ("mask", "boundary"))
    return mask, boundary, (height, width)


def two_discs() -> tuple[np.ndarray, np.ndarray]:
    """Two discs of radius 10 that touch, and the ring of each."""
    rows, cols = np.mgrid[:30, :50]
    radii = np.hypot(rows - 15, cols - 15), np.hypot(rows - 15, cols - 34)
    mask = (radii[0] <= 10) | (radii[1] <= 10)
    return mask.astype(float), ((abs(radii[0] - 10) <= 1) | (abs(radii[1] - 10) <= 1)).astype(float)


@pytest.mark.parametrize("case", CASES)
def test_seeds_of_the_reference(golden, case: str) -> None:
    arrays, scalars = golden("cnseg_postprocess")
    mask, boundary, shape = inputs(arrays, case)
    foreground = overlap_separation._binarize(mask, shape, "otsu")
    np.testing.assert_array_equal(foreground, arrays[f"{case}__binary"])
    inside = overlap_separation._binarize(boundary, shape, "otsu", invert=True)
    # The reference calls everything boundary if the map is constant; see `_otsu`.
    expected = arrays[f"{case}__not_boundary"] if case != "blank" else np.ones(shape)
    np.testing.assert_array_equal(inside, expected)
    seeds = overlap_separation._opened(foreground & inside)
    np.testing.assert_array_equal(seeds, arrays[f"{case}__seeds"])
    kept = overlap_separation._large(seeds, 0.2)
    np.testing.assert_array_equal(kept, arrays[f"{case}__seeds_kept"])
    markers = label_components(kept, connectivity=1)
    np.testing.assert_array_equal(markers, arrays[f"{case}__markers"])

    expected = scalars[case]
    assert markers.max() == expected["markers"]
    assert label_components(kept).max() == expected["contours_kept"]
    if case != "blank":  # the reference takes 0 for a constant map
        levels = [np.rint(values * 255).astype(np.uint8) for values in (mask, boundary)]
        levels[1] = overlap_separation._stretched(levels[1])
        for image, name, inverted in zip(levels, ("mask", "boundary"), (False, True), strict=True):
            threshold = overlap_separation._otsu(image)
            assert threshold == expected[f"otsu_{name}"]
            above = np.where((image > threshold) ^ inverted, np.float32(255), 0)
            again = np.rint(overlap_separation._resized(above, shape)).astype(np.uint8)
            assert overlap_separation._otsu(again) == expected[f"otsu_{name}_resized"]
    areas = overlap_separation._contour_areas(label_components(ndimage.binary_fill_holes(seeds)))
    assert areas.size - 1 == expected["contours"]
    if expected["contours"]:
        assert areas[1:].mean() == pytest.approx(expected["mean_contour_area"], rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_nuclei_of_the_reference_up_to_ties(golden, case: str) -> None:
    arrays, scalars = golden("cnseg_postprocess")
    mask, boundary, shape = inputs(arrays, case)
    for outline, name in (("exact", "label_exact_regions"), ("columns", "label")):
        found = separate_overlaps(mask, boundary, shape, outline=outline, max_instances=150)
        expected = arrays[f"{case}__{name}"].astype(int)
        assert len(found.masks) == scalars[case]["instances"]
        np.testing.assert_array_equal(paint(found.masks, shape), found.instances)
        # A tie that moves a pixel moves the order of the areas as well, so ids may differ.
        shared = np.bincount((expected * 1000 + found.instances).ravel(), minlength=10**6)
        shared = shared[: 1000 * 1000].reshape(1000, 1000)
        assert shared.max(axis=1).sum() >= 0.99 * expected.size
        assert shared.max(axis=0).sum() >= 0.99 * expected.size


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_otsu_against_scikit_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.choice(rng.integers(0, 256, rng.integers(2, 40)), 300).astype(np.uint8)
    levels[:2] = 3, 200
    np.testing.assert_array_equal(
        levels > overlap_separation._otsu(levels), levels > threshold_otsu(levels)
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_contour_areas_against_traced_contours(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.random((20, 24)), rng.uniform(0, 1.2))
    seeds = ndimage.binary_fill_holes(noise > np.quantile(noise, rng.uniform(0.2, 0.9)))
    labels = label_components(seeds)
    areas = overlap_separation._contour_areas(labels)
    assert areas[0] == 0
    for i in range(1, labels.max() + 1):
        # At a level close to 1, the traced line runs through the centers of the outer pixels,
        # in several loops where the component is thin.
        loops = find_contours(np.pad(labels == i, 1).astype(float), 1 - 1e-9)
        traced = sum(np.sum(a[:-1, 0] * a[1:, 1] - a[1:, 0] * a[:-1, 1]) / 2 for a in loops)
        assert areas[i] == pytest.approx(abs(traced), abs=1e-5)


def test_contour_areas_in_closed_form() -> None:
    labels = np.zeros((12, 30), int)
    labels[1:6, 1:9] = 1
    labels[8, 1:9] = 2
    labels[3, 12:15] = labels[2:5, 13] = 3
    labels[range(6, 12), range(20, 26)] = 4
    np.testing.assert_array_equal(overlap_separation._contour_areas(labels), [0, 28, 0, 2, 0])


@pytest.mark.parametrize(("old", "new"), [((4, 5), (8, 10)), ((9, 6), (3, 2)), ((5, 7), (5, 11))])
def test_resizing_keeps_a_plane(old: tuple[int, int], new: tuple[int, int]) -> None:
    centers = lambda shape: [(np.arange(n) + 0.5) / n for n in shape]
    rows, cols = (np.clip(c, 0.5 / n, 1 - 0.5 / n) for c, n in zip(centers(new), old, strict=True))
    plane = np.add.outer(centers(old)[0] * 3, centers(old)[1] * 2).astype(np.float32)
    resized = overlap_separation._resized(plane, new)
    np.testing.assert_allclose(resized, np.add.outer(rows * 3, cols * 2), rtol=1e-5)


@pytest.mark.parametrize("threshold", ["otsu", 0.5])
def test_touching_discs(threshold: float | str) -> None:
    mask, boundary = two_discs()
    for shape in (None, (90, 150)):
        found = separate_overlaps(mask, boundary, shape, threshold=threshold, lines=False)
        assert found.instances.shape == (shape or mask.shape)
        assert [int(n) for n in np.unique(found.instances)] == [0, 1, 2]
        areas = [int(m.mask.sum()) for m in found.masks]
        scale = 1 if shape is None else 9
        np.testing.assert_allclose(areas, np.pi * 10**2 * scale, rtol=0.05)
    np.testing.assert_array_equal(
        separate_overlaps(mask, boundary, lines=False).instances > 0, mask > 0
    )
    with_lines = separate_overlaps(mask, boundary, lines=True).instances
    assert 0 < ((with_lines == 0) & (mask > 0)).sum() < 20


def test_small_seeds_are_dropped() -> None:
    mask = np.zeros((40, 60))
    mask[2:32, 2:32] = 1
    mask[2:32, 35:38] = 1
    mask[36:39, 2:5] = 1
    boundary = np.zeros_like(mask)
    boundary[0, 0] = 1
    # The opening takes the corners: contour areas 29 * 29 - 2, 29 * 2 - 2 and 2, their mean 299.
    for share, n in ((0.0, 3), (0.006, 3), (0.007, 2), (0.187, 2), (0.188, 1), (1.0, 1)):
        assert len(separate_overlaps(mask, boundary, min_area_share=share).masks) == n
    assert len(separate_overlaps(mask, boundary, min_area_share=0, max_instances=2).masks) == 2


def test_seeds_without_any_area_stay() -> None:
    for share in (0.0, 0.2):
        found = separate_overlaps(np.ones((1, 9)), np.zeros((1, 9)), min_area_share=share)
        np.testing.assert_array_equal(found.instances, 1)


def test_holes_of_seeds_and_of_nuclei() -> None:
    mask = np.zeros((30, 30))
    mask[5:25, 5:25] = 1
    mask[14, 14] = 0
    boundary = np.zeros_like(mask)
    boundary[10:13, 10:13] = 1
    filled = separate_overlaps(mask, boundary)
    assert len(filled.masks) == 1
    assert filled.instances[14, 14] == filled.instances[11, 11] == 1
    open_ = separate_overlaps(mask, boundary, outline="exact")
    assert open_.instances[14, 14] == 0
    assert open_.instances[11, 11] == 1


def test_constant_maps() -> None:
    shape = (20, 24)
    for mask, boundary, n in ((0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 0), (0.1, 0, 0), (0.9, 0, 1)):
        for size in (None, (50, 31)):
            maps = np.full(shape, float(mask)), np.full(shape, float(boundary))
            found = separate_overlaps(*maps, size)
            assert len(found.masks) == n
            np.testing.assert_array_equal(found.instances, n)
        np.testing.assert_array_equal(separate_by_distance(maps[0]), float(mask) > 0.5)


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (5, 0)])
def test_no_pixels(shape: tuple[int, int]) -> None:
    found = separate_overlaps(np.zeros(shape), np.zeros(shape))
    assert (found.instances.shape, found.instances.dtype, found.masks) == (shape, np.int32, ())
    assert separate_by_distance(np.zeros(shape)).shape == shape


@pytest.mark.slow
def test_a_hundred_thousand_specks() -> None:
    mask = np.zeros((1264, 1264), np.float32)
    for row, col in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2)):
        mask[row::4, col::4] = 1
    found = separate_overlaps(mask, np.zeros_like(mask))
    assert len(found.masks) == (1264 // 4) ** 2
    assert found.instances.max() == len(found.masks)
    np.testing.assert_array_equal(found.instances > 0, mask > 0)
    assert len(separate_overlaps(mask, 0 * mask, max_instances=150).masks) == 150


def test_dtypes_and_layouts() -> None:
    mask, boundary = two_discs()
    expected = separate_overlaps(mask, boundary).instances
    for dtype in (bool, np.uint8, np.float16, np.float32, np.int64):
        maps = np.asfortranarray(mask.astype(dtype)), np.asfortranarray(boundary.astype(dtype))
        for values in maps:
            values.flags.writeable = False
        np.testing.assert_array_equal(separate_overlaps(*maps).instances, expected)


def test_distance_separates_discs_and_loses_the_narrow() -> None:
    mask, _ = two_discs()
    labels = separate_by_distance(mask, lines=False)
    np.testing.assert_array_equal(labels > 0, mask > 0)
    assert labels.max() == 2
    assert labels[15, 15] == 1
    assert labels[15, 34] == 2
    assert ((separate_by_distance(mask) == 0) & (mask > 0)).any()
    mask[:2, :2] = 1
    labels = separate_by_distance(mask)
    assert labels[0, 0] == 0
    assert separate_by_distance(mask, seed_share=0.05).max() == 2
    assert separate_by_distance(mask, (60, 100)).shape == (60, 100)


def test_refuses() -> None:
    maps = np.zeros((4, 5)), np.zeros((4, 5))
    with pytest.raises(ValueError, match=r"\(4, 5\), boundary \(4, 6\)"):
        separate_overlaps(maps[0], np.zeros((4, 6)))
    with pytest.raises(ValueError, match=r"boundary must be \(H, W\), got shape \(4, 5, 1\)"):
        separate_overlaps(maps[0], maps[1][..., None])
    for bad in (np.nan, np.inf, -np.inf, -0.1, 1.1, 255):
        broken = maps[0].copy()
        broken[1, 2] = bad
        refusal = "mask reaches from" if np.isfinite(bad) else "mask holds . NaN and . infinite"
        for function in (lambda b: separate_overlaps(b, maps[1]), separate_by_distance):
            with pytest.raises(ValueError, match=refusal):
                function(broken)
    for shape in ((0, 5), (4, -5)):
        with pytest.raises(ValueError, match="cannot be resized"):
            separate_overlaps(*maps, shape)
    with pytest.raises(ValueError, match=r"\(0, 5\) cannot be resized to \(4, 5\)"):
        separate_overlaps(np.zeros((0, 5)), np.zeros((0, 5)), (4, 5))
    with pytest.raises(ValueError, match="unknown threshold 'otso'"):
        separate_overlaps(*maps, threshold="otso")
    for threshold in (-0.1, 2, np.nan):
        with pytest.raises(ValueError, match="threshold is"):
            separate_overlaps(*maps, threshold=threshold)
    for share in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="min_area_share is"):
            separate_overlaps(*maps, min_area_share=share)
    with pytest.raises(ValueError, match="unknown outline"):
        separate_overlaps(*maps, outline="boxes")
    with pytest.raises(ValueError, match="seed_share is 1"):
        separate_by_distance(maps[0], seed_share=1)
