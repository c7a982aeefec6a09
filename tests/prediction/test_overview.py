"""The table and the page of all images of a folder of predictions."""

import csv
import json

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.predict import predict

OPTIONS = DEFAULT.replace(
    formats=("csv",), patch=64, overlap=32, tile=64, workers=0, progress=False
)


def rows_of(folder):
    with (folder / "summary.csv").open(newline="") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


@pytest.fixture
def images(tmp_path, blobs):
    """Two images with nuclei, of which one has microns per pixel, one without, and no image."""
    folder = tmp_path / "in"
    folder.mkdir()
    for k, name in enumerate(("a10.tif", "a9.tif")):
        image, _ = blobs((70, 100 + 40 * k), seed=k)
        half = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"} if k else {}
        tifffile.imwrite(folder / name, image, photometric="rgb", **half)
    imsave(folder / "empty.png", np.zeros((64, 80), np.uint8), check_contrast=False)
    (folder / "no.png").write_text("no image")
    return folder


def test_the_table_is_what_the_files_of_nuclei_say(tmp_path, bright, images):
    out = tmp_path / "out"
    results = predict([images], bright(), out, OPTIONS)
    rows = rows_of(out)
    assert list(rows) == ["a9", "a10", "empty", "no"]
    for name in ("a9", "a10"):
        row = rows[name]
        with (out / f"{name}.csv").open(newline="") as file:
            nuclei = list(csv.DictReader(file))
        area = np.array([float(each["area"]) for each in nuclei])
        assert (row["file"], row["status"]) == (f"{name}.tif", "done")
        assert int(row["nuclei"]) == len(nuclei) > 10
        assert float(row["median_area_px"]) == np.median(area)
        assert float(row["mean_area_px"]) == pytest.approx(area.mean())
        size = int(row["height"]) * int(row["width"])
        assert float(row["coverage"]) == pytest.approx(area.sum() / size)
        red = np.mean([float(each["red_mean"]) for each in nuclei])
        assert float(row["red_mean"]) == pytest.approx(red)
    assert (rows["a10"]["mpp"], rows["a10"]["median_area_um2"]) == ("", "")
    metric = rows["a9"]
    assert float(metric["mpp"]) == 0.5
    assert float(metric["mean_area_um2"]) == pytest.approx(float(metric["mean_area_px"]) / 4)
    density = int(metric["nuclei"]) / (70 * 140 * 0.0005**2)
    assert float(metric["density_per_mm2"]) == pytest.approx(density)
    assert (rows["empty"]["nuclei"], rows["empty"]["median_area_px"]) == ("0", "")
    assert rows["no"]["status"] == "failed"
    assert results.failed[0][1].endswith(rows["no"]["reason"])
    # Again, nothing is computed; what is there is listed, to the byte.
    before = (out / "summary.csv").read_bytes(), (out / "index.html").read_bytes()
    predict([images], bright(), out, OPTIONS)
    assert before == ((out / "summary.csv").read_bytes(), (out / "index.html").read_bytes())
    # Images of another run stay in the table.
    imsave(images / "b.png", np.zeros((64, 80), np.uint8), check_contrast=False)
    predict([images / "b.png"], bright(), out, OPTIONS)
    assert list(rows_of(out)) == ["a9", "a10", "b", "empty"]


def test_classes_have_columns(tmp_path, bright, images):
    out = tmp_path / "out"
    predict([images / "a9.tif"], bright(), out, OPTIONS)
    summary = json.loads((out / "a9.json").read_text())
    summary["statistics"]["classes"] = {"tumor": 3, "": 2}
    (out / "a9.json").write_text(json.dumps(summary))
    (out / "other.json").write_text("[1, 2]")  # another program's
    predict([images / "a10.tif"], bright(), out, OPTIONS)
    rows = rows_of(out)
    assert list(rows) == ["a9", "a10"]
    assert (rows["a9"]["nuclei_tumor"], rows["a9"]["nuclei_without_class"]) == ("3", "2")
    assert rows["a10"]["nuclei_tumor"] == ""


def test_shards_write_no_table_and_no_report_no_page(tmp_path, bright, images):
    one = tmp_path / "one"
    predict([images / "a9.tif"], bright(), one, OPTIONS.replace(report=False))
    assert (one / "summary.csv").exists()
    assert not (one / "index.html").exists()
    assert not (one / "a9.thumbnail.jpg").exists()
    both = tmp_path / "both"
    for shard in ((1, 2), (2, 2)):
        predict([images / "a9.tif"], bright(), both, OPTIONS.replace(shard=shard))
        assert not (both / "summary.csv").exists()
    predict([images / "a9.tif"], bright(), both, OPTIONS)
    first, second = (rows_of(folder)["a9"] for folder in (one, both))
    assert first | {"seconds": ""} == second | {"seconds": ""}


def test_files_that_bear_its_names_are_not_replaced(tmp_path, bright, images):
    out = tmp_path / "out"
    imsave(images / "summary.png", np.zeros((64, 80), np.uint8), check_contrast=False)
    results = predict([images / "summary.png"], bright(), out, OPTIONS)
    assert "summary.csv would be both the file of the format csv" in results.failed[0][1]
    assert rows_of(out)["summary"]["status"] == "failed"
    done = predict([images / "summary.png"], bright(), out, OPTIONS.replace(formats=("geojson",)))
    assert done.failed == ()
    (out / "index.html").write_text("<p>my page")
    with pytest.raises(FileExistsError, match=r"index\.html exists and is not from a prediction"):
        predict([images / "a9.tif"], bright(), out, OPTIONS)
