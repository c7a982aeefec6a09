"""Classes read at a label set, in files and in evaluations, of a network that is known exactly."""

import csv
import json
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage.io import imsave

import jaxnuc
from jaxnuc.data.normalize import Normalize
from jaxnuc.data.sample import Sample, Source
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.labels import LabelSet, LabelTree
from jaxnuc.outputs import Scene
from jaxnuc.prediction.export import export
from jaxnuc.prediction.options import DEFAULT
from jaxnuc.prediction.predict import predict
from jaxnuc.prediction.predictor import Predictor, TrainedNetwork

TREE = LabelTree.of({"immune": {"lymphocyte": {}, "plasma": {}}, "tumour": {}})
COARSE = LabelSet.of(TREE, {"inflammatory": ["immune"], "malignant": ["tumour"]})
FINE = TREE.level()
# Background, lymphocyte, plasma, tumour: a tumour cell that is rather immune, a sure one, and a
# sure lymphocyte.
KINDS = np.array(
    [[0.1, 0.22, 0.33, 0.35], [0.05, 0.05, 0.05, 0.85], [0.05, 0.8, 0.1, 0.05]], np.float32
)
OPTIONS = DEFAULT.replace(
    formats=("csv", "geojson", "coco"), patch=64, overlap=32, tile=64, workers=0, progress=False
)


def network(label_sets=(FINE, COARSE), name="leaves"):
    """Nuclei are what is bright in the first channel; the second is their class."""

    def forward(variables, images):
        kinds = jnp.log(KINDS)[images[..., 1].astype(int)]
        if name == "groups":
            kinds = jnp.stack([kinds[..., 0], kinds[..., 1], kinds[..., 3]], axis=-1)
        return {"mask": (images[..., :1].astype(jnp.float32) - 127.5) / 8, "class": kinds}

    representation = jaxnuc.representations.create("binary", {"name": name}, label_sets)
    config = jaxnuc.config.default()
    config.classes.name = name
    return Predictor((TrainedNetwork(forward, {}),), representation, Normalize("none"), config)


def image_of(kinds):
    """An image of squares of these kinds, and their label map."""
    image = np.zeros((40, 20 * len(kinds), 3), np.uint8)
    labels = np.zeros(image.shape[:2], np.int32)
    for k, kind in enumerate(kinds):
        square = np.s_[5:15, 20 * k + 5 : 20 * k + 15]
        image[square], labels[square] = (255, kind, 0), k + 1
    return image, labels


@pytest.mark.parametrize("patch", [None, 64])
def test_nuclei_have_the_classes_of_the_label_set(patch):
    image, _ = image_of([0, 1, 1, 0, 0, 1, 0, 1])
    own = jaxnuc.segment(image, network(), patch=patch, overlap=32, tile=64)
    read = jaxnuc.segment(
        image, replace(network(), label_set=COARSE), patch=patch, overlap=32, tile=64
    )
    np.testing.assert_array_equal(own.instances, read.instances)
    kinds = [image[..., 1][own.instances == k][0] for k in range(1, 9)]
    np.testing.assert_array_equal(own.classes, 3)
    np.testing.assert_array_equal(read.classes, np.array([1, 2])[kinds])
    np.testing.assert_allclose(own.class_probabilities, KINDS[kinds], atol=1e-6)
    sums = np.array([[0.1, 0.55, 0.35], [0.05, 0.1, 0.85]])
    np.testing.assert_allclose(read.class_probabilities, sums[kinds], atol=1e-6)


def test_files_name_the_classes_of_the_label_set(tmp_path):
    image, _ = image_of([0, 1, 1, 0, 1])
    imsave(tmp_path / "a.png", image, check_contrast=False)
    predictor = replace(network(), label_set=COARSE)
    report = predict([tmp_path / "a.png"], predictor, tmp_path / "out", OPTIONS)
    assert report.failed == ()
    rows = list(csv.DictReader((tmp_path / "out/a.csv").read_text().splitlines()))
    columns = [key for key in rows[0] if key.startswith("probability_")]
    names = ["background", "inflammatory", "malignant"]
    assert columns == [f"probability_{name}" for name in names]
    assert sorted(row["class_name"] for row in rows) == ["inflammatory"] * 2 + ["malignant"] * 3
    for row in rows:
        expected = {"inflammatory": (0.1, 0.55, 0.35), "malignant": (0.05, 0.1, 0.85)}
        found = [float(row[column]) for column in columns]
        assert found == pytest.approx(expected[row["class_name"]], abs=1e-6)
    colors = Scene("a", (40, 100), class_names=tuple(names))
    for feature in json.loads((tmp_path / "out/a.geojson").read_text())["features"]:
        classification = feature["properties"]["classification"]
        assert classification["color"] == list(colors.color(names.index(classification["name"])))
    coco = json.loads((tmp_path / "out/a.coco.json").read_text())
    assert [c["name"] for c in coco["categories"]] == ["unclassified", *names[1:]]

    (failure,) = predict([tmp_path / "a.png"], network(), tmp_path / "out", OPTIONS).failed
    assert "was made with label_set=[[1, 'inflammatory', ['immune']]" in failure[1]
    assert predict([tmp_path / "a.png"], predictor, tmp_path / "out", OPTIONS).done == report.done


def test_what_cannot_be_read_is_refused():
    groups = network((COARSE,), "groups")
    assert replace(groups, label_set=COARSE).decode.class_names[1:] == COARSE.groups
    with pytest.raises(ValueError, match="'inflammatory' into 'lymphocyte', 'plasma'"):
        replace(groups, label_set=FINE)


def test_an_export_describes_the_map_whatever_is_read(tmp_path):
    pytest.importorskip("flatbuffers")
    predictor = replace(network(), label_set=COARSE)
    about = json.loads((export(predictor, tmp_path / "a") / "model.json").read_text())
    assert about["classes"] == ["background", *FINE.groups]


@dataclass
class Annotated(Source):
    """Images whose nuclei have these kinds and these true classes; kind None: not there."""

    images: tuple[tuple[tuple[int | None, int], ...], ...]
    label_set: LabelSet = COARSE
    name: str = "annotated"

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        kinds, classes = zip(*self.images[index], strict=True)
        _, truth = image_of([0] * len(kinds))
        image, _ = image_of([kind or 0 for kind in kinds])
        for k, kind in enumerate(kinds, 1):
            if kind is None:
                image[truth == k] = 0
        image[25:35, 5:15, 0] = 255  # one that matches nothing
        return Sample(image, truth, np.array([0, *classes])[truth], {"name": f"{index}"})


@pytest.mark.parametrize("workers", [0, 1])
def test_probabilities_of_classes_are_scored_at_the_label_set_of_the_data(tmp_path, workers):
    # There, kind 0 is of class 1 by 0.55, and kind 1 of class 2 by 0.85.
    source = Annotated((((0, 1), (0, 2), (None, 1)), ((1, 2), (1, -1), (0, 0))))
    predictor = replace(network(), label_set=FINE)  # which the data overrule
    options = EvaluationOptions(overlays=0, progress=False, workers=workers)
    figures = evaluate(predictor, source, options, output=tmp_path)
    error, brier = (2 * 0.05 + 0.15) / 3, (0.45**2 + 0.55**2 + 0.15**2) / 3
    assert figures["class_calibration_error_pooled"] == pytest.approx(error, abs=1e-6)
    assert figures["class_brier_pooled"] == pytest.approx(brier, abs=1e-6)
    assert "class_brier_pooled" in figures.intervals
    assert figures["calibration_error_pooled"] != pytest.approx(error, abs=1e-3)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert list(report["classes"]) == list(COARSE.groups)
    found = report["class_calibration"]
    assert found["expected_error"] == figures["class_calibration_error_pooled"]
    assert [b["count"] for b in found["bins"]] == [0] * 5 + [2, 0, 0, 1, 0]
    assert [b["precision"] for b in found["bins"] if b["count"]] == [0.5, 1]
    assert (tmp_path / "class_calibration.csv").read_text().count("\n") == 11
    with Image.open(tmp_path / "class_calibration.png") as picture:
        assert picture.size == (700, 850)
    page = (tmp_path / "report.html").read_text()
    assert page.count("Calibration of the classes") >= 1
    assert page.count("Calibration of the scores") >= 1


def test_nuclei_labeled_at_a_coarser_level_count_as_nuclei_and_in_no_class():
    levels = LabelSet.of(TREE, {x: [x] for x in ("immune", "plasma", "tumour")})
    # Immune is coarser than the finest groups, plasma and tumour: right or wrong, it is ignored.
    source = Annotated((((0, 1), (1, 1), (0, 2)), ((1, 3), (1, 2), (None, 1))), levels)
    options = EvaluationOptions(metrics=("pq", "mpq", "class_accuracy"), overlays=0, progress=False)
    found = evaluate(network(), source, options)
    # Kind 0 is rather a tumour than a plasma cell, as kind 1 is: right is one of three.
    assert found["class_accuracy_pooled"] == pytest.approx(1 / 3)
    assert [row["true_nuclei"] for row in found.classes] == [2, 1]
    tp, fp, fn = 5, 2, 1
    assert found["pq_pooled"] == pytest.approx(tp / (tp + (fp + fn) / 2))
    # Tumour: one hit, false are two plasma cells, and the two spots that match nothing.
    assert found["mpq_pooled"] == pytest.approx((0 + 1 / (1 + 4 / 2)) / 2)
    # As if what is ignored had been annotated as such.
    finest = Annotated((((0, -1), (1, -1), (0, 1)), ((1, 2), (1, 1), (None, -1))), levels.finest)
    assert dict(evaluate(network(), finest, options)) == dict(found)
    with pytest.raises(ValueError, match="one holds another; take its finest groups"):
        replace(network(), label_set=levels)


def test_a_kind_that_the_data_name_by_a_larger_group_alone_is_no_class():
    levels = LabelSet.of(TREE, {x: [x] for x in ("immune", "plasma", "tumour")})
    source = Annotated((((2, 2), (1, 3), (2, 1)),), levels)
    options = EvaluationOptions(metrics=("pq", "mpq", "class_accuracy"), overlays=0, progress=False)
    found = evaluate(network(), source, options)
    # What is found as a lymphocyte is no plasma cell; tumour is also the spot that matches nothing.
    assert [row["predicted_nuclei"] for row in found.classes] == [0, 2]
    assert found["class_accuracy_pooled"] == 1 / 2
    assert found["mpq_pooled"] == pytest.approx((0 + 1 / (1 + 1 / 2)) / 2)
    assert found["pq_pooled"] == pytest.approx(3 / (3 + 1 / 2))


@pytest.mark.usefixtures("blank_charts")
def test_where_no_class_is_predicted_there_is_no_calibration_of_classes(tmp_path):
    predictor = network()
    predictor = replace(predictor, representation=predictor.representation.base)
    source = Annotated((((0, 1), (0, 2)),))
    options = EvaluationOptions(overlays=0, progress=False)
    figures = evaluate(predictor, source, options, output=tmp_path)
    assert "brier_pooled" in figures
    assert "class_brier_pooled" not in figures
    assert "class_calibration" not in json.loads((tmp_path / "metrics.json").read_text())
    assert "Calibration of the classes" not in (tmp_path / "report.html").read_text()
    with pytest.raises(ValueError, match="predicts no classes"):
        replace(predictor, label_set=COARSE)
