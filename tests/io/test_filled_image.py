"""A damaged image against the same image undamaged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnuc.io import ArrayImage, Box, CorruptRegion, FilledImage


class Damaged(ArrayImage):
    """Blocks of 50 pixels, some of which cannot be decoded; a file that tells which, or not."""

    def __init__(self, array, blocks, tells):
        super().__init__(array, "a.tif")
        self.blocks, self.tells = blocks, tells

    def _read(self, level, box):
        for row, col in sorted(self.blocks):
            block = Box(50 * row, 50 * col, 50, 50)
            apart = (
                block.row >= box.row + box.height
                or box.row >= block.row + 50
                or block.col >= box.col + box.width
                or box.col >= block.col + 50
            )
            if not apart:
                raise CorruptRegion(self.path, level, block if self.tells else box, "rubbish")
        return super()._read(level, box)


IMAGE = np.random.default_rng(0).integers(0, 250, (200, 330, 3), np.uint8)
blocks = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 6)), max_size=8)


@settings(deadline=None, max_examples=60)
@given(blocks, st.data())
def test_only_what_is_damaged_is_white(damaged, data):
    image = FilledImage(Damaged(IMAGE, damaged, tells=True))
    row, col = data.draw(st.integers(0, 199)), data.draw(st.integers(0, 329))
    height, width = data.draw(st.integers(1, 200 - row)), data.draw(st.integers(1, 330 - col))
    expected, met = IMAGE.copy(), 0
    for i, j in damaged:
        part = np.s_[50 * i : 50 * i + 50, 50 * j : 50 * j + 50]
        expected[part] = 255
        before_end = 50 * i < row + height and 50 * j < col + width
        met += before_end and row < min(50 * i + 50, 200) and col < min(50 * j + 50, 330)
    found = image.read(row, col, height, width)
    np.testing.assert_array_equal(found, expected[row : row + height, col : col + width])
    assert len(image.damage) == met
    image.read(row, col, height, width)
    assert len(image.damage) == met  # each once


@settings(deadline=None, max_examples=30)
@given(blocks)
def test_a_file_that_does_not_tell_loses_no_more_than_squares(damaged):
    found = FilledImage(Damaged(IMAGE, damaged, tells=False)).read(0, 0, 200, 330)
    near = np.zeros((200, 330), bool)
    for i, j in damaged:
        near[max(0, 50 * i - 64) : 50 * i + 114, max(0, 50 * j - 64) : 50 * j + 114] = True
        assert (found[50 * i : 50 * i + 50, 50 * j : 50 * j + 50] == 255).all()
    np.testing.assert_array_equal(found[~near], IMAGE[~near])


def test_a_file_that_tells_is_not_asked_again():
    """All that is read lies in one part that is damaged, such as a long strip."""
    asked = []

    class Strip(ArrayImage):
        def _read(self, level, box):
            asked.append(box)
            raise CorruptRegion(self.path, level, Box(0, 0, 200, 330), "rubbish")

    image = FilledImage(Strip(IMAGE, "a.tif"))
    assert (image.read(10, 10, 180, 300) == 255).all()
    assert len(asked) == len(image.damage) == 1


def test_without_mending_it_is_an_error():
    with pytest.raises(CorruptRegion, match="rubbish"):
        Damaged(IMAGE, {(0, 0)}, tells=True).read(0, 0, 60, 60)
