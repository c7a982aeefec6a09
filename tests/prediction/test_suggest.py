"""Which regions are suggested for annotation, and why."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from jaxnuc.data import sources
from jaxnuc.io.large_image import Box
from jaxnuc.prediction import suggest as module
from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.suggest import Request, boxes, suggest
from jaxnuc.prediction.suggestion_order import color_moments, suggestion_order

OPTIONS = DEFAULT.replace(patch=64, overlap=32, tile=64, workers=0, progress=False)


def test_color_moments_are_those_of_statistics():
    pixels = np.random.default_rng(0).gamma(2, 30, (40, 30, 3)).clip(0, 255).astype(np.uint8)
    values = pixels.reshape(-1, 3).astype(float)
    third = stats.moment(values, 3)
    expected = [*values.mean(0), *values.std(0), *(np.sign(third) * np.abs(third) ** (1 / 3))]
    np.testing.assert_allclose(color_moments(pixels), expected, rtol=1e-10)


def literal_order(scores, moments, annotated, count):
    """One region after the other, each compared with every other one."""
    left, near, order = list(range(len(moments))), list(annotated), []
    while left and len(order) < count:
        far = {
            k: min((np.sqrt(np.mean((moments[k] - m) ** 2)) for m in near), default=np.inf)
            for k in left
        }
        columns = [{k: column[k] for k in left} for column in scores] + [far]

        def rank(k, columns=columns):
            return sum(
                sum(other < column[k] for other in column.values())
                + sum(other == column[k] for other in column.values()) / 2
                for column in columns
            )

        best = max(left, key=rank)  # of equal ones the first
        left.remove(best)
        near.append(moments[best])
        order.append((best, far[best]))
    return order


def test_the_order_is_by_the_mean_of_the_ranks():
    rng = np.random.default_rng(1)
    moments, annotated = rng.normal(100, 30, (30, 9)), rng.normal(90, 20, (4, 9))
    scores = [rng.random(30), rng.integers(0, 4, 30).astype(float)]  # with equal ones
    for known in (annotated, annotated[:0]):
        chosen, distances = suggestion_order(scores, moments, known, 12)
        expected = literal_order(scores, moments, known, 12)
        assert chosen == [k for k, _ in expected]
        np.testing.assert_allclose(distances[chosen], [far for _, far in expected])
    others = np.setdiff1d(np.arange(30), chosen)
    reached = [np.sqrt(((moments[k] - moments[chosen]) ** 2).mean(1)).min() for k in others]
    np.testing.assert_allclose(distances[others], reached)


def test_regions_are_equal_parts():
    assert boxes((300, 200), 0) == [Box(0, 0, 300, 200)]
    found = boxes((1000, 1301), 512)
    assert {box.height for box in found} == {500}
    assert {box.width for box in found} <= {433, 434}
    covered = np.zeros((1000, 1301), int)
    for row, col, height, width in found:
        covered[row : row + height, col : col + width] += 1
    assert (covered == 1).all()
    assert boxes((700, 100), 512) == [Box(0, 0, 700, 100)]


@pytest.fixture
def two(bright):
    """Two networks, of which one and their average find a disc of gray level 150."""
    one, other = bright(threshold=100), bright(threshold=180)
    return replace(one, networks=one.networks + other.networks)


def discs(size, levels, background):
    """An image with a disc of each gray level, 32 pixels apart in raster order."""
    image = np.full((*size, 3), background, np.uint8)
    rows, cols = np.mgrid[: size[0], : size[1]]
    per_row = size[1] // 32
    for k, level in enumerate(levels):
        row, col = 16 + 32 * (k // per_row), 16 + 32 * (k % per_row)
        image[(rows - row) ** 2 + (cols - col) ** 2 < 64] = level
    return image


@pytest.fixture
def folder(tmp_path):
    """Images `a`, left 1 and right 3 of 4 nuclei doubtful; `b`, 2; `c`, empty; `d`, no image."""
    (tmp_path / "in").mkdir()
    a = [200, 150, 150, 150, 200, 200, 200, 150]
    for name, image in (
        ("a", discs((64, 128), a, (10, 20, 30))),
        ("b", discs((64, 64), [200, 150, 150, 200], (90, 80, 70))),
        ("c", discs((64, 64), [], 0)),
    ):
        Image.fromarray(image).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "d.png").write_text("no image")
    return tmp_path / "in"


def test_suggests_regions_in_which_networks_disagree(two, folder, tmp_path):
    out = tmp_path / "out"
    found = suggest([folder], two, out, Request(region=64, count=2), OPTIONS)
    assert [path for path, _ in found.failed] == [str(folder / "d.png")]
    # Half of the networks find a doubtful nucleus: its agreement is 1/2.
    places = [(each.image, each.box.col, each.nuclei, each.disagreement) for each in found.regions]
    assert places == [
        ("a", 64, 4, 3 / 8),
        ("b", 0, 4, 2 / 8),
        ("a", 0, 4, 1 / 8),
        ("c", 0, 0, None),
    ]
    assert [each.rank for each in found.regions] == [1, 2, None, None]
    with (out / "suggestions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["a", "b", "a", "c"]
    first = {"rank": "1", "x": "64", "y": "0", "width": "64", "height": "64", "distance": ""}
    assert first.items() <= rows[0].items()
    assert (rows[0]["disagreement"], rows[0]["class_spread"]) == ("0.375", "")
    assert rows[3]["disagreement"] == rows[3]["distance"] == ""
    assert (out / "index.html").read_text().count("<img") == 2
    assert {path.stem for path in out.glob("*.geojson")} == {"a", "b"}
    (feature,) = json.loads((out / "a.geojson").read_text())["features"]
    assert feature["properties"]["name"] == "Region 1 (of 2)"
    assert feature["geometry"]["coordinates"][0][:3] == [[64, 0], [128, 0], [128, 64]]
    with pytest.raises(FileExistsError, match="take another output folder"):
        suggest([folder], two, out, Request(), OPTIONS)


def test_what_is_annotated_is_left_out_and_what_is_like_it_comes_later(two, folder, tmp_path):
    """The rectangle of the first round, with a nucleus drawn in it, is annotated in the second."""
    suggest([folder], two, tmp_path / "one", Request(region=64, count=1), OPTIONS)
    cells = tmp_path / "cells"
    cells.mkdir()
    shutil.copy(folder / "a.png", cells)
    content = json.loads((tmp_path / "one" / "a.geojson").read_text())
    nucleus = [[[70, 10], [80, 10], [80, 20], [70, 10]]]
    content["features"].append(
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": nucleus},
            "properties": {"objectType": "annotation"},
        }
    )
    (cells / "a.geojson").write_text(json.dumps(content))
    (sample,) = sources.create("folder", root=cells)
    assert sample.ignore[:, :64].all()
    assert not sample.ignore[:, 64:].any()
    assert sample.instances.max() == 1

    request = Request(region=64, count=1, annotated=cells)
    found = suggest([folder], two, tmp_path / "two", request, OPTIONS)
    assert [(each.image, each.box.col) for each in found.regions] == [("b", 0), ("a", 0), ("c", 0)]
    known, b, left = (
        color_moments(image)
        for image in (sample.image[:, 64:], pixels(folder / "b.png"), sample.image[:, :64])
    )
    of_b, of_left, _ = (each.distance for each in found.regions)
    assert of_b == pytest.approx(distance(b, known))
    assert of_left == pytest.approx(min(distance(left, known), distance(left, b)))

    shutil.copy(folder / "b.png", cells)
    shutil.copy(folder / "c.png", cells)
    for name in "abc":  # without rectangles, all of an image is annotated
        (cells / f"{name}.geojson").write_text("[]")
    with pytest.raises(ValueError, match="all of them are annotated"):
        suggest([folder], two, tmp_path / "two" / "again", request, OPTIONS)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def distance(one, other):
    return np.sqrt(np.mean((one - other) ** 2))


def test_scores_are_those_of_the_nuclei_of_a_region(tmp_path):
    """By their centroids, counted from the middle of the first pixel; nuclei have classes."""
    (tmp_path / "a.csv").write_text(
        "centroid_row,centroid_col,agreement,probability_background,probability_x,probability_y\n"
        "49.3,20.5,0.5,0,1,0\n"  # (49.8, 21) from the corner
        "0.5,59.3,1,0,0,1\n"
        "0.5,59.7,0.5,0.2,0.6,0.2\n"
        "99.5,119.5,0.6,0,0,0\n"  # at the very end; others cover it
    )
    table = tmp_path / "a.csv"
    found = module._regions(tmp_path / "a.png", table, (100, 120), 60)
    assert [each.box for each in found] == boxes((100, 120), 60)
    assert [each.nuclei for each in found] == [2, 1, 0, 1]
    disagreement = [each.disagreement for each in found]
    assert disagreement == [0.25, 0.5, None, pytest.approx(0.4)]
    bits = 0.75 * np.log2(4 / 3) + 0.25 * np.log2(4)
    assert [each.class_spread for each in found] == [1, pytest.approx(bits), None, 0]
