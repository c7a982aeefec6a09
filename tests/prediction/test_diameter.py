"""The typical diameter of the nuclei of an image, and images brought to that of the training."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from skimage.io import imsave
from skimage.measure import label

import jaxnuc
from jaxnuc.data.normalize import Normalize
from jaxnuc.data.sample import Sample
from jaxnuc.io import ArrayImage
from jaxnuc.metrics import score
from jaxnuc.postprocess.masks import Mask, paint
from jaxnuc.prediction.diameter import Estimate, agreed, estimate_diameter
from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.predict import predict
from jaxnuc.prediction.segment import SizedPredictor
from jaxnuc.prediction.sized import resized, resized_labels
from jaxnuc.representations import Nuclei

TRAINED = 20


@pytest.fixture
def sizing(bright):
    """A network for discs of 20 px, which finds them at every size."""
    network = bright()
    config = network.config.copy_and_resolve_references()
    config.data.transforms = (f"crop_at_diameter(128, {TRAINED})",)
    return replace(network, config=config)


def discs(diameter, shape=(300, 340)):
    """Bright discs of one diameter with a dark image about them, and their label map."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    step = 2 * diameter
    inside = np.hypot(rows % step - diameter, cols % step - diameter) < diameter / 2
    cells = rows // step * (shape[1] // step + 1) + cols // step + 1
    image = np.where(inside[..., None], 220, 10).astype(np.uint8).repeat(3, -1)
    return image, np.where(inside, cells, 0).astype(np.int32)


@pytest.mark.parametrize("diameter", [5, 9, 20, 50, 110])
def test_estimates_the_diameter(sizing, diameter):
    image, _ = discs(diameter, (500, 640))
    assert sizing.diameter_of(ArrayImage(image)) == pytest.approx(diameter, rel=0.15)


@pytest.mark.parametrize(("diameter", "windows"), [(0, 6), (20, 2), (70, 2)])
def test_sees_no_more_windows_than_it_takes_for_two_to_agree(diameter, windows):
    """Of discs of 70 px the first window shows them at 70 px, the next one at 17.5."""
    shown = []

    def find(pixels):
        shown.append(pixels)
        instances = label(pixels[..., 0] > 100).astype(np.int32)
        return Nuclei(instances, None, np.ones(instances.max(), np.float32))

    image = discs(diameter, (700, 800))[0] if diameter else np.zeros((700, 800, 3), np.uint8)
    found = estimate_diameter(ArrayImage(image), find, TRAINED, Normalize("none"))
    assert found == (pytest.approx(diameter, rel=0.1) if diameter else None)
    assert len(shown) == windows


def test_an_image_without_nuclei_has_none_and_is_left_as_it_is(sizing):
    image = ArrayImage(np.zeros((90, 80, 3), np.uint8))
    assert sizing.diameter_of(image) is None
    assert sizing.view(image) is image


@pytest.mark.parametrize(("framed", "color"), [((60, 60), 0), ((0, 120), 0), ((3, 200), 255)])
def test_a_frame_has_no_part_in_the_estimate(sizing, framed, color):
    """Its edge is the steepest place of the image, and a piece of it is found as one object."""
    image, _ = discs(30)
    image = np.pad(image, (framed, framed, (0, 0)), constant_values=color)
    assert sizing.diameter_of(ArrayImage(image)) == pytest.approx(30, rel=0.15)


@pytest.mark.parametrize(("score", "expected"), [(0.9, 20), (0.8, None)])
def test_no_estimate_where_nothing_looks_like_nuclei(score, expected):
    """The noise of an empty field is found at one magnification or other, but never surely."""
    image, _ = discs(20)

    def find(pixels):
        instances = label(pixels[..., 0] > 100).astype(np.int32)
        return Nuclei(instances, None, np.full(instances.max(), score, np.float32))

    found = estimate_diameter(ArrayImage(image), find, TRAINED, Normalize("none"))
    assert found == (None if expected is None else pytest.approx(expected, rel=0.1))


def test_an_image_whose_size_is_unknown_is_told(tmp_path, sizing):
    rng = np.random.default_rng(0)
    imsave(tmp_path / "a.png", rng.integers(0, 256, (90, 90, 3)).astype(np.uint8))
    options = DEFAULT.replace(patch=64, overlap=32, tile=64, workers=0, progress=False)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("jaxnuc.prediction.predictor.estimate_diameter", lambda *_: None)
        (done,) = predict([tmp_path / "a.png"], sizing, tmp_path / "out", options).done
    assert done["settings"]["diameter_px"] == TRAINED
    assert done["nuclei"]
    assert any("nothing in the image gave a size" in line for line in done["doubts"])


def test_small_images_are_not_seen_so_small_that_they_are_nuclei_themselves(sizing):
    """A window would show the mirrored image again and again."""
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 2, (20, 20)), np.ones((4, 4))) * 250
    shapes = []
    seen = replace(sizing, diameter="auto")
    for side in (16, 40, 80):
        part = image[:side, :side].astype(np.uint8)
        found = seen.diameter_of(ArrayImage(part))
        shapes.append(seen.view(ArrayImage(part)).shape[0])
        assert found is None or found < side
    assert min(shapes) >= 16


def test_the_value_on_which_most_estimates_agree():
    assert agreed([]) is None
    lone, some = Estimate(5, 1.0), [Estimate(d, 0.5) for d in (28, 30, 32)]
    assert agreed([lone, *some]) == pytest.approx(30, rel=0.02)
    assert agreed([lone, Estimate(30, 0.5)]) == pytest.approx(5, rel=0.01)


@pytest.mark.parametrize("diameter", [8, 60])
def test_an_image_is_seen_at_the_diameter_of_the_training(sizing, diameter):
    image, labels = discs(diameter)
    for found in (sizing(image), SizedPredictor(sizing)(image), jaxnuc.segment(image, sizing)):
        assert found.instances.shape == labels.shape
        assert score(labels, found.instances).pq > 0.8
    view = sizing.view(ArrayImage(image))
    assert view.shape[0] == pytest.approx(300 * TRAINED / diameter, rel=0.15)


def test_a_diameter_is_taken_as_it_is_given_and_off_leaves_the_image(sizing, bright):
    image = ArrayImage(discs(40)[0])
    assert replace(sizing, diameter=40).view(image).shape == (150, 170)
    assert replace(sizing, diameter="off").view(image) is image
    assert bright().view(image) is image  # not trained at one diameter


def test_refuses_a_diameter_that_is_none(sizing, bright):
    with pytest.raises(ValueError, match="diameter=-3: a number of pixels above 0"):
        replace(sizing, diameter=-3)
    with pytest.raises(ValueError, match=r"unknown diameter 'outo'.*did you mean 'auto'"):
        replace(sizing, diameter="outo")
    with pytest.raises(ValueError, match="diameter=30, but at which diameter"):
        replace(bright(), diameter=30)


@pytest.mark.parametrize("diameter", [0.5, 1300])  # microns; a slip of the key
def test_refuses_to_enlarge_or_shrink_an_image_without_end(tmp_path, sizing, diameter):
    image = discs(20)[0]
    told = r"a diameter of [\d.]+ pixels; this network takes 1\.25 to 1280, in pixels"
    with pytest.raises(ValueError, match=told):
        replace(sizing, diameter=diameter)(image)
    imsave(tmp_path / "a.png", image)
    results = predict([tmp_path / "a.png"], replace(sizing, diameter=diameter), tmp_path / "out")
    assert "1.25 to 1280" in results.failed[0][1]


def test_refuses_microns_per_pixel_of_a_model_that_nothing_is_sized_by(tmp_path, sizing):
    imsave(tmp_path / "a.png", discs(20)[0])
    options = DEFAULT.replace(model_mpp=0.25)
    with pytest.raises(ValueError, match=r"--model-mpp\), but images are sized by their nuclei"):
        predict([tmp_path / "a.png"], sizing, tmp_path / "out", options)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file; the output is a folder"):
        predict([tmp_path / "a.png"], sizing, tmp_path / "file")


def test_files_of_an_image_are_in_its_own_pixels(tmp_path, sizing):
    image, labels = discs(45)
    imsave(tmp_path / "a.png", image, check_contrast=False)
    options = DEFAULT.replace(
        formats=("tiff", "csv"), patch=128, overlap=32, tile=128, workers=0, progress=False
    )
    (done,) = predict([tmp_path / "a.png"], sizing, tmp_path / "out", options).done
    found = tifffile.imread(tmp_path / "out" / "a.labels.tif")
    assert found.shape == labels.shape
    assert score(labels, found).pq > 0.85
    assert done["settings"]["shape"] == [300, 340]
    assert done["settings"]["diameter_px"] == pytest.approx(45, rel=0.1)
    assert done["statistics"]["median_area_px"] == pytest.approx(np.pi * 22.5**2, rel=0.1)
    assert not done["doubts"]


def test_a_finished_image_is_not_estimated_again(tmp_path, sizing, monkeypatch):
    imsave(tmp_path / "a.png", discs(30)[0], check_contrast=False)
    options = DEFAULT.replace(formats=("csv",), workers=0, progress=False)
    predict([tmp_path / "a.png"], sizing, tmp_path / "out", options)
    with monkeypatch.context() as patched:
        patched.setattr(type(sizing), "diameter_of", lambda *_: pytest.fail("estimated again"))
        (done,) = predict([tmp_path / "a.png"], sizing, tmp_path / "out", options).done
    assert done["settings"]["diameter"] == "auto"
    given = replace(sizing, diameter=30.0)
    ((_, reason),) = predict([tmp_path / "a.png"], given, tmp_path / "out", options).failed
    assert "diameter='auto', now it is 30.0" in reason


@pytest.mark.slow
def test_many_images_are_sized_as_one_by_one(tmp_path, sizing, monkeypatch):
    for number, diameter in enumerate((8, 20, 34, 50)):
        imsave(tmp_path / f"{number}.png", discs(diameter)[0], check_contrast=False)
    options = DEFAULT.replace(formats=("csv",), workers=1, progress=False, report=False)
    predict([tmp_path], sizing, tmp_path / "apart", options.replace(workers=0))
    monkeypatch.setattr("jaxnuc.prediction.predict.MANY", 2)
    predict([tmp_path / f"{k}.png" for k in range(4)], sizing, tmp_path / "together", options)
    for number in range(4):
        texts = [
            (tmp_path / folder / f"{number}.csv").read_text() for folder in ("apart", "together")
        ]
        assert texts[0] == texts[1]
        summary = json.loads((tmp_path / "together" / f"{number}.json").read_text())
        assert summary["nuclei"] > 0


def test_nuclei_at_another_size_are_where_they_were():
    labels = np.zeros((6, 8), np.int32)
    labels[1:4, 2:5], labels[4:, 6:] = 1, 2
    masks = (Mask(1, 2, np.ones((3, 3), bool)), Mask(4, 6, np.ones((2, 2), bool)))
    nuclei = Nuclei(labels, None, np.ones(2, np.float32), points=np.ones((2, 2)), masks=masks)
    larger = resized(nuclei, (2.0, 2.0), (12, 16))
    np.testing.assert_array_equal(larger.instances, labels.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(paint(larger.masks, (12, 16)), larger.instances)
    np.testing.assert_array_equal(larger.points, 2 * np.ones((2, 2)))
    back = resized_labels(larger.instances, (0.5, 0.5), (6, 8))
    np.testing.assert_array_equal(back, labels)


def test_thresholds_are_chosen_at_the_size_that_is_seen(sizing):
    from jaxnuc.evaluation.checkpoint import maps_and_truth

    image, labels = discs(40)
    maps, truth = maps_and_truth(replace(sizing, diameter=40), Sample(image, labels))
    assert maps["mask"].shape[:2] == truth.shape == (150, 170)
    assert set(np.unique(truth)) == set(np.unique(labels))
