"""Doubts of the nuclei of an image."""

import re

import numpy as np
import pytest

from jaxnuc.outputs import NucleiTable, Scene
from jaxnuc.outputs.statistics import doubts, statistics
from jaxnuc.postprocess.masks import Mask


def found(count: int, side: int) -> dict:
    masks = tuple(Mask(0, 0, np.ones((side, side), bool)) for _ in range(count))
    table = NucleiTable(masks, np.ones(count, np.float32), np.zeros(count, np.int32))
    scene = Scene("a", (100, 100), class_names=("background", "tumor"))
    return statistics([table], scene)


@pytest.mark.parametrize(
    ("count", "side", "trained", "expected"),
    [
        (20, 10, (50.0, 90.0, 200.0), None),
        (20, 10, (100.0, 100.0, 100.0), None),
        (20, 10, (), None),
        (9, 2, (50.0, 90.0, 200.0), None),  # too few to say
        (10, 2, (50.0, 90.0, 200.0), "median nucleus has 4 px².* more than 50 px²"),
        (10, 20, (50.0, 90.0, 200.0), "median nucleus has 400 px².* less than 200 px²"),
        (0, 1, (50.0, 90.0, 200.0), "no nuclei were found"),
        (61, 10, (), "nuclei cover 61% of the image"),
        (60, 10, (), None),
    ],
)
def test_doubts(count: int, side: int, trained: tuple, expected: str | None) -> None:
    lines = doubts(found(count, side), trained)
    if expected is None:
        assert lines == []
    else:
        (line,) = lines
        assert re.search(expected, line)


@pytest.mark.parametrize(
    ("sized_for", "told"), [(7.6, False), (7.4, True), (16.9, False), (17, True)]
)
def test_an_estimate_of_the_size_is_compared_with_what_was_found(sized_for, told) -> None:
    # Squares of 10 x 10 pixels have the area of a disc of 11.28 pixels.
    lines = doubts(found(20, 10), None, sized_for)
    assert [line.endswith("compare with --diameter=11") for line in lines] == [True] * told


@pytest.mark.parametrize(
    ("count", "levels", "told"),
    [(20, 7, True), (20, 8, False), (20, None, False), (0.4, 7, False)],
)
def test_few_gray_levels_are_told_unless_nuclei_are_few_bright_pixels(count, levels, told) -> None:
    lines = doubts(found(20, 10) | {"coverage": count / 100}, None, None, levels)
    few = "99.5 % of the pixels have no more than 7 of 256 gray levels"
    assert [line.startswith(few) for line in lines] == [True] * told


def test_nuclei_without_a_class_are_counted_apart() -> None:
    assert found(3, 2)["classes"] == {"tumor": 0, "": 3}
