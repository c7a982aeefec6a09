"""Figures of a study against what NumPy and literal formulas say; its tables as files."""

import csv
import io
import re

import numpy as np
import pytest
from scipy import stats

from jaxnuc.metrics import score
from jaxnuc.metrics.confidence import holm
from jaxnuc.metrics.evaluation import Evaluation
from jaxnuc.studies import Row, Study, results, seeds, tables
from jaxnuc.studies.runs import EVALUATED
from jaxnuc.studies.runs import plan as make_plan

RUNS = {"a": (0, 1), "b": (0, 1), "c": (0,)}  # repeats that are evaluated


def rectangles(rng, count):
    """A label map of `count` rectangles at random places of a grid."""
    labels = np.zeros((32, 32), np.int32)
    for number, place in enumerate(rng.permutation(16)[:count], 1):
        y, x = divmod(place, 4)
        height, width = rng.integers(4, 9, 2)
        labels[8 * y : 8 * y + height, 8 * x : 8 * x + width] = number
    return labels


def evaluation(seed, images):
    rng = np.random.default_rng(seed)
    scores = [score(rectangles(rng, 6), rectangles(rng, 9)) for _ in images]
    return Evaluation([*images], scores, [{} for _ in images])


@pytest.fixture
def made(tmp_path):
    """A study whose evaluations are there, though nothing was trained; they by row and repeat."""
    rows = [Row(name, "quickstart") for name in RUNS]
    study = Study(
        "A & B",
        rows,
        {"d": {}},
        "a",
        repeats=seeds(2),
        figures=("pq_image_mean", "dice_pooled", "mpq_pooled"),
    )
    plan = make_plan(study, tmp_path)
    found = {}
    for i, row in enumerate(rows):
        for repeat in RUNS[row.name]:
            each = evaluation(10 * i + repeat, [f"image {k}" for k in range(12)])
            folder = plan.evaluation(row, f"seed_{repeat}", "d")
            folder.mkdir(parents=True)
            each.write(folder, each.summary(), {})
            (folder / EVALUATED).write_text("{}")
            found[row.name, repeat] = each
    return plan, found


def test_figures_of_rows(made):
    plan, found = made
    rows = {r.row.name: r for r in results.collect(plan)}
    pq = {key: [s.pq for s in each.scores] for key, each in found.items()}
    for name, repeats in RUNS.items():
        figures = rows[name].figures["d"]
        assert {*figures} == {"pq_image_mean", "dice_pooled"}  # there are no classes
        means = [np.mean(pq[name, r]) for r in repeats]
        spread = figures["pq_image_mean"].spread
        np.testing.assert_allclose(spread.mean, np.mean(means))
        assert spread.runs == len(repeats)
        if len(repeats) > 1:
            np.testing.assert_allclose(spread.std, np.std(means, ddof=1))
        # Over the images, of the means over the runs.
        of_images = np.mean([pq[name, r] for r in repeats], axis=0)
        interval = figures["pq_image_mean"].interval
        np.testing.assert_allclose(interval.estimate, of_images.mean())
        reference = stats.bootstrap(
            (of_images,), np.mean, n_resamples=20_000, random_state=np.random.default_rng(0)
        ).confidence_interval
        np.testing.assert_allclose(interval[1:3], reference, atol=0.004)
        # Pooled counts of all runs are one sum.
        tp, fp, fn = (
            sum(each.counts()[key] for (n, _), each in found.items() if n == name)
            for key in ("pixel_tp", "pixel_fp", "pixel_fn")
        )
        pooled = figures["dice_pooled"].interval.estimate
        np.testing.assert_allclose(pooled, 2 * tp / (2 * tp + fp + fn))


def test_comparisons_take_the_repeats_that_both_have(made):
    plan, found = made
    rows = {r.row.name: r for r in results.collect(plan)}
    assert rows["a"].figures["d"]["pq_image_mean"].comparison is None
    pq = {key: np.array([s.pq for s in each.scores]) for key, each in found.items()}
    pairs = {
        "b": ((pq["a", 0] + pq["a", 1]) / 2, (pq["b", 0] + pq["b", 1]) / 2),
        "c": (pq["a", 0], pq["c", 0]),
    }
    p_values = {}
    for name, (first, second) in pairs.items():
        comparison = rows[name].figures["d"]["pq_image_mean"].comparison
        np.testing.assert_allclose(comparison.difference, np.mean(second - first))
        # All 4,096 swaps.
        signs = np.array(np.meshgrid(*[[-1, 1]] * 12)).reshape(12, -1)
        extreme = np.abs(signs.T @ (second - first)) >= abs((second - first).sum()) - 1e-12
        np.testing.assert_allclose(comparison.p_value, extreme.mean())
        p_values[name] = comparison.p_value
    smaller, larger = sorted(p_values, key=p_values.__getitem__)
    corrected = {n: rows[n].figures["d"]["pq_image_mean"].p_value for n in p_values}
    assert corrected[smaller] == min(1, 2 * p_values[smaller])
    assert corrected[larger] == max(corrected[smaller], p_values[larger])


def test_holm_is_the_step_down_procedure():
    """Against its definition: hypotheses are rejected in order, until one is not."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.uniform(0, 0.2, 6)
        corrected = holm([*p[:3], np.nan, *p[3:]])
        assert np.isnan(corrected.pop(3))
        for level in np.linspace(0.001, 0.3, 20):
            rejected = set()
            for rank, i in enumerate(np.argsort(p)):
                if p[i] > level / (6 - rank):
                    break
                rejected.add(int(i))
            assert {i for i, each in enumerate(corrected) if each <= level} == rejected


def test_several_runs_are_one_evaluation():
    """Folds: each image belongs to one run; seeds: images are the same in all."""
    one, two = evaluation(0, ["x", "y"]), evaluation(1, ["z"])
    folds = Evaluation.over_runs([one, two])
    assert folds.names == ["x", "y", "z"]
    assert [s.pq for s in folds.scores] == [s.pq for s in (*one.scores, *two.scores)]
    assert folds.counts() == {k: v + two.counts()[k] for k, v in one.counts().items()}
    again = Evaluation.over_runs([one, one])
    assert dict(again.summary())["pq_pooled"] == dict(one.summary())["pq_pooled"]
    with pytest.raises(ValueError, match="no runs"):
        Evaluation.over_runs([])


def test_tables(made):
    plan, _ = made
    found = results.collect(plan)
    study, first = plan.study, found[0].figures["d"]["pq_image_mean"]
    cell = f"{first.spread.text()} ["
    text = tables.markdown(study, found)
    lines = [line for line in text.splitlines() if line.startswith("| a |")]
    assert lines[0].startswith(f"| a | 2 | {cell}")
    assert lines[0].endswith("| – |  |")  # no figure by class
    assert lines[1] == "| a | – | – | – | – |"  # nothing was trained
    assert {line.count("|") for line in text.splitlines() if line.startswith("| c ")} == {9, 6}
    latex = tables.latex(study, found)
    assert r"\caption{A \& B: d}" in latex
    assert cell.replace("±", r"$\pm$") in latex
    assert latex.count(r"\\" + "\n") == 2 * 4
    rows = list(csv.DictReader(io.StringIO(tables.csv(study, found))))
    assert [row["row"] for row in rows] == [n for n in RUNS for _ in study.figures]
    np.testing.assert_equal(float(rows[0]["mean"]), first.spread.mean)
    assert rows[2]["runs"] == "0"
    assert rows[2]["mean"] == "nan"
    page = tables.report(study, found).decode()
    assert page.count("<svg") == 0  # the last figure of the study is the one that is missing
    assert "A &amp; B" in page
    assert re.search("corrected by Holm for 2 comparisons", page)
