"""Evaluation reports of a hand-made data set whose scores are known in closed form."""

import csv
import dataclasses
import json
import math
import weakref
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from jaxnuc.data.sample import Sample, Source
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.metrics import STANDARD, Conventions, score, summarize

SIDE = 32
blank_charts = pytest.mark.usefixtures("blank_charts")


def squares(count):
    """`count` separate squares of 16 pixels."""
    instances = np.zeros((SIDE, SIDE), np.int32)
    for index in range(count):
        y, x = divmod(index, 4)
        instances[8 * y + 1 : 8 * y + 5, 8 * x + 1 : 8 * x + 5] = index + 1
    return instances


@dataclass
class HandMade(Source):
    """Image i holds `true[i]` squares; its first pixel says how many of them to find."""

    true: tuple[int, ...]
    found: tuple[int, ...]
    modalities: tuple[str, ...] = ()
    name: str = "hand-made"
    split: str = "test"

    def __len__(self):
        return len(self.true)

    def __getitem__(self, index):
        image = np.full((SIDE, SIDE, 3), 120, np.uint8)
        image[0, 0] = self.found[index]
        meta = {"name": f"folder/image {index}"}
        if self.modalities:
            meta["modality"] = self.modalities[index]
        return Sample(image, squares(self.true[index]), None, meta)

    def scores(self, empty="skip"):
        pairs = zip(self.true, self.found, strict=True)
        return [score(squares(t), squares(f), empty=empty) for t, f in pairs]


def segment(image):
    return SimpleNamespace(instances=squares(int(image[0, 0, 0])))


@pytest.fixture
def source():
    # perfect; one of two found; nothing there and nothing found; one true and one false
    return HandMade((3, 2, 0, 1), (3, 1, 0, 2), ("stained", "gray", "gray", "stained"))


def scored(image, highest=1.0):
    """The squares, with scores that fall from the highest by steps of 0.1."""
    instances = squares(int(image[0, 0, 0]))
    return SimpleNamespace(
        instances=instances, scores=highest - 0.1 * np.arange(instances.max(), dtype=np.float32)
    )


class InTwoSteps:
    """The same segmentation, as a network and its decoding."""

    def maps(self, image):
        return {"count": image[0, 0, 0]}

    def decode(self, maps, shape):
        return scored(np.full((1, 1, 1), maps["count"]))

    def __call__(self, image):
        return self.decode(self.maps(image), image.shape[:2])


def assess(way, source, output=None, **options):
    return evaluate(way, source, EvaluationOptions(progress=False, **options), output=output)


def run(source, output=None, metrics=STANDARD, **options):
    return assess(segment, source, output, metrics=metrics, **options)


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_figures_have_their_closed_form(source):
    figures = run(source)
    assert figures["pq_image_mean"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert figures["pq_pooled"] == pytest.approx(5 / (5 + 1 / 2 + 1 / 2))
    assert figures["dice_image_mean"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert (figures["images"], figures["images_skipped"]) == (4, 1)
    assert dict(figures) == dict(summarize(source.scores()))


@pytest.mark.parametrize(("way", "workers"), [(scored, 1), (InTwoSteps(), 3)])
def test_workers_change_nothing(tmp_path, way, workers):
    source = HandMade((4,) * 9 + (0,), (2, 4, 1, 0, 3, 4, 5, 4, 1, 0), ("a",) * 5 + ("b",) * 5)
    assess(way, source, tmp_path / "0", overlays=0)
    assess(way, source, tmp_path / "n", overlays=0, workers=workers)
    names = sorted(path.name for path in (tmp_path / "0").iterdir())
    assert {"metrics.json", "per_image.csv", "calibration.csv", "calibration.png"} <= set(names)
    assert names == sorted(path.name for path in (tmp_path / "n").iterdir())
    for name in names:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "n" / name).read_bytes()


def test_scores_are_calibrated_against_the_matches(tmp_path):
    # Scores 1 and 0.9, of which the second is always false; and 1 alone, which is right.
    source = HandMade((1, 1, 2), (2, 2, 1))
    figures = assess(scored, source, tmp_path, overlays=0)
    assert figures["calibration_error_pooled"] == pytest.approx(2 / 5 * 0.9)
    assert figures["brier_pooled"] == pytest.approx(2 / 5 * 0.81)
    assert "calibration_error_pooled" in figures.intervals
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["metrics"]["brier_pooled"] == figures["brier_pooled"]
    found = report["calibration"]
    assert found["expected_error"] == figures["calibration_error_pooled"]
    assert found["maximum_error"] == pytest.approx(0.9)
    assert [b["count"] for b in found["bins"]] == [0] * 8 + [2, 3]
    assert [b["precision"] for b in found["bins"]] == [None] * 8 + [0, 1]
    lines = read_csv(tmp_path / "calibration.csv")
    assert [int(line["count"]) for line in lines] == [0] * 8 + [2, 3]
    with Image.open(tmp_path / "calibration.png") as picture:
        assert picture.size == (700, 850)


def test_without_probabilities_there_is_no_calibration(tmp_path):
    source = HandMade((2, 2), (2, 1))
    assess(scored, source, tmp_path, overlays=0)
    assert (tmp_path / "calibration.png").exists()
    high = lambda image: scored(image, highest=3.0)
    for way, why in ((high, "reach from 2.9 to 3;"), (segment, "needs a score of each")):
        figures = assess(way, source, tmp_path, overlays=0)
        assert "brier_pooled" not in figures
        report = json.loads((tmp_path / "metrics.json").read_text())
        assert set(report["not_computed"]) == {"calibration_error", "brier"}
        assert why in report["not_computed"]["brier"]
        assert "calibration" not in report
        assert not list(tmp_path.glob("calibration.*"))  # those of an earlier evaluation are gone


def test_an_error_in_a_worker_names_the_image(source):
    half = lambda image: SimpleNamespace(instances=np.zeros((16, 16), np.int32))
    with pytest.raises(ValueError, match=r"'folder/image 0'.*\(16, 16\).*\(32, 32\)"):
        assess(half, source, workers=2)


@blank_charts
def test_tissues_are_averaged_where_every_sample_has_one(tmp_path):
    source = HandMade((2, 2, 2), (2, 2, 1), ("breast", "breast", "colon"))
    original = source.__class__.__getitem__

    class OfTissues(HandMade):
        def __getitem__(self, index):
            sample = original(self, index)
            sample.meta["tissue"] = sample.meta["modality"]
            return sample

    tissues = OfTissues(source.true, source.found, source.modalities)
    figures = run(tissues, tmp_path)
    assert figures["recall_group_mean"] == (1 + 1 / 2) / 2
    assert "recall_group_mean" not in run(source)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert set(report["conventions"]["aggregation"]) == {"image_mean", "group_mean", "pooled"}


def test_predictions_where_nothing_is_annotated_do_not_count():
    class Partly(HandMade):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            ignore = np.zeros(sample.instances.shape, bool)
            ignore[8:] = True  # all but the first four squares
            return dataclasses.replace(sample, instances=squares(4), ignore=ignore)

    figures = run(Partly((4, 4), (6, 3)))
    assert figures["precision_pooled"] == 1
    assert figures["recall_pooled"] == 7 / 8


@blank_charts
def test_the_report_holds_figures_groups_and_conventions(source, tmp_path):
    figures = run(source, tmp_path / "new" / "folder")
    report = json.loads((tmp_path / "new" / "folder" / "metrics.json").read_text())
    scores = source.scores()
    assert report["metrics"] == dict(figures) == dict(summarize(scores))
    assert report["intervals"]["pq_pooled"] == list(figures.intervals["pq_pooled"][1:3])
    assert (report["source"], report["split"], report["images"]) == ("hand-made", "test", 4)
    assert report["groups"] == {
        "modality": {
            "gray": dict(summarize([scores[1], scores[2]])),
            "stained": dict(summarize([scores[0], scores[3]])),
        }
    }
    conventions = report["conventions"]
    assert conventions["match"] == "one to one, IoU > 0.5"
    assert conventions["images_empty_on_both_sides"].startswith("skip")
    assert set(conventions["aggregation"]) == {"image_mean", "pooled"}


@blank_charts
@pytest.mark.parametrize("empty", ["skip", "one", "zero"])
def test_the_lines_of_the_csv_are_the_scores(source, tmp_path, empty):
    run(source, tmp_path, conventions=Conventions(empty=empty))
    lines = read_csv(tmp_path / "per_image.csv")
    assert [line["name"] for line in lines] == [f"folder/image {i}" for i in range(4)]
    assert [line["modality"] for line in lines] == ["stained", "gray", "gray", "stained"]
    assert [int(line["true_nuclei"]) for line in lines] == [3, 2, 0, 1]
    assert [int(line["predicted_nuclei"]) for line in lines] == [3, 1, 0, 2]
    expected = source.scores(empty)
    read = [[float(line[name]) for name in STANDARD] for line in lines]
    np.testing.assert_array_equal(read, [[s.values[name] for name in STANDARD] for s in expected])
    for line, scores in zip(read_csv(tmp_path / "counts.csv"), expected, strict=True):
        assert {k: float(v) for k, v in line.items() if k != "name"} == scores.counts


@blank_charts
def test_rules_reach_the_scores_and_are_stated(source, tmp_path):
    figures = run(source, tmp_path, conventions=Conventions(0.75, empty="one"))
    assert figures["pq_image_mean"] == pytest.approx((1 + 2 / 3 + 1 + 2 / 3) / 4)
    conventions = json.loads((tmp_path / "metrics.json").read_text())["conventions"]
    assert conventions["match"] == "one to one, IoU > 0.75"
    assert conventions["images_empty_on_both_sides"].startswith("one")


@blank_charts
def test_without_nuclei_the_json_stays_strict(tmp_path):
    figures = run(HandMade((0, 0), (0, 0)), tmp_path)
    assert math.isnan(figures["pq_image_mean"])

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    text = (tmp_path / "metrics.json").read_text()
    assert json.loads(text, parse_constant=refuse)["metrics"]["pq_image_mean"] is None
    assert "modality" not in read_csv(tmp_path / "per_image.csv")[0]


@blank_charts
def test_the_worst_and_the_best_images_are_drawn(tmp_path):
    source = HandMade((4,) * 6, (2, 4, 1, 0, 3, 4))
    run(source, tmp_path, overlays=5)
    values = [scores.pq for scores in source.scores()]
    expected = [
        f"{kind}_{place:02d}_{values[i]:.3f}_folder_image_{i}.png"
        for kind, indices in (("best", (5, 1)), ("worst", (3, 2, 0)))
        for place, i in enumerate(indices, 1)
    ]
    assert sorted(p.name for p in (tmp_path / "overlays").iterdir()) == expected


@blank_charts
def test_few_images_are_drawn_once_and_older_pictures_go(source, tmp_path):
    run(HandMade((4,) * 6, (2, 4, 1, 0, 3, 4)), tmp_path)
    (tmp_path / "overlays" / "notes.txt").write_text("kept")
    run(source, tmp_path)  # of four images one is empty
    names = sorted(p.name for p in (tmp_path / "overlays").iterdir())
    assert [name.split("_")[0] for name in names] == ["best", "notes.txt", "worst", "worst"]
    assert len({name.rpartition("_")[2] for name in names}) == 4
    run(source, tmp_path, overlays=0)
    assert [p.name for p in (tmp_path / "overlays").iterdir()] == ["notes.txt"]


@blank_charts
def test_files_of_an_earlier_evaluation_do_not_stay(source, tmp_path):
    names = ["per_class.csv", "class_calibration.csv", "class_calibration.png"]
    for name in [*names, "notes.txt"]:
        (tmp_path / name).write_text("of another network")
    run(source, tmp_path, overlays=0)  # without classes
    assert {p.name for p in tmp_path.iterdir()}.isdisjoint(names)
    assert (tmp_path / "notes.txt").exists()


@blank_charts
def test_names_of_any_length_and_script_are_drawn(tmp_path):
    class Named(HandMade):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            sample.meta["name"] = "𠀀" * 300
            return sample

    run(Named((4,), (2,)), tmp_path)
    assert len(list((tmp_path / "overlays").iterdir())) == 1


@blank_charts
def test_memory_does_not_grow_with_the_data_set(tmp_path):
    living, most = weakref.WeakSet(), []

    class Watched:
        def __init__(self, instances):
            self.instances = instances

    def watched(image):
        result = Watched(squares(int(image[0, 0, 0])))
        living.add(result)
        most.append(len(living))
        return result

    source = HandMade((4,) * 20, (3,) * 20)
    assess(watched, source, tmp_path, overlays=4)
    assert len(most) == 20 + 4
    assert max(most) <= 2


def test_evaluation_writes_nothing_unless_asked(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(source)
    assert not list(tmp_path.iterdir())


def test_a_wrong_shape_names_the_image(source):
    half = lambda image: SimpleNamespace(instances=np.zeros((16, 16), np.int32))
    with pytest.raises(ValueError, match=r"'folder/image 0'.*\(16, 16\).*\(32, 32\)"):
        assess(half, source)


def test_an_empty_source_and_a_negative_count_are_refused(source):
    with pytest.raises(ValueError, match="'hand-made' has no images"):
        run(HandMade((), ()))
    with pytest.raises(ValueError, match="overlays is -1"):
        run(source, overlays=-1)
