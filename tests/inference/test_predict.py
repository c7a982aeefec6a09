"""Image files in, files of nuclei out: tiled as whole, killed and resumed, sharded, corrupt."""

import csv
import json
import signal
import subprocess
import sys
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
from jaxnuc.inference.batches import Batches
from jaxnuc.inference.predict import Options, predict
from jaxnuc.inference.predictor import Network, Predictor, make_predictor

OPTIONS = Options(formats=("csv", "tiff"), patch=64, overlap=32, tile=64, workers=0, progress=False)


def bright(margin=0, normalize="none", threshold=127.5, forward=None):
    """A network that sees one pixel: nuclei are what is brighter than 127 in the first channel."""

    def brighter(variables, images):
        size = images.shape[1] - margin
        first = margin // 2
        inner = images[:, first : first + size, first : first + size, :1]
        return {"mask": (inner.astype("float32") - variables["threshold"]) / 8}

    binary = jaxnuc.representations.create("binary")
    config = jaxnuc.config.default()
    network = Network(forward or brighter, {"threshold": np.float32(threshold)})
    return Predictor((network,), binary, Normalize(normalize), config, margin)


def blobs(shape, seed=0, radius=6, distance=18):
    """Bright discs with a gap between them on a dark image, (H, W, 3), and their label map."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for row in range(radius, shape[0], distance):
        for col in range(radius, shape[1], distance):
            at = row + rng.integers(-2, 3), col + rng.integers(-2, 3)
            mask |= (rows - at[0]) ** 2 + (cols - at[1]) ** 2 < rng.integers(3, radius) ** 2
    image = np.where(mask[..., None], 200, rng.integers(0, 90, (*shape, 3))).astype(np.uint8)
    return image, ndimage.label(mask)[0]


def same_partition(found, expected):
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    np.testing.assert_array_equal(found > 0, expected > 0)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def labels(folder, name):
    return tifffile.imread(folder / f"{name}.labels.tif")


def test_tiles_find_what_one_pass_finds_at_every_offset():
    image, expected = blobs((150, 210))
    assert expected.max() > 60
    sizes = {"patch": 64, "overlap": 32}
    for tile, offset in ((64, (0, 0)), (128, (32, 64)), (192, (96, 128)), (256, (0, 32))):
        for margin in (0, 12):
            predictor = bright(margin)
            found = jaxnuc.segment(image, predictor, tile=tile, offset=offset, **sizes)
            same_partition(found.instances, expected)
            assert len(found.scores) == expected.max()


def test_a_nucleus_longer_than_the_overlap_is_one():
    image = np.zeros((100, 300, 3), np.uint8)
    image[40:48, 10:290] = 255
    image[70:80, 100:110] = 255
    found = jaxnuc.segment(image, bright(), patch=64, overlap=32, tile=64)
    same_partition(found.instances, ndimage.label(image[..., 0])[0])


def test_percentiles_are_those_of_the_whole_image():
    image, expected = blobs((150, 210))
    faint = (image // 8).astype(np.uint8)  # 25 on 0 to 11: found once it is stretched
    faint[:70] = np.where(expected[:70, :, None] > 0, 25, 11)  # no tile up there is like the others
    found = jaxnuc.segment(faint, bright(normalize="percentile"), patch=64, overlap=32, tile=64)
    same_partition(found.instances, expected)
    assert not jaxnuc.segment(faint, bright()).instances.any()


@pytest.fixture(scope="module")
def unet():
    representation = jaxnuc.representations.create("contour")
    model = jaxnuc.models.create(
        "flexible_unet", representation.outputs, variant="small", layers=2, base_filters=4
    )
    variables = model.init(jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))
    config = jaxnuc.config.default()
    return make_predictor(config, model, representation, variables)


@pytest.mark.parametrize("symmetries", [(0,), (3, 6, 1)])
def test_batches_give_the_maps_of_single_images(unet, symmetries):
    predictor = replace(unet, symmetries=symmetries)
    rng = np.random.default_rng(0)
    tiles = [(i, rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for i in range(5)]
    batches = Batches(predictor, size=2)
    found = list(batches(iter(tiles)))
    assert [number for number, _, _ in found] == [0, 1, 2, 3, 4]
    for (_, maps, members), (_, image) in zip(found, tiles, strict=True):
        assert members == ()
        for name, expected in predictor.maps(image).items():
            assert np.ptp(expected) > 0.1
            np.testing.assert_allclose(maps[name], expected, atol=1e-4)
    assert batches.seconds["device"] > 0


def test_files_of_every_format_agree(tmp_path):
    image, expected = blobs((150, 210))
    imsave(tmp_path / "a.png", image, check_contrast=False)
    formats = tuple(jaxnuc.outputs.FORMATS)
    report = predict([tmp_path / "a.png"], bright(), tmp_path, replace(OPTIONS, formats=formats))
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


def test_folders_and_what_cannot_be_read(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, shape in (("one", (1, 1)), ("thin", (3, 1000)), ("small", (30, 40))):
        imsave(folder / f"{name}.png", blobs(shape)[0], check_contrast=False)
    (folder / "broken.png").write_bytes((folder / "thin.png").read_bytes()[:200])
    report = predict([folder], bright(), tmp_path / "out", OPTIONS)
    assert [done["plan"]["image"] for done in report.done] == ["one", "small", "thin"]
    ((path, reason),) = report.failed
    assert path.endswith("broken.png")
    assert "broken.png" in reason
    same_partition(labels(tmp_path / "out", "thin"), blobs((3, 1000))[1])
    assert labels(tmp_path / "out", "one").shape == (1, 1)


def test_a_long_strip(tmp_path):
    image = np.zeros((3, 100_000, 3), np.uint8)
    image[:, 50:99_950:100] = 255
    np.save(tmp_path / "strip.npy", image)
    options = replace(OPTIONS, patch=512, tile=960, formats=("csv",))
    report = predict([tmp_path / "strip.npy"], bright(), tmp_path, options)
    assert report.done[0]["nuclei"] == 999


def test_microns_per_pixel(tmp_path):
    image, expected = blobs((150, 210))
    fine = image.repeat(2, axis=0).repeat(2, axis=1)
    imsave(tmp_path / "a.png", fine, check_contrast=False)
    options = replace(OPTIONS, model_mpp=0.5)
    report = predict([tmp_path / "a.png"], bright(), tmp_path, options)
    assert "give them, as --mpp=" in report.failed[0][1]
    report = predict([tmp_path / "a.png"], bright(), tmp_path, replace(options, mpp=0.25))
    assert report.done[0]["plan"]["scale"] == [2.0, 2.0]
    same_partition(labels(tmp_path, "a"), expected)
    row = next(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert float(row["area_um2"]) == pytest.approx(0.25 * float(row["area"]))


def test_done_images_are_left_and_other_settings_refused(tmp_path):
    image, _ = blobs((150, 210))
    path = tmp_path / "a.png"
    imsave(path, image, check_contrast=False)
    predict([path], bright(), tmp_path, OPTIONS)
    before = (tmp_path / "a.csv").stat().st_mtime_ns
    predict([path], bright(), tmp_path, OPTIONS)
    assert (tmp_path / "a.csv").stat().st_mtime_ns == before
    other = replace(OPTIONS, overlap=0)
    report = predict([path], bright(), tmp_path, other)
    assert "made with overlap=32, now it is 0; take another output folder" in report.failed[0][1]
    dimmer = bright(threshold=60)
    assert "model=" in predict([path], dimmer, tmp_path, OPTIONS).failed[0][1]
    assert (tmp_path / "a.csv").stat().st_mtime_ns == before
    predict([path], bright(), tmp_path, replace(other, overwrite=True))
    assert (tmp_path / "a.csv").stat().st_mtime_ns > before
    (tmp_path / "a.json").unlink()
    with pytest.raises(FileExistsError, match=r"a\.csv exists; replace it with --overwrite"):
        predict([path], bright(), tmp_path, OPTIONS)


KILLED = """
import os, signal
from dataclasses import replace
from pathlib import Path
import jaxnuc.inference.parts as parts
from {module} import OPTIONS, bright, predict
save, rows = parts.Parts.save, []
def saved(self, row):
    save(self, row)
    rows.append(row)
    if len(rows) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
parts.Parts.save = saved
predict([Path({image!r})], bright(), {output!r}, OPTIONS)
"""


def test_killed_and_resumed_is_as_uninterrupted(tmp_path):
    image, expected = blobs((250, 210))
    path, here = tmp_path / "a.png", tmp_path / "killed"
    imsave(path, image, check_contrast=False)
    code = KILLED.format(module="test_predict", image=str(path), output=str(here))
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{code}"
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sorted(p.name for p in here.glob("*.parts/row_*")) == [
        "row_000000.npz",
        "row_000001.npz",
    ]
    predict([path], bright(), here, OPTIONS)
    predict([path], bright(), tmp_path / "whole", OPTIONS)
    for name in ("a.csv", "a.labels.tif"):
        assert (here / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    same_partition(labels(here, "a"), expected)


def test_shards_are_joined_without_the_network(tmp_path):
    image, _ = blobs((250, 210))
    path = tmp_path / "a.png"
    imsave(path, image, check_contrast=False)
    for shard in ((1, 3), (3, 3)):
        report = predict([path], bright(), tmp_path / "a", replace(OPTIONS, shard=shard))
        assert report.done == ()
        assert not (tmp_path / "a" / "a.csv").exists()
    predict([path], bright(), tmp_path / "a", replace(OPTIONS, shard=(2, 3)))

    def refuse(variables, images):
        raise AssertionError("everything is there")

    predict([path], bright(forward=refuse), tmp_path / "a", OPTIONS)
    predict([path], bright(), tmp_path / "b", OPTIONS)
    for name in ("a.csv", "a.labels.tif"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_shards_in_other_folders_are_merged(tmp_path):
    image, _ = blobs((250, 210))
    path = tmp_path / "a.png"
    imsave(path, image, check_contrast=False)
    folders = tmp_path / "one", tmp_path / "two"
    for number, folder in enumerate(folders, 1):
        predict([path], bright(), folder, replace(OPTIONS, shard=(number, 2)))
    merge = replace(OPTIONS, merge=folders)
    report = predict([path], bright(), tmp_path / "merged", merge)
    assert report.done[0]["seconds"]["waiting_for_tiles"] == 0  # nothing was left for the network
    predict([path], bright(), tmp_path / "whole", OPTIONS)
    for name in ("a.csv", "a.labels.tif"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {p.name for p in folders[0].iterdir()} == {"a.parts"}  # as it was
    other = predict([path], bright(), tmp_path / "other", replace(merge, tile=128))
    assert "made with tile=64, now it is 128" in other.failed[0][1]
    missing = replace(OPTIONS, merge=(tmp_path / "three",))
    assert "has no plan.json" in predict([path], bright(), tmp_path / "x", missing).failed[0][1]


def test_a_corrupt_tile_stops_or_is_left_out(tmp_path):
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
    options = replace(OPTIONS, skip_corrupt=True)
    report = predict([path], bright(), tmp_path / "skipped", options)
    (said,) = report.done[0]["corrupt"]
    assert "a.tif: level 0 cannot be decoded in (0, 0, 64, 64)" in said
    white = expected > 0
    white[:64, :64] = True  # as glass, which is a nucleus to this network
    same_partition(labels(tmp_path / "skipped", "a"), ndimage.label(white)[0])


def test_glass_is_left_out(tmp_path):
    slide = np.full((512, 1024, 3), 243, np.uint8)
    slide[100:300, 100:300] = (150, 90, 160)
    np.save(tmp_path / "a.npy", slide)
    seen = []

    def forward(variables, images):
        jax.debug.callback(lambda x: seen.extend(np.asarray(x)), images)
        return {"mask": images[..., :1].astype("float32") - 1000}

    predictor = bright(forward=forward)
    predict([tmp_path / "a.npy"], predictor, tmp_path, replace(OPTIONS, tissue=True, batch_size=1))
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
        ({"formats": ("geojsn",)}, r"'geojsn'; known: .*did you mean 'geojson'"),
    ],
)
def test_options_that_do_not_work(arguments, message):
    with pytest.raises(ValueError, match=message):
        Options(**arguments)


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match=r"batch_size=0 must be at least 1"):
        Batches(bright(), 0)
