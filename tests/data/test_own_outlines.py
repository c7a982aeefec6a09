"""Outlines of people's own: how they are written, in which units, and regions among them."""

import json

import numpy as np
import pytest
from annotated_images import BOXES, LABELS, SQUARE, box, coco, geojson, write

from jaxnuc.cli.main import main
from jaxnuc.data.outlined import Reading, annotation_of
from jaxnuc.data.own_classes import OwnClasses
from jaxnuc.io.annotations import ImageAnnotations


def test_regions_ignored_and_dropped_objects(annotated):
    features = geojson(
        **{"Region*": box(0, 0, 20, 20), "Ignore*": box(10, 10, 14, 14)},
        tumor=SQUARE,
        dirt=box(1, 9, 5, 12),
        vague=box(15, 0, 18, 3),
    )
    classes = "classes:\r\n  tumor:\r\nignore: [vague]\r\ndrop: [dirt]\r\n"
    source = annotated(features, classes)
    sample = source[0]
    ignore = np.ones((20, 30), bool)
    ignore[:, :20] = False
    ignore[10:14, 10:14] = ignore[:3, 15:18] = True
    np.testing.assert_array_equal(sample.ignore, ignore)
    np.testing.assert_array_equal(sample.instances, LABELS == 1)
    assert source.label_set.groups == ("tumor",)
    assert source.ignores


def test_what_is_no_nucleus_here_is_counted(annotated):
    small = box(3, 2, 5, 4)
    features = geojson(SQUARE, SQUARE, box(40, 1, 50, 5), box(-3, -3, 2, 2), small, small[:2])
    features += geojson(b=box(10.6, 10.6, 10.9, 10.9))
    sample = annotated(features)[0]
    counts = {key: n for key, n in sample.meta.items() if key.endswith("_regions") and n}
    assert counts == {
        "outside_regions": 1,
        "duplicate_regions": 1,
        "skipped_regions": 1,
        "hidden_regions": 1,
        "unnamed_regions": 4,
    }
    assert sample.meta["regions"] == 7
    np.testing.assert_array_equal(sample.instances[:2, :2], 2)  # clipped at the border
    assert (sample.covered > 0).sum() == 4
    empty = geojson(SQUARE) * 2
    empty[1]["geometry"] = {"type": "MultiPolygon", "coordinates": []}
    assert annotated(empty)[0].meta["skipped_regions"] == 1
    # Without a class among others that have one: the class is ignored, the nucleus is not.
    assert np.unique(sample.classes).tolist() == [-1, 0]


def test_other_units_and_other_levels(annotated):
    whole = annotated(geojson(*BOXES))[0]
    at_40x = [[[400 + 2 * x, 600 + 2 * y] for x, y in ring] for ring in BOXES]
    part = annotated(geojson(*at_40x), scale=0.5, origin=(400, 600))[0]
    np.testing.assert_array_equal(part.instances, whole.instances)
    with pytest.raises(ValueError, match=r"none of its 2 nuclei lies in the image.*an origin"):
        annotated(geojson(*at_40x))[0]
    write(annotated(geojson()).root / "labels" / "a.geojson", coco("a.png", image=(40, 60)))
    with pytest.raises(ValueError, match=r"\(40, 60\) pixels, the image has \(20, 30\); give sc"):
        annotated(coco("a.png", image=(40, 60)))[0]
    with pytest.raises(ValueError, match="do not belong together"):
        annotated(coco("a.png", image=(40, 30)))[0]
    nearly = ImageAnnotations((), size=(1000, 1000))
    with pytest.raises(ValueError, match="do not belong together"):  # no scale=1
        annotation_of(nearly, (1000, 1001), Reading(), OwnClasses(), "f")
    # Contours through the centers of border pixels, at 40x, one of them outside.
    contours = box(4, 2, 17, 13), box(100, 20, 110, 30)
    hovernet = {"nuc": {str(k): {"contour": each, "type": 1} for k, each in enumerate(contours)}}
    expected = np.zeros((20, 30), int)
    expected[1:7, 2:9] = 1
    found = annotated(hovernet, scale=0.5)[0]
    np.testing.assert_array_equal(found.instances, expected)
    assert found.meta["outside_regions"] == 1
    part = annotated(hovernet, scale=0.5, origin=np.array((2, -2)))[0]
    np.testing.assert_array_equal(part.instances[2:, :-2], expected[1:-1, 1:-1])


def test_contours_through_pixels_move_with_the_origin(annotated):
    """Also where they cross the upper left border, and by a convention that is asked for."""
    ring = box(3, 4, 8, 9)
    hovernet = {"nuc": {"1": {"contour": ring, "type": 1}}}
    expected = np.zeros((20, 30), int)
    expected[:5, :4] = 1  # rows 4 to 9 and columns 3 to 8, from (5, 5) on
    found = annotated(hovernet, origin=(5, 5))[0].instances
    np.testing.assert_array_equal(found, expected)
    triangle = [[2.7, 3.7], [9.7, 3.7], [2.7, 10.7]]
    part, whole = (
        annotated(geojson(triangle), origin=at, convention="hovernet")[0].instances
        for at in ((5, 5), (0, 0))
    )
    np.testing.assert_array_equal(part[:-5, :-5], whole[5:, 5:])


def test_a_slide_of_hamamatsu_needs_the_place_of_its_image(annotated):
    """Nanometers from the slide's center: the image of 30 x 20 pixels of 500 nm lies around it."""
    listed = "".join(
        f"<point><x>{500 * (x - 15)}</x><y>{500 * (y - 10)}</y></point>" for x, y in SQUARE
    )
    ndpa = (
        '<annotations><ndpviewstate id="1"><title>b</title><coordformat>nanometers</coordformat>'
        f'<annotation type="freehand"><pointlist>{listed}</pointlist></annotation>'
        "</ndpviewstate></annotations>"
    )
    with pytest.raises(ValueError, match="give `origin`"):
        annotated(ndpa)[0]
    found = annotated(ndpa, origin=(-7.5, -5), scale=2.0)[0]
    np.testing.assert_array_equal(found.instances, LABELS == 1)


def test_files_without_nuclei(annotated):
    for empty in ({}, "<annotations/>"):
        assert not annotated(empty)[0].instances.any()


CLOSED = [*SQUARE, SQUARE[0]]
WRITTEN = {
    "open": [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}}],
    "closed": geojson(CLOSED),
    "closed twice": geojson([*CLOSED, SQUARE[0]]),
    "fractions": geojson([[x + 0.25, y - 0.25] for x, y in SQUARE]),
    "a height": geojson([[x, y, 0] for x, y in SQUARE]),
    "text": geojson([[str(x), str(y)] for x, y in SQUARE]),
    "a hole outside": [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [SQUARE, box(20, 12, 28, 16)]},
            "properties": None,
        }
    ],
    "pieces": [
        {
            "type": "Feature",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[box(2, 1, 5, 7)], [box(5, 1, 9, 7)]],
            },
        }
    ],
    "Windows": "\ufeff" + json.dumps(geojson(SQUARE), indent=1).replace("\n", "\r\n"),
    "a collection": {"type": "FeatureCollection", "features": geojson(SQUARE)},
    "one feature": geojson(SQUARE)[0],
}


@pytest.mark.parametrize("form", WRITTEN)
def test_one_nucleus_written_in_many_ways(annotated, form):
    sample = annotated(WRITTEN[form])[0]
    np.testing.assert_array_equal(sample.instances, LABELS == 1)
    assert sample.covered is None


def test_outlines_that_are_drawn_twice(annotated):
    """From another vertex on, the other way around, or closed: each is the same; a shift is not."""
    turned = SQUARE[2:] + SQUARE[:2]
    shifted = [[x + 0.25, y] for x, y in SQUARE]
    objects = [SQUARE, turned, SQUARE[::-1], turned[::-1], CLOSED, shifted]
    found = annotated(geojson(*objects))[0].meta
    assert (found["duplicate_regions"], found["hidden_regions"]) == (4, 1)
    shapes = [{"label": "n", "points": ring} for ring in objects[:-1]]
    assert annotated({"shapes": shapes})[0].meta["duplicate_regions"] == 4
    both = geojson(a=SQUARE) + geojson(b=SQUARE)
    assert annotated(both)[0].meta["duplicate_regions"] == 0  # two classes: which one is unknown


def test_regions_of_another_image(annotated, tmp_path, capsys):
    annotated(geojson(tumor=SQUARE) + geojson(**{"Region*": box(100, 100, 120, 120)}))
    assert main(["inspect", "folder", str(tmp_path), "--output", str(tmp_path / "o")]) == 0
    assert "everything is ignored (1)\n  train/a: no nucleus counts" in capsys.readouterr().out


def test_names_that_only_begin_like_regions_are_classes(annotated):
    source = annotated(geojson(**{"regional": SQUARE, "Region: 2": box(0, 0, 15, 20)}))
    assert source.label_set.groups == ("regional",)
    np.testing.assert_array_equal(source[0].instances, LABELS == 1)
    assert source[0].ignore[:, 15:].all()
