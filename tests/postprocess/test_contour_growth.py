"""Growth from contours against reference values and the literal algorithm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jaxnuc.postprocess.components import label_components
from jaxnuc.postprocess.contour_growth import _grow, grow_from_contours

CASES = [
    "touching",
    "noisy",
    "thick_contour",
    "seedless",
    "no_seed_at_all",
    "empty_mask",
    "no_contour",
    "equidistant",
    "contour_outside_mask",
    "size256",
]
SQUARE = np.ones((3, 3), bool)


def literal(mask, contour, seedless="keep", sweeps=10_000):
    """Algorithm 1 as written: one id after the other, in place, until nothing changes."""
    labels = ndimage.label(mask & ~contour, SQUARE)[0]
    n = labels.max(initial=0)
    for _ in range(sweeps):
        before = labels.copy()
        for i in range(1, n + 1):
            grown = ndimage.binary_dilation(labels == i, SQUARE)
            labels[grown & mask & (labels == 0)] = i
        if (labels == before).all():
            break
    if seedless == "keep":
        rest = ndimage.label(mask & (labels == 0), SQUARE)[0]
        labels[rest > 0] = rest[rest > 0] + n
    return labels


@pytest.mark.parametrize("case", CASES)
def test_reference_values(golden, case):
    arrays, facts = golden("haru_postprocess")
    expected = facts[case]
    mask, contour = arrays[f"{case}__mask"], arrays[f"{case}__contour"]
    assert list(mask.shape) == expected["shape"]
    for seedless, key in [("keep", "new"), ("drop", "drop")]:
        instances = grow_from_contours(mask, contour, seedless)
        assert instances.dtype == np.int32
        assert instances.max() == expected[f"labels_{key}"]
        np.testing.assert_array_equal(instances, arrays[f"{case}__label_{key}"])
    for sweeps in (6, 10):  # what the published code stops after
        grown = grow_from_contours(mask, contour, "drop", sweeps=sweeps)
        np.testing.assert_array_equal(grown, arrays[f"{case}__label_{sweeps}"])
        uncovered = np.count_nonzero((mask > 0) & (grown == 0))
        assert uncovered == expected[f"uncovered_after_{sweeps}"]
    seeds = label_components((mask > 0) & (contour == 0))
    assert seeds.max() == expected["seeds"]
    np.testing.assert_array_equal(seeds, arrays[f"{case}__seeds"])
    last = expected["sweeps_until_stable"]
    for sweeps in range(last + 1):
        grown = grow_from_contours(mask, contour, "drop", sweeps=sweeps)
        assert np.array_equal(grown, instances) == (sweeps == last)


@pytest.mark.parametrize("case", CASES)
def test_reference_values_with_seeds_in_another_order(golden, case):
    arrays, facts = golden("haru_postprocess")
    order = "_opencv_order" if f"{case}__seeds_opencv_order" in arrays else ""
    assert facts[case]["opencv_component_order_equal"] == (not order)
    seeds = arrays[f"{case}__seeds{order}"]
    labels = np.pad(seeds, 1).astype(np.int32)
    _grow(labels, np.pad(arrays[f"{case}__mask"] > 0, 1))
    labels = labels[1:-1, 1:-1]
    np.testing.assert_array_equal(labels, arrays[f"{case}__label_drop{order}"])
    in_raster_order = np.zeros(seeds.max(initial=0) + 1, int)
    in_raster_order[seeds] = arrays[f"{case}__seeds"]
    moved = np.count_nonzero(in_raster_order[labels] != arrays[f"{case}__label_drop"])
    assert moved == facts[case]["pixels_that_change_owner_with_opencv_order"]


def test_reference_files_hold_no_other_case(golden):
    arrays, facts = golden("haru_postprocess")
    assert {name.split("__")[0] for name in arrays} == set(facts) == set(CASES)


@pytest.mark.parametrize("seedless", ["keep", "drop"])
@pytest.mark.parametrize(("inside", "outline"), [(0.5, 0.5), (0.7, 0.9), (0.95, 0.97), (1, 0.99)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_algorithm_as_written(seed, inside, outline, seedless):
    rng = np.random.default_rng(seed)
    mask = rng.random((37, 29)) < inside
    contour = rng.random((37, 29)) < outline
    instances = grow_from_contours(mask, contour, seedless)
    np.testing.assert_array_equal(instances, literal(mask, contour, seedless))


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    inside=st.floats(0.4, 1),
    outline=st.floats(0.3, 1),
    seedless=st.sampled_from(["keep", "drop"]),
    sweeps=st.one_of(st.none(), st.integers(0, 5)),
)
def test_equals_the_algorithm_after_any_number_of_sweeps(
    seed, shape, inside, outline, seedless, sweeps
):
    rng = np.random.default_rng(seed)
    mask, contour = rng.random(shape) < inside, rng.random(shape) < outline
    instances = grow_from_contours(mask, contour, seedless, sweeps=sweeps)
    expected = literal(mask, contour, seedless, 10_000 if sweeps is None else sweeps)
    np.testing.assert_array_equal(instances, expected)


def test_distant_seeds_share_a_mask_of_the_whole_image():
    # In 8-connected steps through a full mask, the owner is the lowest of the nearest seeds by
    # chessboard distance.
    contour = np.ones((150, 170), bool)
    seeds = [(3, 5), (30, 160), (75, 80), (149, 0), (140, 150)]
    contour[tuple(np.transpose(seeds))] = False
    at = np.indices(contour.shape)
    distances = [np.abs(at - np.reshape(seed, (2, 1, 1))).max(axis=0) for seed in seeds]
    ids = label_components(~contour)
    order = np.argsort([ids[seed] for seed in seeds])
    expected = 1 + np.argmin(np.array(distances)[order], axis=0)
    np.testing.assert_array_equal(grow_from_contours(np.ones_like(contour), contour), expected)


def test_a_flood_of_seeds():
    # 10^5 seeds two pixels apart: each takes the pixel on its right and the row below.
    mask = np.ones((500, 800), bool)
    contour = np.ones_like(mask)
    contour[::2, ::2] = False
    expected = np.arange(1, 100_001).reshape(250, 400).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(grow_from_contours(mask, contour), expected)
    # As many parts without a seed.
    parts = grow_from_contours(~contour, mask)
    np.testing.assert_array_equal(parts[::2, ::2], expected[::2, ::2])
    assert not grow_from_contours(~contour, mask, "drop").any()


@pytest.mark.parametrize("sweeps", [0, 1, 3])
def test_what_is_not_reached_in_time_is_seedless(sweeps):
    mask = np.ones((1, 9), bool)
    contour = np.arange(9)[None] > 2
    kept = grow_from_contours(mask, contour, "keep", sweeps=sweeps)
    assert kept.tolist() == [[1] * (3 + sweeps) + [2] * (6 - sweeps)]
    dropped = grow_from_contours(mask, contour, "drop", sweeps=sweeps)
    assert dropped.tolist() == [[1] * (3 + sweeps) + [0] * (6 - sweeps)]


def test_growth_follows_a_long_corridor():
    # A path of 9 rows joined at alternating ends, seeded at its start; an island without a seed.
    mask = np.zeros((19, 15), bool)
    mask[0:17:2] = True
    mask[1:17:4, -1] = mask[3:17:4, 0] = True
    path = mask.copy()
    mask[18, 4:9] = True
    contour = mask.copy()
    contour[0, 0] = False
    np.testing.assert_array_equal(grow_from_contours(mask, contour, "drop"), path)
    np.testing.assert_array_equal(grow_from_contours(mask, contour), 2 * mask - 1 * path)


@pytest.mark.parametrize("erosion", [1, 2])
def test_erosion_separates_seeds(erosion):
    # Two squares of 9x9 joined by a bridge of one row: one nucleus, two after erosion.
    mask = np.zeros((15, 26), bool)
    mask[3:12, 3:12] = mask[3:12, 14:23] = mask[7, 12:14] = True
    contour = np.zeros_like(mask)
    assert grow_from_contours(mask, contour).max() == 1

    eroded = ndimage.binary_erosion(mask, SQUARE, iterations=erosion)
    instances = grow_from_contours(mask, contour, erosion=erosion)
    np.testing.assert_array_equal(instances, literal(mask, ~eroded))
    assert instances.max() == 2


def test_erosion_spares_the_image_border():
    mask = np.ones((5, 5), bool)
    contour = np.zeros_like(mask)
    contour[:, 2] = True  # each half is two columns at the border: one of them survives
    instances = grow_from_contours(mask, contour, seedless="drop", erosion=1)
    assert instances.tolist() == [[1, 1, 1, 2, 2]] * 5


def test_erosion_leaves_small_nuclei_to_the_seedless_rule():
    mask = np.zeros((6, 6), bool)
    mask[2:4, 2:4] = True
    contour = np.zeros_like(mask)
    kept = grow_from_contours(mask, contour, "keep", erosion=1)
    np.testing.assert_array_equal(kept, mask)
    assert grow_from_contours(mask, contour, "drop", erosion=1).max() == 0


@pytest.mark.parametrize("seedless", ["keep", "drop"])
@pytest.mark.parametrize("erosion", [0, 1])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (1, 9), (9, 1)])
def test_thin_images(shape, erosion, seedless):
    mask = np.ones(shape, bool)
    contour = np.ones(shape, bool)
    contour[-2:, -2:] = False  # the seed
    instances = grow_from_contours(mask, contour, seedless, erosion)
    assert instances.shape == shape
    np.testing.assert_array_equal(instances, mask)  # the border spares one pixel of the seed


def test_any_memory_layout():
    rng = np.random.default_rng(3)
    mask, contour = rng.random((20, 31)) < 0.8, rng.random((20, 31)) < 0.6
    expected = grow_from_contours(mask, contour)
    mask.flags.writeable = contour.flags.writeable = False
    for change in (np.asfortranarray, lambda a: a.repeat(2, 1)[:, ::2], lambda a: a * np.int64(7)):
        np.testing.assert_array_equal(grow_from_contours(change(mask), change(contour)), expected)
    np.testing.assert_array_equal(grow_from_contours(mask, contour), expected)


def test_inputs_are_left_alone():
    mask = np.random.default_rng(0).integers(0, 2, (9, 9)).astype(np.uint8)
    contour = mask.T.copy()
    before = mask.copy(), contour.copy()
    grow_from_contours(mask, contour, erosion=1)
    np.testing.assert_array_equal((mask, contour), before)


@pytest.mark.parametrize(
    ("contour", "arguments", "message"),
    [
        (np.zeros((3, 2), bool), {}, r"mask has height and width \(2, 3\), contour \(3, 2\)"),
        (np.zeros((2, 3)), {}, "contour must be bool or integer, got float64"),
        (np.zeros((2, 3), bool), {"seedless": "kept"}, "known: drop, keep; did you mean 'keep'"),
        (np.zeros((2, 3), bool), {"erosion": -1}, "erosion -1 is negative"),
        (np.zeros((2, 3), bool), {"sweeps": -1}, "sweeps -1 is negative"),
    ],
)
def test_bad_input_is_refused(contour, arguments, message):
    with pytest.raises(ValueError, match=message):
        grow_from_contours(np.ones((2, 3), bool), contour, **arguments)
