"""Contours and their dominant points, against slow versions and shapes whose corners are known."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage

from jaxnuc.representations.targets.dominant_points import dominant_points, outer_contour


def blobs(seed, share):
    """The 8-connected parts of a smooth random mask."""
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(50, 50)), 2)
    parts, count = ndimage.label(values > np.quantile(values, share), np.ones((3, 3)))
    return [parts == k for k in range(1, count + 1)]


@pytest.mark.parametrize("seed", range(4))
def test_a_contour_is_the_outer_border(seed):
    for blob in blobs(seed, 0.7):
        contour = outer_contour(blob)
        filled = ndimage.binary_fill_holes(blob)
        # 8-connected: those with a 4-neighbor outside of the filled mask.
        border = filled & ~ndimage.binary_erosion(filled)
        found = np.zeros_like(blob)
        found[tuple(contour.T)] = True
        np.testing.assert_array_equal(found, border)
        np.testing.assert_array_equal(contour[0], np.argwhere(blob)[0])
        steps = np.roll(contour, -1, axis=0) - contour
        assert len(contour) == 1 or (np.abs(steps).max(axis=1) == 1).all()
        # Counterclockwise, rows downwards: Green's formula gives a positive area.
        row, col = contour.T.astype(float)
        assert (np.roll(col, -1) * row - col * np.roll(row, -1)).sum() >= 0


def test_contours_of_small_shapes():
    assert outer_contour(np.ones((1, 1), bool)).tolist() == [[0, 0]]
    assert outer_contour(np.ones((1, 3), bool)).tolist() == [[0, 0], [0, 1], [0, 2], [0, 1]]
    square = [[0, 0], [1, 0], [2, 0], [2, 1], [2, 2], [1, 2], [0, 2], [0, 1]]
    assert outer_contour(np.ones((3, 3), bool)).tolist() == square


def triangle(contour, i, k):
    """The squared chord of the points k from point i, and how steep the triangle over it is."""
    n = len(contour)
    before, here, after = (contour[j % n].tolist() for j in (i - k, i, i + k))
    down, right = after[0] - before[0], after[1] - before[1]
    chord = down**2 + right**2
    area = (here[1] - before[1]) * down - (here[0] - before[0]) * right
    return chord, Fraction(area, chord) if chord else Fraction(0)


def points_literally(contour):
    """Point by point, with exact numbers."""
    n = len(contour)
    turn, support = [], []
    for i in range(n):
        before, after = contour[i] - contour[i - 1], contour[(i + 1) % n] - contour[i]
        cross = before[0] * after[1] - before[1] * after[0]
        turn.append(round(abs(np.arctan2(cross, before @ after)) / (np.pi / 4)))
        k = 1
        while True:
            (chord, steep), (next_chord, next_steep) = (triangle(contour, i, j) for j in (k, k + 1))
            rises = next_steep >= steep > 0 or next_steep <= steep < 0
            if next_chord <= chord or rises:
                break
            k += 1
        support.append(k)
    for i in range(n):
        near = range(i - support[i] // 2, i + support[i] // 2 + 1)
        if max(turn[j % n] for j in near) > turn[i]:
            turn[i] = 0
    for i in range(n):
        if support[i] == 1 and turn[i] <= max(turn[i - 1], turn[(i + 1) % n]):
            turn[i] = 0
    if min(turn) > 0:
        return contour
    # Runs of neighbors, from a point that is not dominant on.
    first = turn.index(0)
    runs, kept = [[]], []
    for i in [(first + j) % n for j in range(n)]:
        if turn[i]:
            runs[-1].append(i)
        elif runs[-1]:
            runs.append([])
    for run in filter(None, runs):
        if len(run) == 2:
            kept.append(min(run, key=lambda i: (-turn[i], support[i])))
        else:
            kept += {run[0], run[-1]}
    return contour[sorted(kept)]


@pytest.mark.parametrize("seed", range(4))
def test_dominant_points_equal_their_definition(seed):
    for share in (0.7, 0.9):
        for blob in blobs(seed, share):
            contour = outer_contour(blob)
            if len(contour) > 2:
                np.testing.assert_array_equal(dominant_points(contour), points_literally(contour))


def test_corners_of_a_rectangle_and_of_a_rhombus():
    rectangle = np.zeros((9, 12), bool)
    rectangle[1:8, 2:11] = True
    corners = dominant_points(outer_contour(rectangle))
    assert corners.tolist() == [[1, 2], [7, 2], [7, 10], [1, 10]]
    row, col = np.mgrid[-8:9, -8:9]
    corners = dominant_points(outer_contour(abs(row) + abs(col) <= 7)) - 8
    assert corners.tolist() == [[-7, 0], [0, -7], [7, 0], [0, 7]]


def test_small_contours():
    for shape in ((1, 1), (1, 2), (2, 2)):
        contour = outer_contour(np.ones(shape, bool))
        found = dominant_points(contour)
        assert 0 < len(found) <= len(contour)
