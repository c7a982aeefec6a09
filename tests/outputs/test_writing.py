"""Every format, read back by another program, holds the same nuclei under the same numbers."""

import contextlib
import csv
import io
import json
import re
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import shapely
import tifffile
import zarr
from pycocotools.coco import COCO
from scipy.io import loadmat

from jaxnuc.outputs import REGISTRY, NucleiTable, Scene, create, measure, pyramid, write
from jaxnuc.outputs.outlines import contour, largest_piece
from jaxnuc.postprocess.masks import Mask, paint

Make = Callable[..., NucleiTable]


@pytest.fixture
def tables(make_table: Make) -> list[NucleiTable]:
    nothing = NucleiTable((), np.zeros(0, np.float32))
    return [make_table(25, 0), nothing, make_table(10, 1), make_table(1, 2)]


def one(tmp_path: Path, name: str, tables: Any, scene: Scene) -> Path:
    path = tmp_path / f"out{create(name).suffix}"
    assert create(name).write(path, tables, scene) == sum(len(table) for table in tables)
    assert list(tmp_path.iterdir()) == [path]
    return path


def whole(mask: Mask, shape: tuple[int, int], piece: bool = False) -> np.ndarray:
    image = np.zeros(shape, bool)
    height, width = mask.mask.shape
    image[mask.row : mask.row + height, mask.col : mask.col + width] = (
        largest_piece(mask.mask) if piece else mask.mask
    )
    return image


def pixels(polygon: shapely.Geometry, scene: Scene) -> np.ndarray:
    """Which pixels of the grid have their center inside."""
    rows, cols = np.indices(scene.shape) + 0.5
    shapely.prepare(polygon)
    return shapely.contains_xy(polygon, cols * scene.scale[1], rows * scene.scale[0])


def test_geojson(tmp_path: Path, tables: list[NucleiTable], scene: Scene) -> None:
    truth = NucleiTable.concatenated(tables)
    for scale in ((2.0, 2.0), (1.0, 1.0), (1.013, 0.997)):
        scene = replace(scene, scale=scale)
        path = one(tmp_path, "geojson", tables, scene)
        found = json.loads(path.read_text())
        assert found["type"] == "FeatureCollection"
        assert len({uuid.UUID(feature["id"]) for feature in found["features"]}) == len(truth)
        for k, feature in enumerate(found["features"]):
            polygon = shapely.from_geojson(json.dumps(feature["geometry"]))
            assert polygon.geom_type == "Polygon"
            assert polygon.is_valid
            expected = whole(truth.masks[k], scene.shape, piece=True)
            np.testing.assert_array_equal(pixels(polygon, scene), expected)
            properties = feature["properties"]
            assert (properties["id"], properties["objectType"]) == (k + 1, "detection")
            class_id = int(truth.classes[k])
            if class_id:
                classification = {
                    "name": scene.class_names[class_id],
                    "color": list(scene.color(class_id)),
                }
                assert properties["classification"] == classification
            else:
                assert "classification" not in properties
                assert properties["color"] == list(scene.color(0))
            values = properties["measurements"]
            assert values["score"] == truth.scores[k]
            assert values["probability_tumor"] == truth.class_probabilities[k, 1]
            assert values["hematoxylin"] == truth.measurements["hematoxylin"][k]
    path.unlink()
    other = json.loads(one(tmp_path, "geojson_annotations", tables, scene).read_text())
    for feature in found["features"]:
        feature["properties"]["objectType"] = "annotation"
    assert other == found


def test_geojson_leaves_out_what_json_cannot_say(
    tmp_path: Path, make_table: Make, scene: Scene
) -> None:
    table = replace(make_table(2), measurements={"eosin": np.array([np.nan, 1.0])})
    found = json.loads(one(tmp_path, "geojson", [table], scene).read_text())
    assert ["eosin" in f["properties"]["measurements"] for f in found["features"]] == [False, True]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco(tmp_path: Path, tables: list[NucleiTable], scene: Scene) -> None:
    truth = NucleiTable.concatenated(tables)
    path = one(tmp_path, "coco", tables, scene)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    assert [c["name"] for c in coco.loadCats([0, 1, 2])] == ["unclassified", *scene.class_names[1:]]
    annotations = coco.loadAnns(range(1, len(truth) + 1))
    for annotation, mask, class_id in zip(annotations, truth.masks, truth.classes, strict=True):
        expected = whole(mask, scene.shape).repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(coco.annToMask(annotation), expected)
        rows, cols = np.nonzero(expected)
        box = [cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box
        assert annotation["area"] == expected.sum()
        assert annotation["category_id"] == class_id


def test_coco_of_a_slide_is_cheap_and_too_large_a_one_refused(
    tmp_path: Path, make_table: Make, scene: Scene
) -> None:
    table = make_table(3).moved(60_000, 60_000)
    path = one(tmp_path, "coco", [table], replace(scene, shape=(65_000, 65_000), scale=(1, 1)))
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match="write geojson instead"):
        create("coco").write(path, [table], replace(scene, shape=(33_000, 33_000)))


def test_coco_names_the_file_and_has_its_pixels(tmp_path: Path, make_table: Make) -> None:
    """The model saw the image of 333 x 488 pixels as 150 x 220."""
    scene = Scene("plain", (150, 220), 0.5, (2.22, 2.22), file="plain.png", full_shape=(333, 488))
    path = one(tmp_path, "coco", [make_table(9, classes=False)], scene)
    (image,) = json.loads(path.read_text())["images"]
    assert image == {"id": 1, "file_name": "plain.png", "height": 333, "width": 488}


def test_csv(tmp_path: Path, tables: list[NucleiTable], scene: Scene) -> None:
    truth = NucleiTable.concatenated(tables)
    with one(tmp_path, "csv", tables, scene).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for k, row in enumerate(rows):
        assert int(row["id"]) == k + 1
        assert int(row["class_id"]) == truth.classes[k]
        assert row["class_name"] == ("", *scene.class_names[1:])[truth.classes[k]]
        assert np.float32(row["score"]) == truth.scores[k]
        assert np.float32(row["probability_immune, T"]) == truth.class_probabilities[k, 2]
        assert float(row["hematoxylin"]) == truth.measurements["hematoxylin"][k]
    assert len(rows) == len(truth)


@pytest.mark.parametrize("name", ["parquet", "geoparquet"])
def test_parquet(tmp_path: Path, tables: list[NucleiTable], scene: Scene, name: str) -> None:
    truth = NucleiTable.concatenated(tables)
    path = one(tmp_path, name, tables, scene)
    file = pyarrow.parquet.ParquetFile(path)
    assert file.num_row_groups == 3
    found = file.read()
    np.testing.assert_array_equal(found["id"], np.arange(1, len(truth) + 1))
    np.testing.assert_array_equal(found["score"], truth.scores)
    np.testing.assert_array_equal(found["class_id"], truth.classes)
    np.testing.assert_array_equal(found["probability_tumor"], truth.class_probabilities[:, 1])
    np.testing.assert_array_equal(found["area"], truth.measurements["area"])
    assert found["class_name"].to_pylist() == [scene.class_name(k) for k in truth.classes]
    assert ("geometry" in found.column_names) == (name == "geoparquet")
    if name == "geoparquet":
        geo = json.loads(found.schema.metadata[b"geo"])
        assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
        assert geo["columns"]["geometry"]["encoding"] == "WKB"
        polygons = shapely.from_wkb(found["geometry"].to_pylist())
        assert shapely.is_valid(polygons).all()
        for polygon, mask in zip(polygons, truth.masks, strict=True):
            expected = whole(mask, scene.shape, piece=True)
            np.testing.assert_array_equal(pixels(polygon, scene), expected)


def test_a_small_tiff_is_plain(tmp_path: Path, tables: list[NucleiTable], scene: Scene) -> None:
    path = one(tmp_path, "tiff", tables, scene)
    with tifffile.TiffFile(path) as tiff:
        expected = paint(NucleiTable.concatenated(tables).masks, scene.shape)
        np.testing.assert_array_equal(tiff.asarray(), expected)
        assert (tiff.is_bigtiff, tiff.is_ome, tiff.pages[0].is_tiled) == (False, False, False)
        assert (len(tiff.pages), tiff.pages[0].dtype) == (1, np.uint16)


def test_ome_zarr(tmp_path: Path, tables: list[NucleiTable], scene: Scene) -> None:
    path = one(tmp_path, "ome_zarr", tables, scene)
    group = zarr.open_group(path, mode="r", zarr_format=2)
    expected = paint(NucleiTable.concatenated(tables).masks, scene.shape)
    np.testing.assert_array_equal(group["0"][:], expected)
    assert (path / "0" / "0" / "0").exists()


def test_hovernet_json(tmp_path: Path, tables: list[NucleiTable], scene: Scene) -> None:
    truth = NucleiTable.concatenated(tables)
    found = json.loads(one(tmp_path, "hovernet_json", tables, scene).read_text())
    assert found["mag"] == 20
    assert list(found["nuc"]) == [str(k + 1) for k in range(len(truth))]
    for k, nucleus in enumerate(found["nuc"].values()):
        rows, cols = np.nonzero(whole(truth.masks[k], scene.shape))
        assert nucleus["bbox"] == [[rows.min(), cols.min()], [rows.max() + 1, cols.max() + 1]]
        np.testing.assert_allclose(nucleus["centroid"], [cols.mean(), rows.mean()])
        assert nucleus["type"] == truth.classes[k]
        assert nucleus["type_prob"] == truth.class_probabilities[k, truth.classes[k]]
        x, y = np.transpose(nucleus["contour"])
        inside = np.pad(whole(truth.masks[k], scene.shape), ((0, 1), (0, 1)))
        if len(contour(truth.masks[k])) < 3:  # around the pixels, not through them
            inside |= np.roll(inside, 1, axis=0)
            inside |= np.roll(inside, 1, axis=1)
        assert inside[y, x].all()


def test_hovernet_mat(tmp_path: Path, tables: list[NucleiTable], scene: Scene) -> None:
    truth = NucleiTable.concatenated(tables)
    found = loadmat(one(tmp_path, "hovernet_mat", tables, scene))
    np.testing.assert_array_equal(found["inst_map"], paint(truth.masks, scene.shape))
    np.testing.assert_array_equal(found["inst_type"][:, 0], truth.classes)
    np.testing.assert_array_equal(found["inst_uid"][:, 0], np.arange(1, len(truth) + 1))
    places = measure(truth.masks)
    np.testing.assert_allclose(found["inst_centroid"][:, 0], places["centroid_col"])
    np.testing.assert_allclose(found["inst_centroid"][:, 1], places["centroid_row"])


def test_files_without_nuclei_open(tmp_path: Path, scene: Scene) -> None:
    found = write(tmp_path, "glass", REGISTRY.names(), [], scene)
    assert json.loads(found["geojson"].read_text())["features"] == []
    assert json.loads(found["coco"].read_text())["annotations"] == []
    assert json.loads(found["hovernet_json"].read_text())["nuc"] == {}
    header = "id,class_id,class_name,probability_background,probability_tumor"
    assert found["csv"].read_text() == f'{header},"probability_immune, T",score\n'
    for name in ("parquet", "geoparquet"):
        assert pyarrow.parquet.read_table(found[name]).num_rows == 0
    assert not tifffile.imread(found["tiff"]).any()
    assert not zarr.open_group(found["ome_zarr"], mode="r")["0"][:].any()
    assert loadmat(found["hovernet_mat"])["inst_centroid"].shape == (0, 2)


def test_the_lines_that_open_labels_in_napari(
    tmp_path: Path, make_table: Make, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of the page, with a viewer that checks what napari's layers of labels need."""
    page = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text()
    (code,) = re.findall(r"```py\n(.*?)```", page, re.S)
    table = make_table(30)
    write(tmp_path, "slide", ["tiff", "csv", "ome_zarr"], [table], scene)
    monkeypatch.chdir(tmp_path)
    layers: list[int] = []

    def add_labels(levels: Any, *, features: dict[str, Any], multiscale: bool = False) -> None:
        shapes = [np.shape(level) for level in (levels if multiscale else [levels])]
        assert shapes == sorted(shapes, reverse=True)
        first = np.asarray(levels[0] if multiscale else levels)
        assert first.ndim == 2
        assert first.dtype.kind in "ui"
        index = np.array(features["index"], int)
        assert len(set(index)) == len(index) == len(table)
        assert {*np.unique(first).tolist()} - {0} <= {*index.tolist()}
        for number in np.unique(first)[1:]:
            where = features["class_id"][index.tolist().index(number)]
            assert int(where) == table.classes[number - 1]
        layers.append(len(shapes))

    napari, pandas = ModuleType("napari"), ModuleType("pandas")
    napari.Viewer = lambda: SimpleNamespace(add_labels=add_labels)
    pandas.read_csv = lambda name: Frame(name)
    monkeypatch.setitem(sys.modules, "napari", napari)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    exec(compile(code, "outputs.md", "exec"), {})
    assert layers == [1, len(pyramid.level_shapes(scene.shape))]


class Frame(dict):
    """As much of a pandas data frame as the page uses."""

    def __init__(self, name: str) -> None:
        with open(name, newline="") as file:
            rows = list(csv.DictReader(file))
        super().__init__({key: [row[key] for row in rows] for key in rows[0]})

    def rename(self, columns: dict[str, str]) -> dict[str, list[str]]:
        return {columns.get(key, key): values for key, values in self.items()}
