"""Patches against one pass over the image, with a network that sees as far as half the overlap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jaxnuc.io import ArrayImage
from jaxnuc.prediction.patches import assemble, check_sizes, fitting, patches, read
from jaxnuc.prediction.tiles import Tiling


def blurred(pixels, reach, grid=1):
    """A network of two maps: means over squares, zeros seen outside, as convolutions pad."""
    means = ndimage.uniform_filter(
        pixels.astype(np.float64), (2 * reach + 1, 2 * reach + 1, 0), mode="constant"
    )
    return {"mean": means[::grid, ::grid, :1], "both": means[::grid, ::grid, 1:]}


def one_pass(image, reach, grid=1):
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % 64), (0, -width % 64), (0, 0)), mode="symmetric")
    maps = blurred(padded, reach, grid)
    return {name: m[: -(-height // grid), : -(-width // grid)] for name, m in maps.items()}


def by_patches(image, tiling, sides, reach, grid=1):
    large = ArrayImage(image)
    for row in map(tiling.row, range(tiling.grid[0])):
        found = [
            (patch, blurred(read(large, patch, sides), reach, grid), ())
            for tile in row
            for patch in patches(tile, tiling.shape, sides, tiling.overlap)
        ]
        yield from assemble(found, grid)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(129, 300), st.integers(193, 300)),
    st.sampled_from([(128, 128, 64), (128, 256, 32), (192, 128, 64)]),
    st.sampled_from([128, 192, 256, 320]),
    st.tuples(st.integers(0, 7), st.integers(0, 7)),
    st.sampled_from([1, 2, 4]),
)
def test_patches_say_what_one_pass_says(shape, sizes, tile, offset, grid):
    *sides, overlap = sizes
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    step = tile - overlap
    tiling = Tiling(shape, tile, overlap, (offset[0] * 32 % step, offset[1] * 32 % step))
    expected = one_pass(image, overlap // 2, grid)
    seen = 0
    for tile, maps, members in by_patches(image, tiling, sides, overlap // 2, grid):
        top, left, bottom, right = tile.box
        rows, cols = slice(top // grid, -(-bottom // grid)), slice(left // grid, -(-right // grid))
        for name, values in maps.items():
            # Running sums: the same to the last bits.
            np.testing.assert_allclose(values, expected[name][rows, cols], atol=1e-9)
        assert members == ()
        seen += 1
    assert seen == np.prod(tiling.grid)


def test_patches_that_overlap_less_do_not():
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    ((_, maps, _),) = by_patches(image, Tiling((300, 300), 320, 32), (128, 128), 17)
    difference = np.abs(maps["mean"] - one_pass(image, 17)["mean"])[:, :40].max(axis=(1, 2))
    # Cores begin at 0, 96, 192, 288. The first and the last patch are where the image ends, and see
    # further than half of the overlap beyond their cores.
    assert set(np.flatnonzero(difference > 1e-9)) == {96, 191, 192, 287}


def mirrored(image, row, col):
    """The pixel at any place of the plane, by reflection one step at a time."""
    at = []
    for i, size in zip((row, col), image.shape, strict=False):
        while not 0 <= i < size:
            i = -1 - i if i < 0 else 2 * size - 1 - i
        at.append(i)
    return image[tuple(at)]


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.sampled_from([0, 1, 12, 90]),
    st.data(),
)
def test_what_lies_outside_is_mirrored(shape, offset, margin, data):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    tiling = Tiling(shape, 128, 32, (offset[0] * 32, offset[1] * 32))
    tile = tiling.at(*(data.draw(st.integers(0, n - 1)) for n in tiling.grid))
    patch = data.draw(st.sampled_from(patches(tile, shape, (64, 64), 32)))
    pixels = read(ArrayImage(image), patch, (64, 64), margin)
    assert pixels.shape == (64 + margin, 64 + margin, 3)
    for _ in range(10):
        row, col = (data.draw(st.integers(0, 63 + margin)) for _ in range(2))
        place = patch.corner[0] + row - margin // 2, patch.corner[1] + col - margin // 2
        np.testing.assert_array_equal(pixels[row, col], mirrored(image, *place))


def test_a_tile_is_filled_by_the_fewest_patches():
    whole = Tiling((5000, 5000), 1792, 128)
    assert len(patches(whole.at(1, 1), whole.shape, (1024, 1024), 128)) == 4
    small = Tiling((1000, 1000), 1792, 128)
    (patch,) = patches(small.at(0, 0), small.shape, (1024, 1024), 128)
    assert (patch.corner, patch.core, patch.last) == ((0, 0), (0, 0, 1000, 1000), True)


@given(
    st.sampled_from([64, 128, 192, 512, 960, 1024]),
    st.sampled_from([0, 32, 64, 128]),
    st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
)
def test_small_images_have_small_patches(patch, overlap, shape):
    if 2 * overlap > patch:
        return
    sides = fitting(patch, overlap, shape)
    tile = Tiling(shape, 2048, overlap).at(0, 0)
    for side, size in zip(sides, shape, strict=True):
        check_sizes(patch, side, overlap)
        assert side == patch or side - 128 < max(size, 2 * overlap) <= side
    alone = len(patches(tile, shape, sides, overlap)) == 1
    assert alone == all(side >= size for side, size in zip(sides, shape, strict=True))
    assert fitting(patch, overlap, shape, square=True) == (max(sides), max(sides))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((100, 64, 32), "tile=100 must be a multiple of 64"),
        (
            (100, 100, 32),
            "patch=100 must be a multiple of 64",
        ),
        ((128, 0, 0), "patch=0 must be a multiple of 64"),
        ((128, 64, 64), "overlap=64 must be .* at most half of patch=64"),
        ((128, 64, 24), "overlap=24 must be a multiple of 32"),
        ((128, 64, -32), "overlap=-32"),
    ],
)
def test_sizes_that_do_not_fit_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        check_sizes(*sizes)
