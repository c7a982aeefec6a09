"""Trainings with class maps of several label sets, and with switches decided within the steps."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxnuc.cli.main import main
from jaxnuc.data.packing import pack
from jaxnuc.data.sample import Sample, Source
from jaxnuc.evaluation.checkpoint import Data, evaluate_checkpoint
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.labels import LabelSet, LabelTree
from jaxnuc.metrics.confidence import Interval
from jaxnuc.prediction.predictor import load
from jaxnuc.run.checkpoints import find, read_label_sets
from jaxnuc.run.log import read_log
from jaxnuc.training.loop import train_and_evaluate

TREE = LabelTree.of({"immune": {"dark": {}, "gray": {}}, "tumor": {}})
QUIET = EvaluationOptions(progress=False)
CUTS = {"fine": TREE.level(), "coarse": TREE.level(1)}


@dataclasses.dataclass
class Colored(Source):
    """Images of squares whose brightness tells their leaf, annotated at some cut."""

    name: str
    label_set: LabelSet
    seed: int = 0  # a default, as `Source` has one for `label_set`

    def __len__(self):
        return 8

    def __getitem__(self, index):
        rng = np.random.default_rng((self.seed, index))
        instances = np.zeros((32, 32), np.int32)
        for k in range(4):
            y, x = 16 * (k // 2) + 3, 16 * (k % 2) + 3
            instances[y : y + 10, x : x + 10] = k + 1
        leaves = np.concatenate([[0], rng.integers(1, 4, 4)])
        image = np.array([20, 90, 160, 230], np.uint8)[leaves[instances]]
        image = image[..., None].repeat(3, axis=-1)
        classes = self.label_set.from_leaves(leaves)[instances].astype(np.int32)
        return Sample(image, instances, classes, {"name": f"{index}", "mpp": 0.25})


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A packed data set of each label set."""
    root = tmp_path_factory.mktemp("packed")
    for name, label_set in CUTS.items():
        for seed, split in enumerate(("train", "val", "test")):
            pack(Colored(name, label_set, seed), root / name / split, split)
    return root


def sections(packed):
    return [{"name": "packed", "root": str(packed / name)} for name in CUTS]


def settings(tiny, packed, **changes):
    config = tiny(**{"duration": "240 steps", "evaluation.every": "240 steps", **changes})
    config.data.source = ConfigDict(
        {"name": "mixture", "label_set": "own", "sources": sections(packed)}
    )
    config.data.root = ""
    losses = [{"name": "cross_entropy"}, {"name": "focal_tversky"}]
    config.classes = ConfigDict({"name": "leaves", "loss": losses})
    config.representation = ConfigDict({"name": "binary"})
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 1e-2})
    config.schedule = ConfigDict({"name": "constant"})
    config.model.base_filters = 8
    return config


def test_one_head_learns_from_two_label_sets(tiny, packed, tmp_path):
    train_and_evaluate(settings(tiny, packed, **{"model.layers": 2}), tmp_path)
    assert read_label_sets(find(tmp_path)) == tuple(CUTS.values())
    fine = Colored("fine", CUTS["fine"], 5)
    nuclei = load(tmp_path)(fine[0].image)
    assert nuclei.class_probabilities.shape == (4, 4)

    for name, label_set in CUTS.items():
        root = str(packed / name)
        figures, folder = evaluate_checkpoint(
            tmp_path, data=Data(source="packed", root=root), output=tmp_path / name, options=QUIET
        )
        assert figures["mpq_pooled"] > 0.8
        assert figures["class_accuracy_pooled"] > 0.9
        with (folder / "per_class.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["class"] for row in rows] == list(label_set.groups)
        assert sum(int(row["true_nuclei"]) for row in rows) == 8 * 4
        report = json.loads((folder / "metrics.json").read_text())
        assert list(report["classes"]) == list(label_set.groups)
        assert report["metrics"]["hd95_image_mean"] < 5


def test_several_data_sets_in_one_table(tiny, packed, tmp_path, capsys):
    config = settings(tiny, packed, duration="2 steps")
    config.data.source = ConfigDict(sections(packed)[0])
    train_and_evaluate(config, tmp_path / "run")
    roots = {name: str(packed / name) for name in CUTS}
    calls = [f"--source=packed(root={root!r})" for root in roots.values()]
    squares = "--source=synthetic(size=64, length=3)"
    command = ["evaluate", f"--workdir={tmp_path / 'run'}", "--overlays=0"]

    assert main([*command, calls[0], calls[1]]) == 1
    assert "data set packed is named twice" in capsys.readouterr().err
    assert main([*command, calls[0], squares, f"--root={tmp_path}"]) == 1
    assert "belongs to one data set, and there are 2" in capsys.readouterr().err

    assert main([*command, calls[0], squares]) == 0
    printed = capsys.readouterr().out
    with (tmp_path / "run" / "evaluations.csv").open() as file:
        rows = {(row["data"], row["figure"]): row for row in csv.DictReader(file)}
    for label, call, folder in (
        ("packed", calls[0], "eval_packed_test"),
        ("synthetic(size=64, length=3)", squares, "eval_synthetic_size_64_length_3_test"),
    ):
        report = json.loads((tmp_path / "run" / folder / "metrics.json").read_text())
        alone = tmp_path / "alone" / folder
        assert main([*command, call, f"--output={alone}"]) == 0
        expected = json.loads((alone / "metrics.json").read_text())["metrics"]
        assert report["metrics"] == expected
        assert label in printed.splitlines()[0]
        figure = expected["dice_image_mean"]
        assert float(rows[label, "dice_image_mean"]["value"]) == figure
        shown = Interval(figure, *report["intervals"]["dice_image_mean"], 0.95)
        assert str(shown) in next(x for x in printed.splitlines() if "dice image" in x)


def test_validation_knows_the_classes_of_a_label_set(tiny, packed, tmp_path):
    config = settings(tiny, packed, duration="3 steps")
    config.data.source = ConfigDict(sections(packed)[0])
    config.evaluation.monitor = "mpq_pooled"
    figures = train_and_evaluate(config, tmp_path)
    assert "mpq_image_mean" in figures
    assert not any("/" in name for name in figures)


def test_each_data_set_of_a_mixture_is_validated_and_evaluated_at_its_own_label_set(
    tiny, packed, tmp_path, capsys
):
    config = settings(tiny, packed, duration="50 steps")
    config.evaluation.monitor, config.evaluation.loss = "coarse/mpq_pooled", True
    config.evaluation.every = "25 steps"
    figures = train_and_evaluate(config, tmp_path / "run")
    assert figures["fine/images"] == figures["coarse/images"] == 8
    for name in ("mpq_pooled", "pq_image_mean", "loss"):
        mean = (figures[f"fine/{name}"] + figures[f"coarse/{name}"]) / 2
        assert figures[name] == pytest.approx(mean)
    assert "fine/loss/class/cross_entropy" in figures
    assert not {"images", "loss/class/cross_entropy"} & figures.keys()
    lines = read_log(tmp_path / "run" / "metrics.jsonl")
    monitored = {
        line["step"]: line["validation/coarse/mpq_pooled"]
        for line in lines
        if "validation/coarse/mpq_pooled" in line
    }
    best = max(monitored, key=lambda step: (monitored[step], step))
    assert find(tmp_path / "run", "best").name == str(best)

    # The figures of each set are those of this set alone.
    command = ["evaluate", f"--workdir={tmp_path / 'run'}", "--overlays=0", "--split=val"]
    assert main([*command, "--checkpoint=latest"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["fine", "coarse"]
    for name, label_set in CUTS.items():
        folder = tmp_path / "run" / f"eval_{name}_val"
        report = json.loads((folder / "metrics.json").read_text())
        assert list(report["classes"]) == list(label_set.groups)
        alone, _ = evaluate_checkpoint(
            tmp_path / "run",
            "latest",
            data=Data("val", "packed", str(packed / name)),
            output=tmp_path / name,
            options=QUIET,
        )
        for figure in ("mpq_pooled", "pq_image_mean", "dice_image_mean"):
            assert report["metrics"][figure] == alone[figure]
            assert figures[f"{name}/{figure}"] == pytest.approx(alone[figure], rel=1e-6)
    with pytest.raises(ValueError, match=r"a mixture of fine, coarse.*evaluate_on_several"):
        evaluate_checkpoint(tmp_path / "run", data=Data("val"))


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("consep/pq_pooled", "'consep/pq_pooled': the data sets of the validation are fine, "),
        ("fine/mpk_pooled", "'fine/mpk_pooled' is no figure; there are"),
        ("fine/loss", "'fine/loss' needs the loss of the validation"),
    ],
)
def test_a_monitor_that_a_mixture_does_not_have_is_refused(
    tiny, packed, tmp_path, monitor, message
):
    config = settings(tiny, packed, duration="3 steps")
    config.evaluation.monitor = monitor
    with pytest.raises(ValueError, match=message):
        train_and_evaluate(config, tmp_path / "mixed")


def test_classes_that_cannot_be_read_are_said_so(tiny, packed, tmp_path):
    config = settings(tiny, packed, duration="3 steps")
    config.data.source = ConfigDict(sections(packed)[1])
    config.classes = ConfigDict({"name": "groups"})
    train_and_evaluate(config, tmp_path)
    root = str(packed / "fine")
    figures, folder = evaluate_checkpoint(
        tmp_path, data=Data(source="packed", root=root), output=tmp_path / "out", options=QUIET
    )
    assert "mpq_pooled" not in figures
    assert "pq_pooled" in figures
    report = json.loads((folder / "metrics.json").read_text())
    assert "be split: 'immune'" in report["classes_not_scored"]
    assert not (folder / "per_class.csv").exists()


def test_classes_need_a_source_that_has_some(tiny, tmp_path):
    with pytest.raises(ValueError, match="needs a data set with classes"):
        train_and_evaluate(tiny(classes={"name": "leaves"}), tmp_path)


SWITCHING = {
    "duration": "16 steps",
    "evaluation.every": "16 steps",
    "checkpoint_every": "5 steps",
    "representation": {"name": "binary", "loss": {"name": "dice_boundary"}},
    "schedule": {"name": "constant"},
    "optimizer": {
        "name": "lion_then_sgd",
        "learning_rate": 1e-3,
        "criterion": {"name": "step", "at": "9 steps", "sgd_learning_rate": 0.01},
    },
    "loss_schedule": {
        "name": "self_scheduled",
        "smoothing": "1 steps",
        "window": "1 steps",
        "improvement": 0.9,  # nothing improves so much: the first that may
        "earliest": "4 steps",
        "ramp": "4 steps",
    },
}
EVENTS = {"boundary refinement begins": 4, "Lion gives way to SGD": 9}


def events(workdir):
    lines = read_log(workdir / "metrics.jsonl")
    return {line["event"]: line["step"] for line in lines if "event" in line}


def test_both_switches_are_in_the_log_and_survive_a_restart(tiny, tmp_path, same_run):
    whole = tiny(**SWITCHING)
    train_and_evaluate(whole, tmp_path / "whole")
    assert events(tmp_path / "whole") == EVENTS
    lines = [x for x in read_log(tmp_path / "whole" / "metrics.jsonl") if "learning_rate" in x]
    rates = [x["learning_rate"] for x in lines]
    factors = [x["train/boundary_factor"] for x in lines]
    np.testing.assert_allclose(rates[:9], 1e-3, rtol=1e-5)
    expected = 0.01 * (1 + np.cos(np.pi * np.arange(7) / 7)) / 2
    np.testing.assert_allclose(rates[9:], expected, atol=1e-6)
    np.testing.assert_allclose(factors, [0] * 5 + [0.125, 0.25, 0.375] + [0.5] * 8, atol=1e-6)

    for stop in (7, 12):  # between the switches, and behind both
        cut_off = tmp_path / f"stopped at {stop}"
        with pytest.raises(KeyboardInterrupt):
            train_until(stop, whole, cut_off)
        train_and_evaluate(whole, cut_off)
        same_run(tmp_path / "whole", cut_off)
        assert events(cut_off) == EVENTS


def train_until(stop, config, workdir):
    """Trains and is interrupted when a step is reported."""
    from jaxnuc.training.reporting import Reporter

    original = Reporter.step

    def step(self, number, metrics, images):
        if number == stop:
            raise KeyboardInterrupt
        original(self, number, metrics, images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reporter, "step", step)
        train_and_evaluate(config, workdir)
