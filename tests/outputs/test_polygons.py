"""Formats that write polygons: what other programs make of them is the nuclei, however small."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import roifile
import shapely
from pyarrow import parquet

from jaxnuc.io.annotations.imagej import Reader
from jaxnuc.outputs import NucleiTable, Scene, write
from jaxnuc.outputs.outlines import largest_piece
from jaxnuc.postprocess.masks import Mask

Blobs = Callable[[int, int], tuple[Mask, ...]]
NAMES = ("background", "tumor", "immune, T")


def small_masks() -> list[Mask]:
    """One pixel, two, lines, steps, rings, and all that fits in 2 x 3 pixels."""
    bits = np.arange(1, 64)[:, None] >> np.arange(6) & 1
    found = [Mask(3, 5, m.reshape(2, 3).astype(bool)) for m in bits]
    line, ring = np.ones((1, 7), bool), np.ones((3, 3), bool)
    ring[1, 1] = False
    step = np.array([[1, 1, 0], [0, 1, 1]], bool)
    return found + [Mask(9, 9, m) for m in (line, line.T, ring, step)]


@pytest.fixture(params=[(1.0, 1.0), (0.37, 0.41), (3.9, 4.0)])
def written(request: pytest.FixtureRequest, tmp_path: Path, blobs: Blobs) -> tuple:
    """The nuclei, their scene, and files of polygons."""
    masks = (*small_masks(), *blobs(30, 4))
    classes = np.arange(len(masks)).astype(np.int32) % 3
    table = NucleiTable(masks, np.linspace(0, 1, len(masks)).astype(np.float32), classes)
    scene = Scene("a.svs", (150, 220), 0.5, request.param, NAMES)
    formats = ["geojson", "geoparquet", "imagej_rois", "hovernet_json"]
    return masks, scene, write(tmp_path, "a", formats, [table], scene)


def expected(mask: Mask, scale: tuple[float, float]) -> shapely.Geometry:
    """The pixels of the largest piece as squares, put together by shapely."""
    rows, cols = np.nonzero(largest_piece(mask.mask))
    rows, cols = rows + mask.row, cols + mask.col
    (down, across) = scale
    squares = shapely.box(cols * across, rows * down, (cols + 1) * across, (rows + 1) * down)
    return shapely.union_all(squares, grid_size=None)


def check(polygon: shapely.Polygon, mask: Mask, scale: tuple[float, float]) -> None:
    assert shapely.is_valid(polygon), shapely.is_valid_reason(polygon)
    for ring in (polygon.exterior, *polygon.interiors):
        points = shapely.get_coordinates(ring)
        assert len(points) >= 4
        assert len(np.unique(points, axis=0)) >= 3
        assert shapely.Polygon(ring).area > 0
    truth = expected(mask, scale)
    assert polygon.symmetric_difference(truth).area < 1e-4 * truth.area


def test_polygons_are_the_nuclei(written: tuple) -> None:
    masks, scene, files = written
    features = json.loads(files["geojson"].read_text())["features"]
    for mask, feature in zip(masks, features, strict=True):
        check(shapely.geometry.shape(feature["geometry"]), mask, scene.scale)
    column = parquet.read_table(files["geoparquet"])["geometry"].to_pylist()
    for mask, data in zip(masks, column, strict=True):
        check(shapely.from_wkb(data), mask, scene.scale)


def test_imagej_reads_the_same_polygons(written: tuple) -> None:
    masks, scene, files = written
    (found,) = Reader().read(files["imagej_rois"].read_bytes(), "a.rois.zip")
    holes = 0
    for k, (mask, one) in enumerate(zip(masks, found.objects, strict=True)):
        polygon = shapely.Polygon(one.shape.outline, one.shape.holes)
        check(polygon, mask, scene.scale)
        holes += len(one.shape.holes)
        assert one.name == (NAMES[k % 3] if k % 3 else None)
    assert holes > 5
    with zipfile.ZipFile(files["imagej_rois"]) as archive:
        names = archive.namelist()
        rois = [roifile.ImagejRoi.frombytes(archive.read(name)) for name in names]
    assert names[:2] == ["000001.roi", "000002.roi"]
    for k, roi in enumerate(rois):
        class_id = k % 3
        assert roi.name == (f"{k + 1} {NAMES[class_id]}" if class_id else f"{k + 1}")
        assert (roi.group, roi.stroke_color) == (class_id, bytes((255, *scene.color(class_id))))
        assert roi.composite or roi.subpixelresolution
        box = np.array([roi.left, roi.top, roi.right, roi.bottom])
        bounds = np.array(expected(masks[k], scene.scale).bounds)
        assert (np.abs(box - bounds) <= 1.5).all()


def test_regions_far_out_in_a_slide_keep_their_places(tmp_path: Path) -> None:
    """Beyond the 16 bits of ImageJ's whole numbers."""
    mask = Mask(70_000, 90_000, np.ones((3, 2), bool))
    scene = Scene("a.svs", (100_000, 100_000), scale=(2.0, 2.0))
    table = NucleiTable((mask,), np.ones(1, np.float32))
    files = write(tmp_path, "a", ["imagej_rois"], [table], scene)
    (found,) = Reader().read(files["imagej_rois"].read_bytes(), "a.rois.zip")
    corners = [[180_000, 140_000], [180_004, 140_000], [180_004, 140_006], [180_000, 140_006]]
    assert sorted(found.objects[0].shape.outline.tolist()) == sorted(corners)


def test_contours_have_an_area(written: tuple) -> None:
    masks, _, files = written
    nuclei = json.loads(files["hovernet_json"].read_text())["nuc"].values()
    for mask, nucleus in zip(masks, nuclei, strict=True):
        contour = shapely.Polygon(nucleus["contour"])
        assert contour.area > 0
        # Through the centers of the border pixels, or around them.
        near = expected(mask, (1, 1)).envelope.buffer(0.5)
        assert near.contains(contour)
