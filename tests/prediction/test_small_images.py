"""Many small images done together, against the same images done one by one."""

import json

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from jaxnuc.outputs.formats import tiff
from jaxnuc.prediction.batches import WAITING, BatchRunner
from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.predict import predict

OPTIONS = DEFAULT.replace(
    formats=("csv", "tiff"), patch=128, overlap=32, tile=256, workers=0, progress=False
)
SHAPES = [(60, 70), (90, 60), (200, 100), (60, 60), (300, 90), (200, 250), (70, 70), (100, 120)]


def test_patches_of_several_shapes_have_the_maps_of_single_images(predictor):
    rng = np.random.default_rng(0)
    shapes = [(64, 64), (64, 128), (128, 64)] * 3 + [(64, 64)] * 5 + [(192, 64)]
    patches = [(k, rng.integers(0, 256, (*s, 3), np.uint8)) for k, s in enumerate(shapes)]
    found = {number: maps for number, maps, _ in BatchRunner(predictor, 4)(iter(patches))}
    for number, image in patches:
        for name, expected in predictor.maps(image).items():
            np.testing.assert_allclose(found[number][name], expected, atol=1e-4)
    order = [k for k in found if shapes[k] == (64, 64)]
    assert order == sorted(order)


def test_patches_do_not_wait_for_others_without_end(bright):
    """Of a stream of many shapes, few patches are held."""
    taken = []

    def stream():
        for k in range(1, 40):
            taken.append(k)
            yield k, np.zeros((k, 8, 3), np.uint8)

    runner = BatchRunner(bright(), 2)
    for done, _ in enumerate(runner(stream())):
        # What waits in batches that are not full, and the two that are on the device.
        assert len(taken) - done <= WAITING * 2 + 2 * 2
    assert done == 38


@pytest.mark.slow
def test_many_images_are_those_that_are_done_one_by_one(
    tmp_path, monkeypatch, bright, blobs, damage
):
    folder, apart, together = (tmp_path / name for name in ("in", "apart", "together"))
    folder.mkdir()
    for k, shape in enumerate(SHAPES):
        imsave(folder / f"{k}.png", blobs(shape, seed=k)[0], check_contrast=False)
    tifffile.imwrite(
        folder / "damaged.tif", blobs((128, 128))[0], tile=(64, 64), compression="zlib"
    )
    damage(folder / "damaged.tif", tiles=(1,))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    options = OPTIONS.replace(skip_corrupt=True)
    expected = predict([folder], bright(), apart, options)
    monkeypatch.setattr("jaxnuc.prediction.predict.MANY", 2)
    options = options.replace(workers=1, batch_size=3)

    # What earlier runs have left: an image that is done, and one that was stopped at its files.
    predict([folder / "3.png"], bright(), together, options)
    done = (together / "3.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(tiff.Format, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            predict([folder / "0.png"], bright(), together, options)

    found = predict([folder], bright(), together, options)
    assert [s["path"] for s in found.done] == [s["path"] for s in expected.done]
    assert found.failed == expected.failed
    assert [str(folder / "broken.png")] == [path for path, _ in found.failed]
    assert (together / "3.json").read_bytes() == done
    assert sorted(p.name for p in together.iterdir()) == sorted(p.name for p in apart.iterdir())
    for path in apart.iterdir():
        other = together / path.name
        if path.suffix in (".csv", ".tif", ".jpg") and path.name != "summary.csv":
            assert other.read_bytes() == path.read_bytes(), path.name
        elif path.suffix == ".json":
            one, two = json.loads(path.read_text()), json.loads(other.read_text())
            for summary in (one, two):
                assert min(summary.pop("seconds").values()) >= 0
                del summary["date"]
            assert one == two
    assert json.loads((together / "damaged.json").read_text())["corrupt"]


def test_a_run_that_is_stopped_leaves_nothing_of_images_without_a_result(
    tmp_path, monkeypatch, bright, blobs
):
    for k in range(4):
        imsave(tmp_path / f"{k}.png", blobs((60, 60), seed=k)[0], check_contrast=False)
    monkeypatch.setattr("jaxnuc.prediction.predict.MANY", 2)

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("jaxnuc.prediction.small_images.ordered_map", stopped)
        patched.setattr("jaxnuc.prediction.small_images.assemble", stopped)
        with pytest.raises(KeyboardInterrupt):
            predict([tmp_path], bright(), tmp_path / "out", OPTIONS.replace(workers=1))
    assert not list((tmp_path / "out").glob("*.parts"))
