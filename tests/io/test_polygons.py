from fractions import Fraction

import numpy as np
import pytest

from jaxnuc.io.polygons import CONVENTIONS, Polygon, rasterize


def winding(outline, x, y):
    """How often an outline runs around a point, with exact numbers; half-open edges."""
    around, ends = 0, list(zip(outline, outline[1:] + outline[:1], strict=True))
    for (xa, ya), (xb, yb) in ends:
        crosses = (ya <= y < yb) or (yb <= y < ya)
        if crosses and xa + (y - ya) * (xb - xa) / (yb - ya) <= x:
            around += 1 if yb > ya else -1
    return around


def literal(polygons, shape):
    """Pixel by pixel: the center inside, the polygon of smaller area on top."""
    exact = [[(Fraction(x), Fraction(y)) for x, y in p.outline.tolist()] for p in polygons]
    area = [
        abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(p, p[1:] + p[:1], strict=True)))
        for p in exact
    ]
    holes = [
        [[(Fraction(x), Fraction(y)) for x, y in h.tolist()] for h in p.holes] for p in polygons
    ]
    labels = np.zeros(shape, np.int32)
    half = Fraction(1, 2)
    for k in sorted(range(len(exact)), key=lambda k: -area[k]):
        for i, j in np.ndindex(shape):
            x, y = j + half, i + half
            if winding(exact[k], x, y) and not any(winding(h, x, y) for h in holes[k]):
                labels[i, j] = k + 1
    return labels


def polygon(*points):
    return Polygon(np.array(points, float))


@pytest.mark.parametrize("seed", range(12))
def test_default_equals_a_point_in_polygon_test(seed):
    """Ragged outlines that cross themselves, leave the image, and run through pixel centers."""
    rng = np.random.default_rng(seed)
    shape = (13, 17)
    scale = 4 if seed % 2 else 2**20  # quarters of pixels, or any number
    polygons = []
    for _ in range(5):
        corner, size = rng.uniform(-6, 16, 2), rng.uniform(2, 12)
        points = corner + rng.uniform(0, size, (rng.integers(3, 9), 2))
        hole = corner + rng.uniform(0, size / 2, (4, 2))
        holes = (np.round(hole * scale) / scale,) if rng.random() < 0.5 else ()
        polygons.append(Polygon(np.round(points * scale) / scale, holes))
    labels, counts, _ = rasterize(polygons, shape)
    truth = literal(polygons, shape)
    np.testing.assert_array_equal(labels, truth)
    assert labels.dtype == np.int32
    hidden = len(polygons) - (len(np.unique(np.append(truth, 0))) - 1)
    assert counts == {"regions": 5, "skipped_regions": 0, "hidden_regions": hidden}


def test_neighbors_share_no_pixel_and_leave_none_out():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(0, 41, 4), np.arange(0, 41, 4)), -1).astype(float)
    grid[1:-1, 1:-1] += rng.uniform(-1.5, 1.5, grid[1:-1, 1:-1].shape)
    cells = [
        Polygon(np.array([grid[i, j], grid[i, j + 1], grid[i + 1, j + 1], grid[i + 1, j]]))
        for i, j in np.ndindex(10, 10)
    ]
    alone = sum((rasterize([cell], (40, 40))[0] for cell in cells), np.zeros((40, 40), int))
    np.testing.assert_array_equal(alone, 1)


def test_direction_and_first_vertex_do_not_matter():
    points = np.random.default_rng(3).uniform(0, 20, (9, 2))
    first = rasterize([Polygon(points)], (20, 20))[0]
    assert first.any()
    for other in (points[::-1], np.roll(points, 4, axis=0), np.vstack([points, points[:1]])):
        np.testing.assert_array_equal(rasterize([Polygon(other)], (20, 20))[0], first)


SMALL = polygon((2, 2), (4, 2), (4, 4), (2, 4))
LARGE = polygon((0, 0), (6, 0), (6, 6), (0, 6))


def test_what_lies_on_top():
    for order, ids in (([SMALL, LARGE], (1, 2)), ([LARGE, SMALL], (2, 1))):
        for convention in ("pixel_centers", "hovernet"):
            labels, counts, covered = rasterize(order, (8, 8), convention)
            assert (labels[3, 3], labels[1, 1]) == ids
            assert counts["hidden_regions"] == 0
            np.testing.assert_array_equal(covered[..., 0] > 0, labels == ids[0])
            assert covered.max() == ids[1]
    labels, counts, covered = rasterize([SMALL, LARGE], (8, 8), "haru")
    assert set(labels[:7, :7].ravel()) == {2}
    assert counts == {"regions": 2, "skipped_regions": 0, "hidden_regions": 1}


def test_rounding_of_the_conventions():
    square = polygon((1.6, 1.6), (3.6, 1.6), (3.6, 3.6), (1.6, 3.6))
    boxes = {"pixel_centers": (2, 4), "hovernet": (2, 5), "haru": (1, 4)}
    for convention, (low, high) in boxes.items():
        expected = np.zeros((6, 7), np.int32)
        expected[low:high, low:high] = 1
        np.testing.assert_array_equal(rasterize([square], (6, 7), convention)[0], expected)
    # Toward zero, also from below.
    outside = polygon((-0.9, -0.9), (-0.9, 2), (2, -0.9))
    assert rasterize([outside], (4, 4), "haru")[0][0].tolist() == [1, 1, 1, 0]


def test_even_odd_and_winding():
    twice = polygon((0, 0), (6, 0), (6, 6), (2, 6), (2, 2), (4, 2), (4, 4), (0, 4))
    centers, opencv = (rasterize([twice], (8, 8), c)[0] for c in ("pixel_centers", "haru"))
    assert (centers[3, 3], opencv[3, 3]) == (1, 0)


def test_skipped_and_hidden_are_counted():
    line = polygon((1, 1), (5, 5))
    outside = polygon((-9, -9), (-3, -9), (-3, -3))
    sliver = polygon((2.6, 0), (2.9, 0), (2.9, 6))
    empty = Polygon(np.zeros((0, 2)))
    labels, counts, covered = rasterize([line, LARGE, outside, sliver, empty], (8, 8))
    assert covered is None
    assert set(np.unique(labels)) == {0, 2}
    assert counts == {"regions": 5, "skipped_regions": 2, "hidden_regions": 2}
    assert rasterize([SMALL], (8, 8), min_vertices=5)[1]["skipped_regions"] == 1
    assert rasterize([], (0, 4))[1] == {"regions": 0, "skipped_regions": 0, "hidden_regions": 0}


def test_clipping_is_cutting():
    rng = np.random.default_rng(5)
    for convention in ("pixel_centers", "haru"):
        polygons = [rng.uniform(-10, 30, 2) + rng.uniform(-8, 8, (6, 2)) for _ in range(20)]
        if convention == "haru":  # truncation toward zero is not the same below 0
            polygons = [np.round(p) for p in polygons]
        whole = rasterize([Polygon(p + 40) for p in polygons], (100, 100), convention)[0]
        label_set = rasterize([Polygon(p) for p in polygons], (20, 20), convention)[0]
        np.testing.assert_array_equal(label_set, whole[40:60, 40:60])


def golden_polygons(arrays, case):
    ends = np.cumsum(arrays[f"{case}__poly_len"])[:-1]
    return [Polygon(p) for p in np.split(arrays[f"{case}__poly_xy"], ends)]


@pytest.mark.parametrize("case", ["alnet_small", "alnet_keep_5", "alnet_square_512"])
def test_alnet_keeps_the_largest_whole(golden, monkeypatch, case):
    arrays, _ = golden("haru_targets")
    order = arrays[f"{case}__order"]
    monkeypatch.setitem(CONVENTIONS, "alnet", CONVENTIONS["alnet"]._replace(keep=len(order)))
    polygons, shape = golden_polygons(arrays, case), tuple(arrays[f"{case}__shape"])
    labels, counts, covered = rasterize(polygons, shape, "alnet")
    layers = labels[..., None] if covered is None else np.dstack([labels, covered])
    for k in range(len(polygons)):
        alone = rasterize([polygons[k]], shape, "alnet").instances > 0
        np.testing.assert_array_equal((layers == k + 1).any(axis=-1), alone & (k in order))
    assert counts["hidden_regions"] == len(polygons) - (len(np.unique(labels)) - 1)


def test_what_is_covered_lies_in_the_order_of_painting():
    """Pixel by pixel, of squares that lie on each other in any number."""
    rng = np.random.default_rng(3)
    corners, sides = rng.integers(-3, 12, (9, 1, 2)), rng.integers(2, 9, (9, 1, 1))
    unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    squares = [Polygon(points) for points in (corners + sides * unit).astype(float)]
    labels, _, covered = rasterize(squares, (11, 13), "haru")  # later on top
    alone = [rasterize([square], (11, 13), "haru").instances > 0 for square in squares]
    for i, j in np.ndindex(11, 13):
        stack = [k + 1 for k in range(9) if alone[k][i, j]][::-1]
        expected = np.zeros(1 + covered.shape[-1], int)
        expected[: len(stack)] = stack
        assert [labels[i, j], *covered[i, j]] == expected.tolist()
    assert covered.dtype == np.int32
    assert covered[..., -1].any()


@pytest.mark.parametrize("case", ["resized", "same_size", "few", "blank"])
def test_fill_equals_opencv(golden, case):
    arrays, _ = golden("cnseg_postprocess")
    points = arrays[f"{case}__polygon_xy"]
    ends = np.cumsum(arrays[f"{case}__polygon_len"])[:-1]
    polygons = [Polygon(p) for p in np.split(points, ends)] if len(points) else []
    label = arrays[f"{case}__label"]
    # Areas in descending order: painted in the order of the file.
    np.testing.assert_array_equal(rasterize(polygons, label.shape, "hovernet")[0], label)
    np.testing.assert_array_equal(rasterize(polygons, label.shape, "haru")[0], label)
    masks = np.unpackbits(arrays[f"{case}__instances_packbits"], axis=-1)[..., : label.shape[1]]
    for each, mask in zip(polygons, masks, strict=True):
        np.testing.assert_array_equal(rasterize([each], label.shape, "haru")[0], mask)


def test_alnet_keeps_150():
    squares = [polygon((x, y), (x + 3, y), (x + 3, y + 3)) for x, y in np.ndindex(13, 13)]
    apart = [Polygon(p.outline * 12) for p in squares]
    counts = rasterize(apart, (200, 200), "alnet")[1]
    assert counts["hidden_regions"] >= 19
    assert rasterize(apart, (200, 200), "hovernet")[1]["hidden_regions"] < 19


def test_hostile_outlines_cost_little():
    """Edges that cross the image a thousand times, each a million pixels long."""
    rng = np.random.default_rng(0)
    far = Polygon(rng.choice([-9e5, 9e5], (1000, 2)) + rng.uniform(-50, 0, (1000, 2)))
    for convention in CONVENTIONS:
        rasterize([far], (50, 50), convention)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"convention": "pixel_centres"}, "did you mean 'pixel_centers'"),
        ({"min_vertices": 2}, "min_vertices=2"),
        ({"polygons": [polygon((0, 0), (1, np.nan), (2, 2))]}, "polygon 0: vertex 1"),
        ({"polygons": [SMALL, polygon((0, 0), (1, 1), (-2e6, 2))]}, "polygon 1: vertex 2"),
        ({"polygons": [Polygon(np.ones((20_001, 2)))]}, "20001 vertices, more than the 20000"),
        ({"polygons": [Polygon(np.zeros((4, 3)))]}, r"shape \(4, 3\)"),
        ({"polygons": [Polygon(SMALL.outline, (np.array([[0, np.inf]] * 3),))]}, "hole of pol"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        rasterize(**({"polygons": [SMALL], "shape": (5, 5)} | arguments))
