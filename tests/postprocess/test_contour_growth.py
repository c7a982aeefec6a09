"""Growth from contours against reference values and the literal algorithm."""

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.postprocess import grow_from_contours, label_components

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


def literal(mask, contour, seedless="keep"):
    """Algorithm 1 as written: one id after the other, in place, until nothing changes."""
    labels = ndimage.label(mask & ~contour, SQUARE)[0]
    n = labels.max()
    changed = True
    while changed:
        before = labels.copy()
        for i in range(1, n + 1):
            grown = ndimage.binary_dilation(labels == i, SQUARE)
            labels[grown & mask & (labels == 0)] = i
        changed = (labels != before).any()
    if seedless == "keep":
        rest = ndimage.label(mask & (labels == 0), SQUARE)[0]
        labels[rest > 0] = rest[rest > 0] + n
    return labels


@pytest.mark.parametrize("case", CASES)
def test_reference_values(golden, case):
    arrays, _ = golden("haru_postprocess")
    mask, contour = arrays[f"{case}__mask"], arrays[f"{case}__contour"]
    for seedless, key in [("keep", "label_new"), ("drop", "label_drop")]:
        instances = grow_from_contours(mask, contour, seedless)
        assert instances.dtype == np.int32
        np.testing.assert_array_equal(instances, arrays[f"{case}__{key}"])
    seeds = label_components((mask > 0) & (contour == 0))
    np.testing.assert_array_equal(seeds, arrays[f"{case}__seeds"])


@pytest.mark.parametrize("seedless", ["keep", "drop"])
@pytest.mark.parametrize(("inside", "outline"), [(0.5, 0.5), (0.7, 0.9), (0.95, 0.97), (1, 0.99)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_algorithm_as_written(seed, inside, outline, seedless):
    rng = np.random.default_rng(seed)
    mask = rng.random((37, 29)) < inside
    contour = rng.random((37, 29)) < outline
    instances = grow_from_contours(mask, contour, seedless)
    np.testing.assert_array_equal(instances, literal(mask, contour, seedless))


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


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (1, 9), (9, 1)])
def test_thin_images(shape):
    mask = np.ones(shape, bool)
    contour = np.ones(shape, bool)
    contour[-1:, -1:] = False
    np.testing.assert_array_equal(grow_from_contours(mask, contour), mask)


def test_inputs_are_left_alone():
    mask = np.random.default_rng(0).integers(0, 2, (9, 9)).astype(np.uint8)
    contour = mask.T.copy()
    before = mask.copy(), contour.copy()
    grow_from_contours(mask, contour, erosion=1)
    np.testing.assert_array_equal((mask, contour), before)


@pytest.mark.parametrize(
    ("contour", "arguments", "message"),
    [
        (np.zeros((3, 2), bool), {}, r"mask has shape \(2, 3\), contour \(3, 2\)"),
        (np.zeros((2, 3)), {}, "contour must be bool or integer, got float64"),
        (np.zeros((2, 3), bool), {"seedless": "kept"}, "known: drop, keep; did you mean 'keep'"),
        (np.zeros((2, 3), bool), {"erosion": -1}, "erosion -1 is negative"),
    ],
)
def test_bad_input_is_refused(contour, arguments, message):
    with pytest.raises(ValueError, match=message):
        grow_from_contours(np.ones((2, 3), bool), contour, **arguments)
