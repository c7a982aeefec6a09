"""Tiles against the pixels of the image they are cut from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnuc.prediction.tiles import Tiling, parse_shard


@st.composite
def tilings(draw):
    side = st.integers(1, 40)
    thin = st.tuples(st.integers(1, 3), st.integers(200, 400))
    shape = draw(st.one_of(st.tuples(side, side), thin, thin.map(lambda s: s[::-1])))
    tile = draw(st.integers(1, 50) if max(shape) <= 40 else st.integers(20, 50))
    overlap = draw(st.integers(0, tile // 2))
    offset = st.integers(0, tile - overlap - 1)
    return Tiling(shape, tile, overlap, (draw(offset), draw(offset)))


@settings(deadline=None, max_examples=150)
@given(tilings())
def test_cores_partition_the_image_and_tiles_are_as_promised(tiling):
    height, width = tiling.shape
    times = np.zeros(tiling.shape, int)
    rows = [tiling.row(i) for i in range(tiling.grid[0])]
    assert (len(rows), len(rows[0])) == tiling.grid
    for i, row in enumerate(rows):
        assert row == tiling.row(i)
        for j, tile in enumerate(row):
            assert (tile.row, tile.col) == (i, j)
            assert tile == tiling.at(i, j)
            top, left, bottom, right = tile.core
            times[top:bottom, left:right] += 1
            box = tile.box
            assert 0 <= box[0] <= top < bottom <= box[2] <= height
            assert 0 <= box[1] <= left < right <= box[3] <= width
            for axis, (origin, size) in enumerate(zip(tile.origin, tiling.shape, strict=True)):
                assert box[axis] == max(origin, 0)
                assert box[axis + 2] == min(origin + tiling.tile, size)
            assert tile.edges == (box[0] > 0, box[1] > 0, box[2] < height, box[3] < width)
            # Away from the image's border there is context on every side of the core.
            margins = (top - box[0], left - box[1], box[2] - bottom, box[3] - right)
            for margin, inner in zip(margins, tile.edges, strict=True):
                assert not inner or margin >= tiling.overlap // 2
    assert (times == 1).all()


@settings(deadline=None, max_examples=150)
@given(tilings(), st.data())
def test_neighbors_share_the_overlap(tiling, data):
    if tiling.grid[1] == 1:
        return
    col = data.draw(st.integers(1, tiling.grid[1] - 1))
    left, right = tiling.at(0, col - 1), tiling.at(0, col)
    assert left.box[3] - right.box[1] == tiling.overlap
    if col > 1:
        assert tiling.at(0, col - 2).box[3] <= right.box[1]


def test_one_pixel_and_very_thin_images():
    tile = Tiling((1, 1), 64, 16, offset=(47, 5)).at(0, 0)
    assert (tile.box, tile.core, tile.origin) == ((0, 0, 1, 1), (0, 0, 1, 1), (-47, -5))
    assert tile.edges == (False, False, False, False)
    tiling = Tiling((3, 100_000), 256, 64)
    assert tiling.grid == (1, 521)
    assert sum(tile.core[3] - tile.core[1] for tile in tiling.row(0)) == 100_000


def test_a_tile_of_the_image_is_the_only_one():
    assert Tiling((256, 256), 256, 64).grid == (1, 1)
    assert Tiling((257, 256), 256, 64).grid == (2, 1)


@given(st.integers(1, 400), st.integers(1, 30))
def test_shards_share_the_rows(height, count):
    tiling = Tiling((height, 5), 8, 2)
    shards = [tiling.shard(index, count) for index in range(1, count + 1)]
    assert [row for shard in shards for row in shard] == list(range(tiling.grid[0]))
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 5), 8, 2), r"image of \(0, 5\) has no pixels"),
        (((5, 5), 0, 0), "tile is 0"),
        (((5, 5), 8, 5), "overlap is 5 and tile 8.* 4"),
        (((5, 5), 8, -1), "overlap is -1"),
        (((5, 5), 8, 2, (0, 6)), r"offset is \(0, 6\).* 0 and 5"),
    ],
)
def test_sizes_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tiling(*arguments)


def test_wrong_tiles_and_shards_are_named():
    tiling = Tiling((20, 20), 16, 4)
    with pytest.raises(IndexError, match=r"no tile \(2, 0\) in a grid of 2 x 2"):
        tiling.at(2, 0)
    with pytest.raises(IndexError, match=r"\(0, -1\)"):
        tiling.at(0, -1)
    with pytest.raises(ValueError, match="shard is 0/4"):
        tiling.shard(0, 4)


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "a/b", "-1/4", "1/4/8", "", "1.0/2"])
def test_shards_that_do_not_exist_are_refused(text):
    with pytest.raises(ValueError, match="shard is"):
        parse_shard(text)
