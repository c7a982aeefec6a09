"""Charts show the numbers that they were given."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.stats import norm

from jaxnuc.metrics import Calibration, Scored
from jaxnuc.reports import plots
from jaxnuc.reports.histogram import BOTTOM, Histogram
from jaxnuc.reports.prediction import density
from jaxnuc.reports.sizes import EDGES, Sizes


def test_density_is_that_of_the_gaussian_and_keeps_what_is_even():
    assert density(np.full((30, 50), 3.0), 4.0) == pytest.approx(3.0, rel=1e-5)
    places = np.zeros((101, 101))
    places[50, 50] = 1
    expected = norm.pdf(np.arange(-50, 51), scale=5)
    assert density(places, 5.0) == pytest.approx(np.outer(expected, expected), abs=2e-5)


@pytest.mark.parametrize("sigma", [6.0, 12.5, 40.0])
def test_a_wide_density_has_fewer_values_and_the_same(sigma):
    rng = np.random.default_rng(0)
    places = (rng.uniform(size=(211, 150)) < 0.01).astype(float)
    smooth, within = (
        ndimage.gaussian_filter(x, sigma, mode="constant") for x in (places, places * 0 + 1)
    )
    found = density(places, sigma)
    assert max(found.shape) <= 211 / (sigma / 6)
    rows, cols = (
        (np.arange(side) / side * n).astype(int)
        for side, n in zip(places.shape, found.shape, strict=True)
    )
    full = found[np.ix_(rows, cols)]
    expected = smooth / within
    assert np.abs(full - expected).max() < 0.2 * expected.max()  # between two of its values
    assert np.abs(full - expected).mean() < 0.02 * expected.max()
    assert density(np.ones((211, 150)), sigma) == pytest.approx(1.0, rel=1e-5)


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
    edges, counts = np.array([1, 10, 100, 1000]), np.array([10, 0, 5])
    for log, places in ((False, [0, 9 / 999, 99 / 999, 1]), (True, [0, 1 / 3, 2 / 3, 1])):
        tree = ElementTree.fromstring(Histogram(edges, {"a": counts}, "x", "y", log).svg("some"))
        corners = re.findall(r"([\d.]+) ([\d.]+)", tree.find("path").get("d"))
        x, y = np.array(corners, float).T
        # Each bar from its left to its right edge, and the base line before and after them.
        np.testing.assert_allclose((x - x[0]) / np.ptp(x), np.repeat(places, 2), atol=1e-4)
        heights = (y[0] - y) / (y[0] - y.min()) * 10
        np.testing.assert_allclose(heights, [0, 10, 10, 0, 0, 5, 5, 0], atol=0.01)
        # The labels lie where their values do.
        lines = tree.findall("g")[0].findall("line")
        texts = tree.findall("g")[-1].findall("text")
        up = {t.text: float(t.get("y")) - 3 for t in texts if t.get("text-anchor") == "end"}
        assert up["0"] == y[0]
        assert len(up) >= 3
        for label, at in up.items():
            assert y[0] - at == pytest.approx(int(label) * (y[0] - y.min()) / 10, abs=0.02)
        assert {float(line.get("y1")) for line in lines} >= set(up.values())
        across = {t.text: float(t.get("x")) for t in texts if t.get("y") == str(BOTTOM + 13)}
        assert len(across) >= 3
        for label, at in across.items():
            value = float(label.replace("k", "e3"))
            share = np.log10(value) / 3 if log else (value - 1) / 999
            assert at == pytest.approx(x[0] + share * np.ptp(x), abs=0.02)


def test_counts_of_any_size_have_short_labels():
    for most in 7 * 10 ** np.arange(0, 13):
        svg = Histogram(np.array([0, 1]), {"a": np.array([most])}, "x", "nuclei").svg("counts")
        texts = ElementTree.fromstring(svg).findall("g")[-1].findall("text")
        labels = [text.text for text in texts if text.get("text-anchor") == "end"]
        assert len(labels) >= 3
        assert max(map(len, labels)) <= 5


def test_histograms_escape_names_and_have_the_colors_of_the_page():
    counts = {"a$b$ <c>": np.arange(3), "d": np.zeros(3, int)}
    svg = Histogram(np.arange(4), counts, "x", "y").svg("a & b")
    ElementTree.fromstring(svg)
    assert "a$b$ &lt;c&gt;" in svg
    assert "#" not in svg
    assert {"var(--s0)", "var(--s1)", "var(--line)"} <= set(re.findall(r"var\(--\w+\)", svg))


def test_long_curves_are_thinned_and_keep_their_course():
    lines = [{"step": step, "a": step * 2.0 if step % 7 else None} for step in range(10_000)]
    lines.append({"step": 5, "b": 7.0})
    losses = plots.curves(lines).axes[0]
    long, single = losses.lines
    assert len(long.get_xdata()) == plots.MOST_POINTS
    np.testing.assert_allclose(long.get_ydata(), 2 * long.get_xdata())
    assert single.get_marker() == "."  # a single point has no line
    assert plots.curves([{"step": 1, "c": None}]).axes  # nothing to draw


def test_no_two_curves_of_a_panel_are_alike_and_the_monitor_is_bold():
    own = [f"validation/{x}_pooled" for x in ("dice", "iou", "dq", "sq", "pq", "recall")]
    own += [f"validation/{x}_image_mean" for x in ("soft", "aji", "pq", "dq", "sq", "dice", "iou")]
    losses = ["loss", *(f"{x}/ce" for x in "abcdefghij")]
    own += [f"{group}/{loss}" for group in ("train", "validation/loss") for loss in losses]
    lines = [{"step": step, **dict.fromkeys(own, step / 9)} for step in (1, 2)]
    figure = plots.curves(lines, ["pq_pooled"])
    for axes in figure.axes:
        styles = [f"{x.get_color()}, {x.get_linestyle()}, {x._dash_pattern}" for x in axes.lines]
        assert len(set(styles)) == len(styles)
    drawn = [line.get_label().removeprefix("validation/") for line in figure.axes[1].lines]
    means = [f"{x}_image_mean" for x in ("dice", "aji", "pq", "dq", "sq")]
    assert drawn == ["pq_pooled", *means, "dice_pooled"]
    widths = [line.get_linewidth() for line in figure.axes[1].lines]
    assert widths[0] > max(widths[1:])


def test_of_a_mixture_the_losses_of_its_data_sets_are_drawn_and_means_of_all_else():
    own = {
        f"validation/{x}/{y}": 0.5 for x in "ab" for y in ("pq_pooled", "images", "loss", "loss/ce")
    }
    line = {
        "step": 1,
        "train/loss": 1.0,
        "validation/loss": 1.0,
        "validation/pq_pooled": 0.5,
        **own,
    }
    losses, validation, *_ = plots.curves([line]).axes
    drawn = [[curve.get_label() for curve in axes.lines] for axes in (losses, validation)]
    assert drawn == [
        ["train/loss", "validation/loss", "validation/a/loss", "validation/b/loss"],
        ["validation/pq_pooled"],
    ]


@pytest.fixture
def calibration():
    rng = np.random.default_rng(0)
    scores = 0.3 + 0.6 * rng.random((4, 50))
    return Calibration.of([Scored(s, rng.random(50) < s**2) for s in scores])


def test_bars_are_the_bins(calibration):
    above, below = plots.reliability(calibration.json()).axes
    used = calibration.counts > 0
    assert 0 < used.sum() < 10
    precision, gap = above.containers
    np.testing.assert_allclose(
        [bar.get_height() for bar in precision], calibration.precisions[used]
    )
    np.testing.assert_allclose(
        [bar.get_y() + bar.get_height() for bar in gap], calibration.mean_scores[used]
    )
    np.testing.assert_allclose([bar.get_x() for bar in precision], calibration.edges[:-1][used])
    counts = below.containers[0]
    assert [bar.get_height() for bar in counts] == calibration.counts[used].tolist()
    title = above.get_title(loc="left")
    assert title.startswith(f"ECE {calibration.expected_error:.3f}, ")
    assert title.endswith("200 nuclei")
    assert (above.get_ylabel(), below.get_xlabel()) == (
        "matched share of the nuclei (precision)",
        "score",
    )
    above, below = plots.reliability(
        calibration.json(), "probability", "accuracy", (0.1234, 0.25)
    ).axes
    assert (above.get_ylabel(), below.get_xlabel()) == ("accuracy", "probability")
    assert " [0.12, 0.25], MCE " in above.get_title(loc="left")


@pytest.mark.parametrize("bins", [1, 25])
def test_the_diagram_is_drawn_whatever_is_in_it(tmp_path, bins):
    nothing = Scored(np.zeros(0), np.zeros(0, bool))
    one = Scored(np.zeros(1), np.ones(1, bool))
    for image in (nothing, one):
        path = tmp_path / "picture.png"
        path.write_bytes(plots.png(plots.reliability(Calibration.of([image], bins).json())))
        with Image.open(path) as picture:
            assert picture.size == (700, 850)


def test_charts_are_the_same_bytes_and_have_the_colors_of_the_page():
    def figure(name="a$b$ <c>"):
        return plots.intervals({name: (0.5, 0.4, 0.6), "d": (0.1, 0.0, 0.2)}, "x")

    svg = plots.svg(figure(), "one")
    assert svg == plots.svg(figure(), "one")
    assert plots.png(figure()) == plots.png(figure())
    assert "a$b$ &lt;c&gt;" in svg  # text, not a formula
    assert "#" not in svg.replace('href="#', "")
    assert "var(--s0)" in svg
