import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import polygon

from jaxnuc.postprocess.masks import Mask, _columns, masks_of, paint, region_masks, scaled

GOLDEN_CASES = ("resized", "same_size", "few", "blank")


def regions_of(seed: int, shape: tuple[int, int] = (22, 26)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.random(shape), rng.uniform(0.5, 1.5))
    return ndimage.label(noise > np.quantile(noise, rng.uniform(0.2, 0.9)), np.ones((3, 3)))[0]


def dense(masks: tuple[Mask, ...], shape: tuple[int, int]) -> np.ndarray:
    return np.array([paint([mask], shape) > 0 for mask in masks]).reshape(-1, *shape)


@pytest.mark.parametrize("seed", range(6))
def test_masks_of_nuclei_that_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instances, covered = rng.integers(0, 12, (9, 8)) * 100_000, rng.integers(0, 12, (9, 8, 2)) * 700
    ids, masks = masks_of(instances, covered)
    layers = np.dstack([instances, covered])
    assert ids.tolist() == sorted(set(layers.ravel().tolist()) - {0})
    whole = dense(masks, (9, 8))
    for number, mask, found in zip(ids, whole, masks, strict=True):
        np.testing.assert_array_equal(mask, (layers == number).any(axis=-1))
        for edge in (found.mask[0], found.mask[-1], found.mask[:, 0], found.mask[:, -1]):
            assert edge.any()  # the box is tight
    ids, masks = masks_of(instances)
    ranks = np.where(instances > 0, np.searchsorted(ids, instances) + 1, 0)
    np.testing.assert_array_equal(paint(masks, (9, 8)), ranks)
    assert masks_of(np.zeros((3, 0), int))[1] == ()


def column_polygon(region: np.ndarray) -> list[tuple[int, int]]:
    """(col, row) of the top pixel of each column, and of the bottom pixels backwards."""
    rows = {c: np.flatnonzero(region[:, c]).tolist() for c in np.flatnonzero(region.any(axis=0))}
    top = [(int(c), r[0]) for c, r in rows.items()]
    return top + [(int(c), r[-1]) for c, r in reversed(rows.items())]


def line(a: tuple[int, int], b: tuple[int, int]) -> list[tuple[int, int]]:
    """An 8-connected line, from left to right, with the error term dx - 2 dy."""
    (x, y), (x1, y1) = sorted((a, b), key=lambda p: p[0])
    dx, dy, sign = x1 - x, abs(y1 - y), 1 if y1 >= y else -1
    steep, long, short = dy > dx, max(dx, dy), min(dx, dy)
    error, points = long - 2 * short, [(x, y)]
    for _ in range(long):
        both = error < 0
        error += 2 * long * both - 2 * short
        x += 1 if both or not steep else 0
        y += sign if both or steep else 0
        points.append((x, y))
    return points


def filled(points: list[tuple[int, int]], shape: tuple[int, int]) -> np.ndarray:
    x, y = np.array(points).T
    result = np.zeros(shape, bool)
    result[polygon(y, x, shape)] = True
    for a, b in zip(points, points[1:] + points[:1], strict=True):
        for c, r in line(a, b):
            result[r, c] = True
    return result


def shoelace(points: list[tuple[int, int]]) -> float:
    x, y = np.array(points).T
    return abs(int(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_column_polygons_against_a_literal_rasterizer(seed: int) -> None:
    regions = regions_of(seed)
    polygons = {i: column_polygon(regions == i) for i in range(1, regions.max() + 1)}
    order = sorted(polygons, key=lambda i: (-shoelace(polygons[i]), i))
    kept = [i for i in order if len(polygons[i]) >= 6]
    masks = region_masks(regions, "columns")
    expected = [filled(polygons[i], regions.shape) for i in kept]
    np.testing.assert_array_equal(
        dense(masks, regions.shape), np.reshape(expected, (-1, *regions.shape))
    )

    exact = [regions == i for i in order]
    found = dense(region_masks(regions, "exact"), regions.shape)
    np.testing.assert_array_equal(found, exact)
    found = dense(region_masks(regions), regions.shape)
    np.testing.assert_array_equal(found, [ndimage.binary_fill_holes(region) for region in exact])


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_instances_of_the_reference(golden, case: str) -> None:
    arrays, scalars = golden("cnseg_postprocess")
    values = {name: arrays[f"{case}__{name}"] for name in arrays_of(arrays, case)}
    regions, shape = values["watershed"], values["watershed"].shape
    bits = np.unpackbits(values["instances_packbits"], axis=-1)[..., : shape[1]]
    masks = region_masks(regions, "columns", max_instances=150)
    np.testing.assert_array_equal(dense(masks, shape), bits > 0)
    np.testing.assert_array_equal(paint(masks, shape), values["label"])
    exact = paint(region_masks(regions), shape)
    np.testing.assert_array_equal(exact, values["label_exact_regions"])
    assert len(masks) == scalars[case]["instances"] == scalars[case]["polygons"]
    discarded = np.setdiff1d(regions[regions > 0], values["source_region"])
    assert discarded.tolist() == scalars[case]["regions_discarded"]
    assert (dense(masks, shape).sum(axis=0) > 1).sum() == scalars[case]["overlapping_pixels"]

    if case == "blank":
        return
    columns = _columns(regions)
    order = np.searchsorted(columns.ids, values["source_region"])
    np.testing.assert_array_equal(columns.polygon_areas()[order], values["polygon_area"])
    spans = [slice(columns.starts[k], columns.stops[k]) for k in order]
    points = [
        np.stack(
            [
                np.append(columns.col[s], columns.col[s][::-1]),
                np.append(columns.top[s], columns.bottom[s][::-1]),
            ],
            axis=1,
        )
        for s in spans
    ]
    np.testing.assert_array_equal([len(p) for p in points], values["polygon_len"])
    np.testing.assert_array_equal(np.concatenate(points), values["polygon_xy"])


def arrays_of(arrays, case: str) -> list[str]:
    return [name.split("__")[1] for name in arrays if name.startswith(f"{case}__")]


def test_a_nucleus_in_the_hole_of_another_is_painted_on_top() -> None:
    regions = np.zeros((9, 9), int)
    regions[1:8, 1:8] = 5
    regions[2:7, 2:7] = 0
    regions[4, 3:6] = 9
    masks = region_masks(regions)
    assert [(m.row, m.col, m.mask.shape, m.mask.all()) for m in masks] == [
        (1, 1, (7, 7), True),
        (4, 3, (1, 3), True),
    ]
    expected = np.where(regions == 9, 2, ndimage.binary_fill_holes(regions > 0).astype(int))
    np.testing.assert_array_equal(paint(masks, regions.shape), expected)


def test_the_largest_are_kept_and_ids_may_be_anything() -> None:
    regions = np.zeros((5, 12), np.int64)
    regions[:2, :3], regions[:4, 4:7], regions[:3, 8:11] = 2**62, 3, 70000
    assert [int(m.mask.sum()) for m in region_masks(regions)] == [12, 9, 6]
    for kept in (0, 1, 2, 3, 4):
        assert len(region_masks(regions, max_instances=kept)) == min(kept, 3)
    read_only = np.asfortranarray(regions)
    read_only.flags.writeable = False
    for outline in ("exact", "columns"):
        found = dense(region_masks(read_only, outline), regions.shape)
        np.testing.assert_array_equal(found, dense(region_masks(regions, outline), regions.shape))
    as_unsigned = dense(region_masks(regions.astype(np.uint64)), regions.shape)
    np.testing.assert_array_equal(as_unsigned, dense(region_masks(regions), regions.shape))


def test_narrow_regions_are_dropped_only_by_polygons() -> None:
    regions = np.zeros((9, 6), np.uint8)
    regions[1:8, 1:3] = 1
    assert region_masks(regions, "columns") == ()
    assert region_masks(regions)[0].mask.shape == (7, 2)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (4, 0), (3, 4)])
def test_nothing(shape: tuple[int, int]) -> None:
    for outline in ("exact", "columns"):
        assert region_masks(np.zeros(shape, bool), outline) == ()
    np.testing.assert_array_equal(paint([], shape), np.zeros(shape))


def test_one_region_everywhere() -> None:
    for outline in ("exact", "columns"):
        (mask,) = region_masks(np.ones((30, 40), bool), outline)
        assert (mask.row, mask.col, mask.mask.shape) == (0, 0, (30, 40))
        assert mask.mask.all()


def test_refuses() -> None:
    regions = np.array([[1, 0, 1]])
    with pytest.raises(ValueError, match=r"unknown outline 'colums'.*did you mean 'columns'"):
        region_masks(regions, "colums")
    with pytest.raises(ValueError, match="region 1 has nothing between the columns 0 and 2"):
        region_masks(regions, "columns")
    with pytest.raises(ValueError, match="max_instances is -1"):
        region_masks(regions, max_instances=-1)
    with pytest.raises(ValueError, match="regions holds the negative number -1"):
        region_masks(-1 * regions)
    with pytest.raises(ValueError, match="regions must hold integers"):
        region_masks(regions / 2)
    for row, col in ((-1, 0), (0, -1), (2, 0), (0, 2)):
        with pytest.raises(ValueError, match=r"leaves the image of \(3, 3\)"):
            paint([Mask(row, col, np.ones((2, 2), bool))], (3, 3))


@pytest.mark.parametrize("scale", [(2.0, 2.0), (2.22, 2.3), (0.4, 0.7), (1.0, 3.5)])
def test_a_mask_in_another_resolution(scale):
    """Literally: a pixel belongs to it where its center lies in one of its pixels."""
    rng = np.random.default_rng(0)
    shape = tuple(math.ceil(n * factor) for n, factor in zip((40, 50), scale, strict=True))
    row, col = np.ix_(*(np.arange(n) for n in shape))
    labels = ndimage.zoom(rng.integers(0, 8, (8, 10)), 5, order=0)
    for label in range(1, 8):
        (rows, cols), *_ = ndimage.find_objects((labels == label).astype(int))
        one = Mask(rows.start, cols.start, labels[rows, cols] == label)
        whole = paint([one], (40, 50)) > 0
        expected = whole[
            np.minimum((row + 0.5) / scale[0], 39).astype(int),
            np.minimum((col + 0.5) / scale[1], 49).astype(int),
        ]
        np.testing.assert_array_equal(paint([scaled(one, scale, shape)], shape), expected)


def test_a_mask_that_is_too_small_keeps_a_pixel():
    found = scaled(Mask(10, 21, np.ones((1, 1), bool)), (0.2, 0.2), (8, 10))
    assert (found.row, found.col, found.mask.tolist()) == (2, 4, [[True]])
