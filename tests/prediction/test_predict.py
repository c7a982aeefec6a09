"""Image files in, files of nuclei out: tiled as whole, corrupt, of any size."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import tifffile
from scipy import ndimage
from skimage.io import imsave

import jaxnuc
from jaxnuc.data.normalize import Normalize
from jaxnuc.io import ArrayImage, open_image
from jaxnuc.outputs import REGISTRY
from jaxnuc.outputs.formats import hovernet_mat
from jaxnuc.prediction import patches
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.patches import reference
from jaxnuc.prediction.predict import predict
from jaxnuc.prediction.predictor import Predictor, TrainedNetwork
from jaxnuc.prediction.tiles import Tiling

OPTIONS = DEFAULT.replace(
    formats=("csv", "tiff"), patch=64, overlap=32, tile=64, workers=0, progress=False
)


def test_tiles_give_the_nuclei_of_one_pass_at_every_offset(bright, blobs, same_partition):
    image, expected = blobs((150, 210))
    assert expected.max() > 60
    sizes = {"patch": 64, "overlap": 32}
    for tile, offset in ((64, (0, 0)), (128, (32, 64)), (192, (96, 128)), (256, (0, 32))):
        for margin in (0, 12):
            predictor = bright(margin)
            found = jaxnuc.segment(image, predictor, tile=tile, offset=offset, **sizes)
            same_partition(found.instances, expected)
            assert len(found.scores) == expected.max()


def test_a_nucleus_longer_than_the_overlap_is_one(bright, same_partition):
    image = np.zeros((100, 300, 3), np.uint8)
    image[40:48, 10:290] = 255
    image[70:80, 100:110] = 255
    found = jaxnuc.segment(image, bright(), patch=64, overlap=32, tile=64)
    same_partition(found.instances, ndimage.label(image[..., 0])[0])


def test_intensities_are_those_of_the_camera(tmp_path, bright, blobs):
    """Measured in each nucleus, in numbers of the file."""
    seen, expected = blobs((150, 210))
    raw = (100 + 15.0 * seen[..., 0] + np.arange(210)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", raw, photometric="minisblack")
    (done,) = predict([tmp_path / "a.tif"], bright(), tmp_path / "out", OPTIONS).done
    assert done["nuclei"] == expected.max()
    labels = tifffile.imread(tmp_path / "out" / "a.labels.tif")
    rows = list(csv.DictReader((tmp_path / "out" / "a.csv").read_text().splitlines()))
    assert "hematoxylin" not in rows[0]
    step = np.ptp(raw) / 255
    for row in rows:
        inside = raw[labels == int(row["id"])].astype(float)
        assert float(row["intensity_mean"]) == pytest.approx(inside.mean(), abs=step)
        assert float(row["intensity_median"]) == pytest.approx(np.median(inside), abs=step)
        total = float(row["intensity_sum"])
        assert total == pytest.approx(inside.sum(), abs=step * inside.size)
        if row["intensity_background"]:
            assert float(row["intensity_background"]) < inside.min()


def test_a_gray_part_of_a_colored_image_has_the_columns_of_the_image(tmp_path, bright, blobs):
    image, _ = blobs((64, 200))
    image = image.copy()
    image[:, 100:, 0] = 0  # green and blue; what is before is gray
    imsave(tmp_path / "a.png", image, check_contrast=False)
    results = predict([tmp_path / "a.png"], bright(), tmp_path / "out", OPTIONS)
    assert results.failed == ()
    rows = list(csv.DictReader((tmp_path / "out" / "a.csv").read_text().splitlines()))
    assert rows
    assert {"red_mean", "green_background", "blue_sum"} < rows[0].keys()
    assert "intensity_mean" not in rows[0]


def test_percentiles_are_those_of_the_whole_image(bright, blobs, same_partition):
    image, expected = blobs((150, 210))
    faint = (image // 8).astype(np.uint8)  # 25 on 0 to 11: found once it is stretched
    faint[:70] = np.where(expected[:70, :, None] > 0, 25, 11)  # no tile up there is like the others
    found = jaxnuc.segment(faint, bright(normalize="percentile"), patch=64, overlap=32, tile=64)
    same_partition(found.instances, expected)
    assert not jaxnuc.segment(faint, bright()).instances.any()


def test_a_large_image_is_normalized_as_its_parts_are(monkeypatch):
    """Dark lines of a pixel, which are gone where an image is made small."""
    image = np.full((1500, 1100, 3), 210, np.uint8)
    image[::9] = 30
    image[:, ::200] = 250
    whole = Normalize("percentile").fitted(image)(image[:300, :300])
    assert np.ptp(whole) == 255
    monkeypatch.setattr("jaxnuc.prediction.patches.WHOLE_PIXELS", 10**6)
    seen = reference(ArrayImage(image))
    assert seen.shape == (11 * 8 * 128, 128, 3)
    np.testing.assert_array_equal(Normalize("percentile").fitted(seen)(image[:300, :300]), whole)
    assert reference(ArrayImage(image[:, :90])).shape == (1500, 90, 3)
    monkeypatch.setattr("jaxnuc.prediction.patches.WHOLE_PIXELS", 10**4)
    assert reference(ArrayImage(image[:, :90])).shape == (11 * 128, 90, 3)


@pytest.mark.parametrize("symmetries", [(0,), (3, 6, 1)])
def test_batches_give_the_maps_of_single_images(predictor, symmetries):
    predictor = replace(predictor, symmetries=symmetries)
    rng = np.random.default_rng(0)
    tiles = [(i, rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for i in range(5)]
    batches = BatchRunner(predictor, size=2)
    found = list(batches(iter(tiles)))
    assert [number for number, _, _ in found] == [0, 1, 2, 3, 4]
    for (_, maps, members), (_, image) in zip(found, tiles, strict=True):
        assert members == ()
        for name, expected in predictor.maps(image).items():
            assert np.ptp(expected) > 0.1
            np.testing.assert_allclose(maps[name], expected, atol=1e-4)
    assert batches.seconds["device"] > 0


@pytest.mark.parametrize("grid", [1, 2])
def test_turned_patches_give_the_maps_of_one_pass(grid):
    """Up to the border of the image, where padding is at other sides."""
    image = np.random.default_rng(0).integers(0, 256, (150, 210, 3), np.uint8)
    stardist = jaxnuc.representations.create("stardist", grid=grid, n_rays=8)
    kernel = np.random.default_rng(1).normal(size=(9, 9, 3, 9)).astype(np.float32)

    def forward(variables, images):  # directions count; what is further than 4 pixels does not
        maps = jax.lax.conv_general_dilated(
            images.astype("float32") / 255, kernel, (grid, grid), [(4, 4)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        return {"prob": maps[..., :1], "dist": maps[..., 1:]}

    network = TrainedNetwork(jax.jit(forward), {"none": np.float32(0)})
    config, symmetries = jaxnuc.config.default(), tuple(range(8))
    predictor = Predictor((network,), stardist, Normalize(), config, symmetries)
    expected = predictor.maps(image)
    tiling = Tiling((150, 210), 128, 32)
    pixels = (
        (patch, patches.read(ArrayImage(image), patch, (64, 64)))
        for row in map(tiling.row, range(tiling.grid[0]))
        for tile in row
        for patch in patches.patches(tile, tiling.shape, (64, 64), 32)
    )
    seen = 0
    for tile, maps, _ in patches.assemble(BatchRunner(predictor, 3)(pixels), grid):
        inner = np.clip(tile.box, 8, (142, 202) * 2) // grid
        top, left = np.array(tile.box[:2]) // grid
        rows, cols = slice(inner[0], inner[2]), slice(inner[1], inner[3])
        here = np.s_[inner[0] - top : inner[2] - top, inner[1] - left : inner[3] - left]
        for name, values in maps.items():
            np.testing.assert_allclose(values[here], expected[name][rows, cols], atol=2e-4)
            assert np.ptp(values[here]) > 1
        seen += 1
    assert seen == 4


def test_files_of_every_format_agree(tmp_path, bright, blobs, same_partition, labels):
    image, expected = blobs((150, 210))
    imsave(tmp_path / "a.png", image, check_contrast=False)
    formats = tuple(REGISTRY.names())
    report = predict([tmp_path / "a.png"], bright(), tmp_path, OPTIONS.replace(formats=formats))
    assert report.failed == ()
    assert report.done[0]["nuclei"] == expected.max()
    found = labels(tmp_path, "a")
    same_partition(found, expected)
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    areas = ndimage.sum_labels(np.ones(found.shape), found, range(1, found.max() + 1))
    np.testing.assert_array_equal([float(row["area"]) for row in rows], areas)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert len(features) == expected.max()
    assert not (tmp_path / "a.parts").exists()


def test_folders_and_what_cannot_be_read(tmp_path, bright, blobs, same_partition, labels):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, shape in (("one", (1, 1)), ("thin", (3, 1000)), ("small", (30, 40))):
        imsave(folder / f"{name}.png", blobs(shape)[0], check_contrast=False)
    (folder / "broken.png").write_bytes((folder / "thin.png").read_bytes()[:200])
    report = predict([folder], bright(), tmp_path / "out", OPTIONS)
    assert [done["settings"]["image"] for done in report.done] == ["one", "small", "thin"]
    ((path, reason),) = report.failed
    assert path.endswith("broken.png")
    assert "broken.png" in reason
    same_partition(labels(tmp_path / "out", "thin"), blobs((3, 1000))[1])
    assert labels(tmp_path / "out", "one").shape == (1, 1)


def test_a_long_strip(tmp_path, bright):
    image = np.zeros((3, 100_000, 3), np.uint8)
    image[:, 50:99_950:100] = 255
    np.save(tmp_path / "strip.npy", image)
    options = OPTIONS.replace(patch=512, tile=960, formats=("csv",))
    report = predict([tmp_path / "strip.npy"], bright(), tmp_path, options)
    assert report.done[0]["nuclei"] == 999


def test_microns_per_pixel(tmp_path, bright, blobs, same_partition, labels):
    """The network sees what it expects; all results are in pixels of the image itself."""
    image, expected = blobs((150, 210))
    fine, expected = (each.repeat(2, axis=0).repeat(2, axis=1) for each in (image, expected))
    imsave(tmp_path / "a.png", fine, check_contrast=False)
    options = OPTIONS.replace(model_mpp=0.5)
    report = predict([tmp_path / "a.png"], bright(), tmp_path, options)
    assert "give them, as --mpp=" in report.failed[0][1]
    report = predict([tmp_path / "a.png"], bright(), tmp_path, options.replace(mpp=0.25))
    assert report.done[0]["settings"]["scale"] == [2.0, 2.0]
    same_partition(labels(tmp_path, "a"), expected)
    assert (report.done[0]["settings"]["shape"], report.done[0]["settings"]["mpp"]) == (
        [300, 420], 0.25,
    )  # fmt: skip
    table = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    areas = np.bincount(expected.ravel())[1:]
    found = [(float(row["area"]), float(row["area_um2"])) for row in table]
    assert sorted(found) == [(area, pytest.approx(area / 16)) for area in sorted(areas)]


def test_microns_per_pixel_of_an_array(bright, blobs, same_partition):
    image, expected = blobs((150, 210))
    fine, expected = (each.repeat(2, axis=0).repeat(2, axis=1) for each in (image, expected))
    predictor = bright()
    with predictor.config.unlocked():
        predictor.config.data.mpp = 0.5
    same_partition(predictor(fine, mpp=0.25).instances, expected)
    sizes = {"patch": 64, "overlap": 32, "tile": 64}
    same_partition(jaxnuc.segment(fine, predictor, mpp=0.25, **sizes).instances, expected)
    for segment in (predictor, lambda image: jaxnuc.segment(image, predictor, **sizes)):
        with pytest.raises(ValueError, match=r"microns per pixel are unknown.*mpp=0\.25 in Python"):
            segment(fine)


def test_an_image_that_cannot_be_opened_does_not_stop_others(tmp_path, monkeypatch, bright, blobs):
    for name in "abc":
        imsave(tmp_path / f"{name}.png", blobs((60, 60))[0], check_contrast=False)
    known = {"a.png": PermissionError("a.png: not allowed"), "b.png": ImportError("b.png: needs")}

    def opened(path, **_):
        if path.name in known:
            raise known[path.name]
        return open_image(path)

    monkeypatch.setattr("jaxnuc.prediction.image_task.open_image", opened)
    report = predict([tmp_path], bright(), tmp_path / "out", OPTIONS)
    assert [reason for _, reason in report.failed] == ["a.png: not allowed", "b.png: needs"]
    assert [done["settings"]["image"] for done in report.done] == ["c"]


def test_an_image_too_large_for_a_format_is_refused_before_the_network(
    tmp_path, monkeypatch, bright, blobs
):
    monkeypatch.setattr(hovernet_mat.Format, "most_pixels", 3000)
    imsave(tmp_path / "a.png", blobs((60, 60))[0], check_contrast=False)
    options = OPTIONS.replace(formats=("csv", "hovernet_mat"))
    report = predict([tmp_path / "a.png"], bright(), tmp_path / "out", options)
    assert "hovernet_mat files at most 3000" in report.failed[0][1]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["index.html", "summary.csv"]  # of all images


def test_a_corrupt_tile_stops_or_is_left_out(tmp_path, bright, blobs, same_partition, labels):
    image, expected = blobs((256, 256))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, tile=(64, 64), compression="zlib", photometric="rgb")
    with tifffile.TiffFile(path) as tiff:
        start, size = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(bytes(size))
    report = predict([path], bright(), tmp_path / "stopped", OPTIONS)
    assert "a.tif: level 0 cannot be decoded in (0, 0, 64, 64)" in report.failed[0][1]
    assert not (tmp_path / "stopped" / "a.csv").exists()
    options = OPTIONS.replace(skip_corrupt=True)
    report = predict([path], bright(), tmp_path / "skipped", options)
    (line,) = report.done[0]["corrupt"]
    assert "a.tif: level 0 cannot be decoded in (0, 0, 64, 64)" in line
    white = expected > 0
    white[:64, :64] = True  # as glass, which is a nucleus to this network
    same_partition(labels(tmp_path / "skipped", "a"), ndimage.label(white)[0])


def test_a_damaged_overview_does_not_pass_for_glass(tmp_path, bright, damage):
    path, image = tmp_path / "a.tif", np.zeros((2048, 1024, 3), np.uint8)
    image[100::500, 100::500] = 200
    with tifffile.TiffWriter(path) as tiff:
        arguments = {"tile": (64, 64), "compression": "zlib", "photometric": "rgb"}
        tiff.write(image, subifds=1, **arguments)
        tiff.write(image[::2, ::2], subfiletype=1, **arguments)
    damage(path, level=1, tiles=range(128))
    options = OPTIONS.replace(tissue=True, patch=1024, tile=1024, formats=("csv",))
    report = predict([path], bright(), tmp_path / "out", options)
    assert "level 1 cannot be decoded" in report.failed[0][1]
    (summary,) = predict([path], bright(), tmp_path / "all", options.replace(tissue=False)).done
    assert summary["nuclei"] == 4 * 2
    skipped = options.replace(skip_corrupt=True)
    (summary,) = predict([path], bright(), tmp_path / "out", skipped).done
    assert len(summary["corrupt"]) == 128


def test_glass_is_left_out(tmp_path, bright):
    slide = np.full((512, 1024, 3), 243, np.uint8)
    slide[100:300, 100:300] = (150, 90, 160)
    np.save(tmp_path / "a.npy", slide)
    seen = []

    def forward(variables, images):
        jax.debug.callback(lambda x: seen.extend(np.asarray(x)), images)
        return {"mask": images[..., :1].astype("float32") - 1000}

    predictor = bright(forward=forward)
    predict([tmp_path / "a.npy"], predictor, tmp_path, OPTIONS.replace(tissue=True, batch_size=1))
    tinted = [bool((x != 243).any()) for x in seen]
    assert sum(tinted) >= 25
    assert len(seen) < 300 < 4 * 15 * 31  # patches of all tiles
    assert (tmp_path / "a.tissue.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": 100}, r"tile=100 must be a multiple of 64"),
        ({"patch": 64, "overlap": 64}, r"overlap=64 must be .* at most half of patch=64"),
        ({"shard": (1, 2), "overwrite": True}, r"overwrite=True with a shard: .* another output"),
        ({"workers": -1}, r"workers=-1 must be 0 .* or more"),
        ({"mpp": -0.5}, "positive"),
        ({"model_mpp": 0.0}, "positive"),
        ({"formats": ("geojsn",)}, r"'geojsn'; known: .*did you mean 'geojson'"),
    ],
)
def test_options_that_do_not_work(arguments, message):
    with pytest.raises(ValueError, match=message):
        DEFAULT.replace(**arguments)


def test_the_script_names_what_is_wrong(tmp_path, run_script):
    script = Path(__file__).parents[2] / "predict.py"
    given = [f"--workdir={tmp_path}", f"--input={tmp_path}", f"--output={tmp_path / 'out'}"]
    done = run_script(script, *given)
    assert (done.returncode, done.stdout) == (1, "")
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"error: {tmp_path} is neither a workdir")
    assert not (tmp_path / "out").exists()


def test_an_empty_batch_is_refused(bright):
    with pytest.raises(ValueError, match=r"batch_size=0 must be at least 1"):
        BatchRunner(bright(), 0)
