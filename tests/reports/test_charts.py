"""The numbers behind the charts, and where they are drawn."""

import re

import numpy as np
import pytest
from scipy.stats import norm

from jaxnuc.reports import charts
from jaxnuc.reports.prediction import density
from jaxnuc.reports.sizes import EDGES, Sizes


def test_density_is_that_of_the_gaussian_and_keeps_what_is_even():
    assert density(np.full((30, 50), 3.0), 4.0) == pytest.approx(3.0, rel=1e-5)
    places = np.zeros((101, 101))
    places[50, 50] = 1
    expected = norm.pdf(np.arange(-50, 51), scale=5)
    assert density(places, 5.0) == pytest.approx(np.outer(expected, expected), abs=2e-5)


def test_sizes_are_a_histogram_whatever_the_parts():
    areas = np.random.default_rng(0).lognormal(5, 1, 1000)
    sizes = Sizes()
    for part in np.array_split(areas, 7):
        sizes.add(part)
    np.testing.assert_array_equal(sizes.counts, np.histogram(areas, EDGES)[0])
    assert (sizes.total, sizes.mean) == (1000, pytest.approx(areas.mean()))
    sizes.add(np.array([1e-9, 1e12]))  # beyond the bins: in the first and the last
    assert sizes.counts[[0, -1]].tolist() == [1, 1]


def test_bars_are_as_high_as_their_counts():
    svg = charts.histogram(np.array([0, 1, 2, 3]), {"a": np.array([10, 0, 5])}, "x", "y")
    path = re.search(r'd="(M[^"]*)Z" class="area s0"', svg)[1]
    points = np.array([place.split(",") for place in re.split("[ML]", path) if place], float)
    heights = points[0, 1] - points[1:-1:2, 1]
    assert heights / heights[0] == pytest.approx([1, 0, 0.5], abs=1e-3)
    assert np.diff(points[1:-1:2, 0]) == pytest.approx([points[2, 0] - points[1, 0]] * 2, abs=0.02)


def test_counts_of_any_size_have_room_beside_the_axis():
    for most in 10 ** np.arange(1, 13):
        svg = charts.histogram(np.array([0, 1]), {"a": np.array([7 * most])}, "x", "nuclei")
        ticks = re.findall(r'text-anchor="end">([^<]*)<', svg)
        assert len(ticks) >= 3
        assert max(map(len, ticks)) <= 5
        values = [float(t.translate({107: "e3", 77: "e6", 71: "e9"})) for t in ticks]  # k, M, G
        assert np.diff(values) == pytest.approx([values[1]] * (len(values) - 1))
        assert 5 * most <= values[-1] <= 7.35 * most


def test_long_curves_are_thinned_and_keep_their_course():
    steps = np.arange(10_000)
    svg = charts.curves({"a": (steps, steps * 2.0), "b": ([5], [7.0])}, "step")
    line = re.search(r'points="([^"]*)"', svg)[1].split()
    assert len(line) == charts.MOST_POINTS
    points = np.array([p.split(",") for p in line], float)
    assert np.ptp(np.diff(points[:, 1]) / np.diff(points[:, 0])) < 0.05
    assert "<circle" in svg  # a lone point
    with pytest.raises(ValueError, match="nothing to draw in c"):
        charts.curves({"c": ([1], [float("nan")])}, "step")
