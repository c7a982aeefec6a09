from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.data.sample import Sample
from jaxnuc.data.transforms import geometry, parse
from jaxnuc.data.transforms.geometry import (
    CenterCrop,
    Elastic,
    FlipTurn,
    ForegroundCrop,
    Pad,
    RandomCrop,
    Scale,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def painted(h=40, w=56):
    """An image whose channels are functions of the ids, so that it must follow them."""
    instances = (np.arange(h)[:, None] // 9 * 7 + np.arange(w) // 8 + 3).astype(np.int32)
    instances[::9] = instances[:, ::8] = 0
    return Sample(colors(instances), instances, classes(instances), {"name": "x"})


def colors(instances):
    return np.stack([instances, 255 - instances, instances * 3], -1).astype(np.uint8)


def classes(instances):
    return (instances % 4).astype(np.int32)


def disc(size=96, radius=24, shift=(0, 0)):
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    instances = (np.hypot(row - shift[0], column - shift[1]) < radius).astype(np.int32) * 7
    image = np.repeat((instances > 0)[..., None] * np.uint8(255), 3, -1)
    return Sample(image, instances, classes(instances), {"name": "disc"})


@pytest.mark.parametrize(
    "transform", [RandomCrop(24), CenterCrop((24, 30)), FlipTurn(), ForegroundCrop(24)], ids=str
)
def test_exact_transforms_move_all_maps_alike(transform):
    for seed in range(10):
        result = transform(painted(), rng(seed))
        np.testing.assert_array_equal(result.image, colors(result.instances))
        np.testing.assert_array_equal(result.classes, classes(result.instances))


def test_random_crop_is_a_subarray_anywhere():
    image = rng().integers(0, 256, (7, 9, 3), np.uint8)
    sample = Sample(image, np.arange(63, dtype=np.int32).reshape(7, 9))
    corners = set()
    for seed in range(200):
        result = RandomCrop((5, 6))(sample, rng(seed))
        top, left = divmod(int(result.instances[0, 0]), 9)
        corners.add((top, left))
        np.testing.assert_array_equal(result.image, image[top : top + 5, left : left + 6])
        np.testing.assert_array_equal(
            result.instances, sample.instances[top : top + 5, left : left + 6]
        )
    assert corners == {(r, c) for r in range(3) for c in range(4)}


def test_center_crop_is_the_middle():
    sample = painted(10, 11)
    result = CenterCrop((4, 5))(sample, rng())
    np.testing.assert_array_equal(result.instances, sample.instances[3:7, 3:8])


def test_flip_turn_gives_the_eight_symmetries():
    sample = Sample(np.zeros((2, 3, 3), np.uint8), np.arange(1, 7, dtype=np.int32).reshape(2, 3))
    a = sample.instances
    expected = [m for t in (a, a.T) for m in (t, t[::-1], t[:, ::-1], t[::-1, ::-1])]
    seen = {FlipTurn()(sample, rng(seed)).instances.tobytes() for seed in range(100)}
    assert seen == {np.ascontiguousarray(m).tobytes() for m in expected}


def test_pad_reflects_and_gives_new_ids_to_separate_copies():
    instances = np.array([[5, 5, 0, 0], [0, 0, 0, 0], [0, 0, 9, 0], [0, 0, 0, 0]], np.int32)
    sample = Sample(colors(instances), instances, classes(instances))
    result = Pad((4, 9))(sample, rng())
    # Reflected without the border: columns 2 1 | 0 1 2 3 | 2 1 0.
    columns = [2, 1, 0, 1, 2, 3, 2, 1, 0]
    np.testing.assert_array_equal(result.image, sample.image[:, columns])
    np.testing.assert_array_equal(result.classes, sample.classes[:, columns])
    copies = np.unique(result.instances)
    assert {0, 5, 9} < set(copies)
    # 5 touches the border and grows over it; its copy at the right and both of 9 are new.
    np.testing.assert_array_equal(result.instances[0, :5], [0, 5, 5, 5, 0])
    assert len(copies) == 1 + 2 + 3
    for i in copies[1:]:
        assert ndimage.label(result.instances == i, np.ones((3, 3)))[1] == 1
    np.testing.assert_array_equal(result.instances > 0, instances[:, columns] > 0)


def test_copies_of_nuclei_that_overlap_get_one_id_each():
    """A bar lies across a disc, which it cuts in two: each mirrored disc is one nucleus."""
    sample = disc(size=48, radius=9)
    bar = np.zeros_like(sample.instances)
    bar[20:28, 5:44] = 9
    covered = np.where(bar > 0, sample.instances, 0)[..., None]
    instances = np.where(bar > 0, bar, sample.instances)
    sample = replace(sample, instances=instances, covered=covered)
    result = Pad(140)(sample, rng())
    rows = np.pad(np.arange(48), 46, mode="reflect")
    alone = lambda a: a[np.ix_(rows, rows)]  # each padded as if the other one was not there
    masks = {True: alone(bar > 0), False: alone((instances == 7) | (covered[..., 0] == 7))}
    layers = np.dstack([result.instances, result.covered])
    for across, mask in masks.items():
        pieces, count = ndimage.label(mask, np.ones((3, 3)))
        ids = set()
        for piece in range(1, count + 1):
            on_top = np.unique(result.instances[(pieces == piece) & (masks[True] == across)])
            assert len(on_top) == 1
            np.testing.assert_array_equal((layers == on_top[0]).any(-1), pieces == piece)
            ids |= set(on_top.tolist())
        assert len(ids) == count > 4
    inside = np.s_[46:94, 46:94]
    np.testing.assert_array_equal(result.instances[inside], instances)
    np.testing.assert_array_equal(result.covered[inside], covered)


def test_pad_keeps_the_original_inside():
    sample = painted(10, 12)
    result = Pad(31)(sample, rng())  # more than one reflection
    np.testing.assert_array_equal(result.instances[10:20, 9:21], sample.instances)
    assert result.instances.shape == (31, 31)
    assert Pad(10)(sample, rng()) is sample
    single = Sample(np.full((1, 1, 3), 4, np.uint8), np.ones((1, 1), np.int32))
    assert (Pad(3)(single, rng()).instances == 1).all()
    empty = replace(sample, instances=np.zeros_like(sample.instances))
    assert not Pad(31)(empty, rng()).instances.any()


def test_pad_keeps_an_original_in_two_pieces_together():
    instances = np.zeros((8, 8), np.int32)
    instances[2, 2] = instances[5, 5] = 3
    result = Pad(12)(Sample(colors(instances), instances), rng())
    np.testing.assert_array_equal(result.instances[2:10, 2:10], instances)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.37, 2.0])
def test_scale_keeps_a_disc_registered(factor):
    sample = disc(shift=(5, -9))
    result = Scale(factor, factor)(sample, rng())
    assert result.instances.shape == (round(96 * factor),) * 2
    inside = result.image[..., 0] > 127
    mask = result.instances == 7
    # At 0.5 the nearest pixel is a tie: half a pixel of the source is lost.
    assert (inside & mask).sum() / (inside | mask).sum() > (0.95 if factor == 0.5 else 0.97)
    # Pixel centers: the centroid moves with the factor, without a shift.
    factor = round(96 * factor) / 96
    expected = (np.array([47.5 + 5, 47.5 - 9]) + 0.5) * factor - 0.5
    np.testing.assert_allclose(np.argwhere(mask).mean(0), expected, atol=0.6)
    np.testing.assert_allclose(np.argwhere(inside).mean(0), expected, atol=0.3)
    np.testing.assert_array_equal(result.classes, classes(result.instances))
    np.testing.assert_allclose(mask.sum(), (sample.instances > 0).sum() * factor**2, rtol=0.05)


def test_scale_by_two_repeats_and_draws_the_whole_range():
    sample = painted(6, 8)
    doubled = Scale(2, 2)(sample, rng())
    np.testing.assert_array_equal(
        doubled.instances, np.kron(sample.instances, np.ones((2, 2), int))
    )
    assert Scale(1, 1)(sample, rng()) is sample
    sides = {Scale(0.5, 2)(painted(20, 20), rng(s)).instances.shape[0] for s in range(200)}
    assert min(sides) <= 11
    assert max(sides) >= 38
    assert Scale(0.01, 0.01)(sample, rng()).instances.shape == (1, 1)


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    result = Scale(0.25, 0.25)(Sample(stripes, np.zeros((64, 64), np.int32)), rng())
    np.testing.assert_allclose(result.image[2:-2, 2:-2], 100, atol=5)


def test_elastic_keeps_discs_registered_and_whole():
    for seed in range(8):
        result = Elastic(8, 32)(disc(shift=(3, 4)), rng(seed))
        inside = result.image[..., 0] > 127
        mask = result.instances == 7
        assert (inside & mask).sum() / (inside | mask).sum() > 0.97
        assert ndimage.label(mask)[1] == 1
        np.testing.assert_array_equal(result.classes, classes(result.instances))
        assert (mask != (disc(shift=(3, 4)).instances == 7)).sum() > 50


def test_elastic_is_the_spline_of_its_vectors():
    """The displacement seen through an image that holds coordinates, against a direct sum."""
    h, w, grid, amount = 40, 50, 16.0, 4.0
    row, column = np.mgrid[:h, :w]
    image = np.stack([row * 5, column * 5, row * 0], -1).astype(np.uint8)
    result = Elastic(amount, grid)(Sample(image, (row * w + column).astype(np.int32)), rng(5))

    generator = rng(5)
    generator.random()
    knots = int((h - 1) / grid) + 4, int((w - 1) / grid) + 4
    vectors = generator.uniform(-amount, amount, (2, *knots))

    def bump(x):  # the cubic B-spline, supported on (-2, 2)
        x = np.abs(x)
        return np.where(x < 1, 2 / 3 - x**2 + x**3 / 2, np.clip(2 - x, 0, None) ** 3 / 6)

    vertical = bump(np.arange(h)[:, None] / grid - np.arange(-1, knots[0] - 1))
    horizontal = bump(np.arange(w)[:, None] / grid - np.arange(-1, knots[1] - 1))
    shift = np.einsum("ik,akl,jl->aij", vertical, vectors, horizontal)
    rows, columns = np.clip(row + shift[0], 0, h - 1), np.clip(column + shift[1], 0, w - 1)
    np.testing.assert_allclose(result.image[..., 0], rows * 5, atol=0.51)
    np.testing.assert_allclose(result.image[..., 1], columns * 5, atol=0.51)
    np.testing.assert_array_equal(result.instances, np.rint(rows) * w + np.rint(columns))
    assert np.abs(shift).max() <= amount


def test_elastic_with_probability_zero_is_the_identity():
    sample = painted()
    assert Elastic(p=0)(sample, rng()) is sample


def test_spline_weights_sum_to_one():
    for length, grid in ((1, 4.0), (17, 4.0), (64, 10.5)):
        first, weights = geometry._spline(length, grid)
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
        np.testing.assert_array_equal(first, np.arange(length) // grid)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(0), "size=0"),
        (lambda: CenterCrop((3, -1)), r"size=\(3, -1\)"),
        (lambda: Pad(2.5), "size=2.5"),
        (lambda: Pad((1, 2, 3)), r"size=\(1, 2, 3\)"),
        (lambda: Scale(2, 1), "low=2, high=1"),
        (lambda: Elastic(9, 32), "may fold"),
        (lambda: Elastic(p=2), "p=2"),
        (lambda: ForegroundCrop(0), "size=0"),
        (lambda: ForegroundCrop(8, p=-1), "p=-1"),
        (lambda: ForegroundCrop(8, jitter=0.5), "jitter=0.5"),
        (lambda: ForegroundCrop(8, rare=2), "rare=2"),
        (lambda: ForegroundCrop(8, rare=(0,)), r"rare=\(0,\)"),
    ],
)
def test_refuses_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def scattered(boxes, h=60, w=70):
    """One rectangle a nucleus, of class 1, 2, 3, 1, ..."""
    instances = np.zeros((h, w), np.int32)
    for k, (top, left, bottom, right) in enumerate(boxes, 1):
        instances[top:bottom, left:right] = 5 * k
    image = np.arange(h * w * 3).reshape(h, w, 3).astype(np.uint8)
    return Sample(image, instances, ((instances // 5 + 2) % 3 + 1) * (instances > 0), {"name": "x"})


BOXES = [(0, 0, 4, 4), (20, 30, 26, 38), (55, 64, 60, 70)]


def test_foreground_crop_without_jitter_is_centered_or_at_the_border():
    sample = scattered(BOXES)
    counts = {5: 0, 10: 0, 15: 0}
    # Middle pixels (row, column) by hand; the window of 11 begins 5 before, inside the image.
    starts = {5: (0, 0), 10: (22 - 5, 33 - 5), 15: (60 - 11, 70 - 11)}
    corners = {tuple(sample.image[r, c]): k for k, (r, c) in starts.items()}
    for seed in range(300):
        result = ForegroundCrop(11, p=1.0, jitter=0.0)(sample, rng(seed))
        k = corners[tuple(result.image[0, 0])]
        counts[k] += 1
        r, c = starts[k]
        np.testing.assert_array_equal(result.image, sample.image[r : r + 11, c : c + 11])
    # Each nucleus alike, whatever its area: 100 +- 5 standard deviations.
    assert all(abs(n - 100) < 5 * np.sqrt(300 * 2 / 9) for n in counts.values())


@pytest.mark.parametrize("size", [1, 2, 8, (3, 30)])
def test_foreground_crop_with_jitter_always_holds_the_nucleus(size):
    places = set()
    for seed in range(100):
        result = ForegroundCrop(size, p=1.0, jitter=0.49)(scattered(BOXES[1:2]), rng(seed))
        assert result.instances.any()
        places.add(result.image.tobytes())
    assert len(places) > 1 or size == 1


def test_foreground_crop_of_a_crescent_holds_pixels_of_it():
    row, column = np.mgrid[:64, :64] - 32
    ring = (abs(np.hypot(row, column) - 25) < 2).astype(np.int32)
    sample = Sample(np.zeros((64, 64, 3), np.uint8), ring)
    assert all(ForegroundCrop(9, p=1.0)(sample, rng(s)).instances.any() for s in range(30))


def test_foreground_crop_draws_nuclei_with_the_probability():
    sample = scattered([(50, 60, 52, 62)], 600, 700)
    hits = sum(ForegroundCrop(8, p=0.3)(sample, rng(s)).instances.any() for s in range(1000))
    # By chance a window holds the nucleus once in 5000.
    assert abs(hits - 300) < 5 * np.sqrt(1000 * 0.3 * 0.7)


def test_foreground_crop_prefers_rare_classes():
    sample = scattered(BOXES)
    for k in (1, 2, 3):
        for seed in range(20):
            result = ForegroundCrop(9, p=1.0, rare=(k, 7))(sample, rng(seed))
            assert set(np.unique(result.classes)) == {0, k}
    # None of these: any nucleus.
    seen = {
        int(ForegroundCrop(9, p=1.0, rare=(9,))(sample, rng(s)).instances.max()) for s in range(50)
    }
    assert seen == {5, 10, 15}
    with pytest.raises(ValueError, match=r"rare=\(1,\) of foreground_crop.*image 'x' has none"):
        ForegroundCrop(9, p=1.0, rare=(1,))(replace(sample, classes=None), rng())


def test_foreground_crop_avoids_windows_without_annotation():
    sample = scattered(BOXES)
    ignore = np.ones(sample.instances.shape, bool)
    ignore[22:24, 31:33] = False  # in the second nucleus
    sample = replace(sample, ignore=ignore)
    places = set()
    for seed in range(300):
        for p in (0.0, 1.0):
            result = ForegroundCrop(6, p=p)(sample, rng(seed))
            assert not result.ignore.all()
            if p == 0:
                places.add(tuple(result.image[0, 0]))
    # All 7 x 7 windows that reach the 2 x 2 annotated pixels.
    expected = {tuple(sample.image[r, c]) for r in range(17, 24) for c in range(26, 33)}
    assert places == expected
    nothing = replace(sample, ignore=np.ones_like(ignore))
    assert ForegroundCrop(6, p=1.0)(nothing, rng()).ignore.all()


def test_foreground_crop_without_nuclei_is_uniform_and_pads():
    empty = scattered([], 9, 10)
    corners = {
        tuple(ForegroundCrop(8, p=1.0)(empty, rng(s)).image[0, 0].tolist()) for s in range(100)
    }
    assert len(corners) == 2 * 3
    assert ForegroundCrop(16)(scattered([(1, 1, 3, 3)], 9, 10), rng()).instances.shape == (16, 16)


def test_foreground_crop_in_a_list_of_transforms():
    (transform,) = parse(["foreground_crop(128, p=0.7, rare=(1, 5))"])
    assert transform == ForegroundCrop(128, 0.7, (1, 5))
