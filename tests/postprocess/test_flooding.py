from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jaxnuc.postprocess.flooding import flood

STEPS = ((-1, 0), (0, -1), (0, 1), (1, 0))


def scene(seed: int, shape: tuple[int, int] = (17, 23)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < rng.uniform(0.6, 1)
    return ndimage.label(rng.random(shape) < rng.uniform(0, 0.2))[0], mask


def steps_to(seeds: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Length of the shortest way to a seed inside the mask, infinite where there is none."""
    distance = np.full(mask.shape, np.inf)
    distance[seeds & mask] = 0
    queue = deque(np.argwhere(seeds & mask).tolist())
    while queue:
        r, c = queue.popleft()
        for dr, dc in STEPS:
            y, x = r + dr, c + dc
            if not (0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x]):
                continue
            if distance[y, x] == np.inf:
                distance[y, x] = distance[r, c] + 1
                queue.append([y, x])
    return distance


def one_after_the_other(markers: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Flooding with lines, pixel by pixel: the nearest first, of these the lowest id."""
    height, width = mask.shape
    labels = np.where(mask, markers, 0)
    done = labels > 0
    ring = sorted(map(tuple, np.argwhere(done).tolist()))

    def around(r: int, c: int) -> list[tuple[int, int]]:
        near = [(r + dr, c + dc) for dr, dc in STEPS]
        return [(y, x) for y, x in near if 0 <= y < height and 0 <= x < width]

    while ring:
        found = {p for q in ring for p in around(*q) if mask[p] and not done[p]}
        claims = {p: min(labels[q] for q in around(*p) if labels[q]) for p in found}
        ring = []
        for p in sorted(found, key=lambda p: (claims[p], p)):
            done[p] = True
            if {labels[q] for q in around(*p)} <= {0, claims[p]}:
                labels[p] = claims[p]
                ring.append(p)
    return labels


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_every_pixel_goes_to_a_nearest_seed(seed: int) -> None:
    markers, mask = scene(seed)
    labels = flood(markers, mask)
    nearest = steps_to(markers > 0, mask)
    np.testing.assert_array_equal(labels > 0, np.isfinite(nearest))
    for i in np.unique(labels[labels > 0]):
        own = steps_to(markers == i, mask)
        np.testing.assert_array_equal(own[labels == i], nearest[labels == i])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_lines_equal_flooding_one_pixel_after_the_other(seed: int) -> None:
    markers, mask = scene(seed)
    labels = flood(markers, mask, lines=True)
    literal = one_after_the_other(markers, mask)
    np.testing.assert_array_equal(labels, literal)
    for near, far in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        assert not ((near != far) & (near > 0) & (far > 0)).any()


def test_watershed_of_the_reference_up_to_ties(golden) -> None:
    arrays, cases = golden("cnseg_postprocess")
    for case in cases:
        mask, markers = arrays[f"{case}__binary"], arrays[f"{case}__markers"]
        for lines, name in ((True, "watershed"), (False, "watershed_no_line")):
            wrong = flood(markers, mask, lines) != arrays[f"{case}__{name}"]
            assert wrong.mean() <= 0.01


def test_lines_between_straight_fronts_are_straight() -> None:
    markers = np.zeros((9, 10), int)
    markers[:, 0], markers[:, 9] = 4, 3
    expected = np.tile([4, 4, 4, 4, 0, 3, 3, 3, 3, 3], (9, 1))
    np.testing.assert_array_equal(flood(markers, np.ones((9, 10), bool), lines=True), expected)


def test_a_corridor_behind_a_line_stays_empty() -> None:
    mask = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]])
    markers = np.array([[1, 0, 0, 0, 2], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    expected = [[1, 1, 0, 2, 2], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(flood(markers, mask, lines=True), expected)
    expected = [[1, 1, 1, 2, 2], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]
    np.testing.assert_array_equal(flood(markers, mask), expected)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64, np.uint64])
def test_any_layout_and_integer_dtype(dtype: type) -> None:
    markers, mask = scene(3)
    markers = (markers % 2).astype(dtype)
    expected = flood(markers, mask)
    markers.flags.writeable = False
    np.testing.assert_array_equal(flood(markers, mask.astype(np.int64)), expected)
    doubled = np.repeat(np.repeat(markers, 2, 0), 2, 1)[::2, ::2]
    np.testing.assert_array_equal(flood(doubled, mask), expected)
    assert expected.dtype == np.int32


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 0), (1, 1), (1, 6), (6, 1)])
def test_thin_and_empty_images(shape: tuple[int, int]) -> None:
    for lines in (False, True):
        np.testing.assert_array_equal(flood(np.ones(shape, int), np.ones(shape, bool), lines), 1)
        np.testing.assert_array_equal(flood(np.zeros(shape, int), np.ones(shape, bool), lines), 0)


def test_refuses() -> None:
    ones = np.ones((2, 2), int)
    with pytest.raises(ValueError, match=r"\(2, 2\), mask \(2, 3\)"):
        flood(ones, np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="2147483647"):
        flood(ones * (2**31 - 1), ones)
    with pytest.raises(ValueError, match="from -1"):
        flood(-ones, ones)
    with pytest.raises(ValueError, match="mask must be bool or integer"):
        flood(ones, ones / 2)
