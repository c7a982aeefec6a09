"""Figures over folds, against their definitions."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from jaxnuc.data.sample import Sample, Source
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.folds import summarize_folds
from jaxnuc.evaluation.options import EvaluationOptions


class Squares(Source):
    """Image i holds `true[i]` squares; its first pixel says how many of them to find."""

    def __init__(self, true, found, name):
        self.true, self.found, self.name = true, found, name
        self.ids = [f"{name}, {k}" for k in range(len(true))]

    def __getitem__(self, index):
        image = np.full((32, 32, 3), self.found[index], np.uint8)
        return Sample(image, squares(self.true[index]), None, {"name": self.ids[index]})


def squares(count):
    instances = np.zeros((32, 32), np.int32)
    for k in range(count):
        y, x = divmod(k, 4)
        instances[8 * y : 8 * y + 4, 8 * x : 8 * x + 4] = k + 1
    return instances


def segment(image):
    return SimpleNamespace(instances=squares(int(image[0, 0, 0])))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = {}
    for k, (true, predicted) in enumerate([((2, 4, 8), (1, 4, 6)), ((5,), (3,))]):
        folder = found[f"{k}/2"] = tmp_path_factory.mktemp("folds") / f"fold_{k}"
        source = Squares(true, predicted, f"fold {k}")
        options = EvaluationOptions(metrics=("pq",), overlays=0, progress=False)
        evaluate(segment, source, options, output=folder)
    return found


def test_the_spread_over_folds_and_the_figures_of_all_images(folders, tmp_path):
    # k of n separate squares found, and nothing else: PQ is k / (k + (n - k) / 2).
    of_images = [1 / 1.5, 1.0, 6 / 7, 3 / 4]
    folds = np.array([np.mean(of_images[:3]), of_images[3]])
    found = summarize_folds(folders, tmp_path)
    spread = found.spread["pq_image_mean"]
    np.testing.assert_allclose([spread.mean, spread.std], [folds.mean(), folds.std(ddof=1)])
    assert found.pooled["pq_image_mean"] == pytest.approx(np.mean(of_images))
    assert found.pooled["pq_pooled"] == pytest.approx(14 / (14 + 5 / 2))
    rows = {
        row["figure"]: row
        for row in csv.DictReader((tmp_path / "folds.csv").read_text().splitlines())
    }
    row = rows["pq_image_mean"]
    assert list(row) == ["figure", "0/2", "1/2", "mean", "std", "pooled"]
    np.testing.assert_allclose([float(row["0/2"]), float(row["1/2"])], folds)
    assert json.loads((tmp_path / "metrics.json").read_text())["images"] == 4
    assert f"{folds.mean():.4f}" in str(found)


def test_an_image_in_two_folds_is_refused(folders, tmp_path):
    twice = {"0/2": folders["0/2"], "1/2": folders["0/2"]}
    with pytest.raises(ValueError, match="'fold 0, 0' is in the folds 0/2 and 1/2"):
        summarize_folds(twice, tmp_path)
