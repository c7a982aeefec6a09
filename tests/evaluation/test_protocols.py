"""Published protocols from images to figures, against values of the reference implementations."""

import json
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from jaxnuc.data.sample import Sample, Source
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.evaluation.validate import Monitor, plan_validation
from jaxnuc.labels import LabelSet, LabelTree
from jaxnuc.metrics.average_precision import average_precision
from jaxnuc.metrics.classification import classification_scores, pairs_by_centroid
from jaxnuc.metrics.contingency import contingency_table
from jaxnuc.postprocess.regions import class_votes, regions, relabel
from jaxnuc.representations import Nuclei

pytestmark = pytest.mark.usefixtures("blank_charts")


def labels_of(n):
    """A label set of n classes."""
    return LabelTree.of({f"class {k}": {} for k in range(1, n + 1)}).level()


@dataclass
class Annotated(Source):
    """Images of which the first pixel is the number, with these maps of instances and classes."""

    maps: list = field(default_factory=list)
    tissues: list = field(default_factory=list)
    label_set: LabelSet | None = None
    name: str = "annotated"
    split: str = "test"

    def __len__(self):
        return len(self.maps)

    def __getitem__(self, index):
        instances, classes = self.maps[index]
        image = np.full((*instances.shape, 3), index, np.uint8)
        meta = {"name": f"image {index}"}
        if self.tissues:
            meta["tissue"] = self.tissues[index]
        return Sample(image, instances, classes, meta)


@dataclass(frozen=True)
class Decode:
    """From the number of an image to the nuclei that are predicted in it."""

    maps: tuple
    label_set: LabelSet

    def __call__(self, number, shape):
        instances, classes = self.maps[number]
        instances = relabel(instances)
        n, number_of_classes = int(instances.max(initial=0)), len(self.label_set.groups)
        of_ids = class_votes(instances, classes)[0] if n else np.zeros(0, np.int32)
        probabilities = np.eye(number_of_classes + 1, dtype=np.float32)[of_ids]
        scores = np.random.default_rng(number).random(n).astype(np.float32)
        return Nuclei(instances.astype(np.int32), of_ids, scores, probabilities)

    @property
    def class_names(self):
        return ("background", *self.label_set.groups)

    def at(self, label_set):
        assert label_set == self.label_set
        return self

    def cannot_read(self, label_set):
        return None if label_set == self.label_set else "the classes are others"


@dataclass(frozen=True)
class Known:
    """A segmentation in two steps whose result is known."""

    decode: Decode

    def maps(self, image):
        return int(image[0, 0, 0])

    def __call__(self, image):
        return self.decode(self.maps(image), image.shape[:2])


def run(truth, prediction, n_classes, *names, tissues=(), output=None, **options):
    label_set = labels_of(n_classes)
    source = Annotated(list(truth), list(tissues), label_set)
    segment = Known(Decode(tuple(prediction), label_set))
    chosen = EvaluationOptions(protocols=names, progress=False, overlays=0, **options)
    return evaluate(segment, source, chosen, output=output)


def split_channels(masks):
    """Instances and classes of PanNuke's masks, one channel a class, that do not overlap."""
    instances, classes = np.zeros(masks.shape[:2], np.int32), np.zeros(masks.shape[:2], np.int32)
    for k in range(5):
        channel = relabel(masks[..., k].astype(np.int32))
        instances[channel > 0] = channel[channel > 0] + instances.max()
        classes[channel > 0] = k + 1
    return instances, classes


@pytest.mark.parametrize("workers", [0, 1])
def test_pannuke(golden, workers, tmp_path):
    arrays, values = golden("metrics")
    images = values["pannuke"]["per_image"][:8]  # in the ninth, nuclei of two classes overlap
    truth, prediction = (
        [split_channels(m) for m in arrays[f"pannuke__{s}"][:8]] for s in ("gt", "pred")
    )
    tissues = [image["tissue"] for image in images]
    summary = run(
        truth, prediction, 5, "pannuke", tissues=tissues, workers=workers, output=tmp_path
    )
    (result,) = summary.protocols
    pq = np.array([[float(x) for x in image["pq_per_class"]] for image in images])
    bpq = np.array([float(image["bpq"]) for image in images])
    with np.errstate(invalid="ignore"):
        found, of_tissue = {}, {"mpq": [], "bpq": []}
        for tissue in sorted(set(tissues)):
            own = np.array(tissues) == tissue
            of_images = [np.nanmean(row) for row in pq[own] if np.isfinite(row).any()]
            found[f"mpq/{tissue}"] = np.mean(of_images)
            found[f"bpq/{tissue}"] = np.nanmean(bpq[own])
            for name, each in of_tissue.items():
                each.append(found[f"{name}/{tissue}"])
    for name, each in of_tissue.items():
        found[name] = np.mean(each)
    found |= {f"pq/class {k + 1}": np.nanmean(pq[:, k]) for k in range(5)}
    assert set(found) == {figure.name for figure in result.figures}
    for name, value in found.items():
        assert result[name] == pytest.approx(value, rel=1e-6, abs=1e-12), name
    report = json.loads((tmp_path / "metrics.json").read_text())["protocols"]["pannuke"]
    assert report["figures"]["mpq"] == result["mpq"]
    assert report["meaning"]["mpq"].startswith("PQ, mean over classes")
    assert "Protocol: PanNuke" in (tmp_path / "report.html").read_text()
    assert "mpq" in str(summary)


def conic(golden):
    arrays, values = golden("metrics")
    truth, prediction = (
        [tuple(np.moveaxis(m.astype(np.int32), -1, 0)) for m in arrays[f"conic__{side}"]]
        for side in ("gt", "pred")
    )
    return truth, prediction, values["conic"]


def test_conic(golden):
    truth, prediction, expected = conic(golden)
    summary = run(truth, prediction, 6, "conic")
    (result,) = summary.protocols
    assert result["mpq_plus"] == pytest.approx(expected["mpq_plus"], rel=1e-6)
    assert result["bpq"] == pytest.approx(expected["bpq_mean"], rel=1e-6)
    for k, value in enumerate(expected["pq_plus_per_class"], 1):
        assert result[f"pq_plus/class {k}"] == pytest.approx(value, rel=1e-6)
    # The images are smaller than 224 pixels: all nuclei count.
    true, found = (
        np.array([np.bincount(class_votes(i, c)[0], minlength=7)[1:] for i, c in side])
        for side in (truth, prediction)
    )
    varies = (true != true[0]).any(axis=0)
    total = ((true - true.mean(axis=0)) ** 2).sum(axis=0)[varies]
    r2 = np.zeros(6)
    r2[varies] = 1 - ((true - found) ** 2).sum(axis=0)[varies] / total
    assert result["r2"] == pytest.approx(r2.mean())
    # The metric mpq pools in the same way, but leaves classes out that never occur.
    assert summary["mpq_pooled"] == pytest.approx(
        np.mean([row["pq_pooled"] for row in summary.classes if np.isfinite(row["pq_pooled"])])
    )


def test_hovernet_and_coco(golden):
    truth, prediction, _ = conic(golden)
    hovernet, coco = run(truth, prediction, 6, "hovernet", "coco").protocols
    pairs, tables, scores, of_truth, of_prediction = [], [], [], [], []
    decode = Decode(tuple(prediction), labels_of(6))
    for number, (instances, classes) in enumerate(truth):
        nuclei = decode(number, instances.shape)
        of_truth.append(class_votes(instances, classes)[0])
        of_prediction.append(nuclei.classes)
        scores.append(nuclei.scores)
        tables.append(contingency_table(instances, nuclei.instances))
        points = [regions(each).centroids for each in (instances, nuclei.instances)]
        sides = points[0], of_truth[-1], points[1], of_prediction[-1]
        pairs.append(pairs_by_centroid(*sides, empty_images="reference"))
    expected = classification_scores(pairs, range(1, 7), exhaustive=False)
    assert hovernet["f_d"] == expected.detection_f1
    assert hovernet["accuracy"] == expected.accuracy
    for k, f1 in enumerate(expected.class_f1, 1):
        np.testing.assert_equal(hovernet[f"f_c/class {k}"], f1)
    found = average_precision(
        tables, scores, truth_classes=of_truth, prediction_classes=of_prediction
    )
    assert (found.classes > 0).all()
    for name in ("ap", "ap50", "ap75", "ar"):
        assert coco[name] == pytest.approx(getattr(found, name), rel=1e-12)
    for number, ap in zip(found.classes, found.precision.mean((1, 2)), strict=True):
        np.testing.assert_equal(coco[f"ap/class {number}"], ap)


def test_monusac_knows_ambiguous_regions():
    truth = np.array([[1, 1, 0, 2, 2, 0]]), np.array([[1, 1, 0, -1, -1, 0]])
    found = np.array([[1, 1, 0, 2, 2, 2]]), np.array([[1, 1, 0, 1, 1, 1]])
    (result,) = run([truth], [found], 2, "monusac").protocols
    # A remainder outside of the ambiguous region is a false positive in the challenge only.
    assert result["challenge_pq"] == pytest.approx(1 / 1.5)
    assert result["corrected_pq"] == 1
    assert result["challenge_pq/class 1"] == result["challenge_pq"]


def test_coco_leaves_out_what_lies_on_ignored_nuclei():
    truth = np.array([[1, 1, 0, 2, 2, 0]]), np.array([[1, 1, 0, -1, -1, 0]])
    found = np.array([[1, 1, 0, 2, 2, 0]]), np.array([[1, 1, 0, 1, 1, 0]])
    (result,) = run([truth], [found], 2, "coco").protocols
    assert result["ap"] == pytest.approx(1)
    assert result["ap/class 1"] == pytest.approx(1)
    assert np.isnan(result["ap/class 2"])


def test_what_is_lacking_is_refused_before_anything_runs(monkeypatch):
    maps = [(np.array([[1, 0]]), np.array([[1, 0]]))]

    def never(self, image):
        raise AssertionError("something runs")

    monkeypatch.setattr(Known, "maps", never)
    with pytest.raises(ValueError, match="protocol 'pannuke' needs the tissue of each image"):
        run(maps, maps, 1, "pannuke")
    with pytest.raises(ValueError, match=r"unknown protocol 'panuke'.*did you mean 'pannuke'"):
        run(maps, maps, 1, "panuke")
    plain = Annotated(maps)
    segment = Known(Decode(tuple(maps), labels_of(1)))
    for name in ("conic", "hovernet", "monusac"):
        with pytest.raises(ValueError, match=f"protocol '{name}' needs classes"):
            evaluate(segment, plain, EvaluationOptions(protocols=(name,)))
    with pytest.raises(ValueError, match="metric 'mpq' needs classes of the true"):
        evaluate(segment, plain, EvaluationOptions(metrics=("pq", "mpq")))
    without_scores = lambda image: SimpleNamespace(instances=np.ones(image.shape[:2], int))
    with pytest.raises(ValueError, match="image 'image 0': metric 'brier': needs a score"):
        evaluate(without_scores, plain, EvaluationOptions(metrics=("brier",), progress=False))


class _Config(dict):
    __getattr__ = dict.__getitem__


def validation(monitor, metrics=(), label_set=None, protocols=()):
    maps = [(np.array([[1, 0]]), np.array([[1, 0]]))]
    segment = Known(Decode(tuple(maps), labels_of(2)))
    rules = {"threshold": 0.5, "inclusive": False, "matching": "iou", "empty": "skip"}
    rules["overlapping"] = False
    section = _Config(rules, monitor=monitor, metrics=metrics, protocols=protocols, workers=0)
    config = _Config(evaluation=section)
    source = Annotated(maps, label_set=label_set)
    scorings, monitors = plan_validation(config, segment, source)
    return [metric.name for metric in scorings[""].metrics], monitors[monitor]


def test_the_monitor_has_the_direction_of_its_metric():
    names, monitor = validation("pq_image_mean")
    assert (names[0], names[-1]) == ("dice", "instance_dice")
    assert monitor == Monitor("pq_image_mean", True)
    assert monitor.merit({"pq_image_mean": 0.5}) == 0.5
    names, monitor = validation("hd95_image_mean")  # is computed because it is monitored
    assert names[-1] == "hd95"
    assert not monitor.higher_is_better
    figures = [{"hd95_image_mean": x} for x in (9.0, 4.0, 6.0)]
    assert max(map(monitor.merit, figures)) == -4
    assert monitor.turned(-4) == 4
    assert monitor.merit({"hd95_image_mean": np.nan}) is None


def test_what_is_validated_can_be_chosen():
    assert validation("pq_pooled", ("pq", "boundary_distance"))[0] == ["pq", "boundary_distance"]
    assert validation("dice_pooled", ("pq",))[0] == ["pq", "dice"]
    assert "mpq" in validation("pq_pooled", label_set=labels_of(2))[0]
    assert validation("class_brier_pooled", ("pq",), labels_of(2))[0] == ["pq", "class_brier"]
    with pytest.raises(ValueError, match=r"evaluation\.monitor='mpq_pooled' is no figure"):
        validation("mpq_pooled")


def test_protocols_of_a_configuration_are_checked_before_a_training():
    names, _ = validation("pq_pooled", protocols=("coco",))
    assert names[0] == "dice"
    with pytest.raises(ValueError, match="unknown protocol 'coc'"):
        validation("pq_pooled", protocols=("coc",))
    with pytest.raises(ValueError, match="protocol 'conic' needs classes"):
        validation("pq_pooled", protocols=("conic",))


OUTSIDE = """
from jaxnuc.metrics import Metric as Base
from jaxnuc.metrics.protocols import base

class Metric(Base):
    title = "Difference of the numbers of nuclei"
    higher_is_better = False
    best, worst = 0.0, float("nan")

    def value(self, image):
        return float(abs(len(image.table.truth_ids) - len(image.table.prediction_ids)))

class Protocol(base.Protocol):
    title = "Numbers of nuclei"

    def state(self, image):
        return len(image.table.prediction_ids)

    def figures(self, states, class_names):
        return [base.Figure("nuclei", float(sum(states)), "predicted in all images")]
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_metric_and_a_protocol_from_outside(tmp_path, monkeypatch, workers):
    (tmp_path / "their_counts.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    truth = [(np.array([[1, 0, 2, 0, 3]]), np.array([[1, 0, 1, 0, 1]]))] * 2
    found = [(np.array([[1, 0, 2, 0, 0]]), np.array([[1, 0, 1, 0, 0]])), truth[1]]
    summary = run(
        truth,
        found,
        1,
        "their_counts.Protocol",
        metrics=("pq", "their_counts.Metric"),
        workers=workers,
        output=tmp_path / "out",
    )
    assert summary["their_counts_image_mean"] == 0.5
    assert summary.protocols[0]["nuclei"] == 5
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["arguments"]["metrics"] == ["pq", "their_counts.Metric"]
    assert report["definitions"]["their_counts"]["higher_is_better"] is False
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Difference of the numbers of nuclei (lower is better)" in page
    monkeypatch.delitem(sys.modules, "their_counts")
