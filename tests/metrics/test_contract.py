"""What every metric and every protocol must keep, whichever there are."""

import json
import math
import sys

import numpy as np
import pytest

from jaxnuc.metrics import (
    REGISTRY,
    Classes,
    Conventions,
    Evaluation,
    ImagePair,
    Metric,
    Unavailable,
    score_image,
    summarize,
)
from jaxnuc.metrics.base import choose, entry, make
from jaxnuc.metrics.pair import NEEDS
from jaxnuc.metrics.protocols import base as protocols

METRICS = {name: make([name])[0] for name in REGISTRY.names()}
PER_IMAGE = [name for name, metric in METRICS.items() if metric.per_image]
NAMES = ("immune", "tumor")
TISSUES = ("breast", "colon", "breast")

every_metric = pytest.mark.parametrize("name", METRICS)
every_protocol = pytest.mark.parametrize("name", protocols.REGISTRY.names())


def disks(n=8, seed=0):
    """(80, 80) label map of n separate disks with ids 1..n."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((80, 80))
    labels = np.zeros((80, 80), np.int32)
    for k in range(n):
        at = 20 * (k // 4) + 10, 20 * (k % 4) + 10
        labels[np.hypot(rows - at[0], columns - at[1]) < rng.uniform(5, 9)] = k + 1
    return labels


def pair(truth, prediction, conventions=None, *, sure=1.0, wrong=(), tissue="breast", scores=None):
    """A pair with scores and classes: all right but those of the ids that are `wrong`."""
    n = int(prediction.max(initial=0))
    classes = np.arange(n) % 2 + 1
    of_truth = np.append(0, np.arange(int(truth.max(initial=0))) % 2 + 1)[truth]
    for number in wrong:
        classes[number - 1] = 3 - classes[number - 1]
    probabilities = np.full((n, 3), (1 - sure) / 2)
    probabilities[np.arange(n), classes] = sure
    return ImagePair.of(
        truth,
        prediction,
        conventions or Conventions(),
        scores=np.full(n, sure) if scores is None else scores,
        classes=Classes(NAMES, of_truth, classes, probabilities),
        groups={"tissue": tissue},
    )


def figures_of(metric, *images):
    """The figures of a data set, but for group means and numbers of images."""
    summary = summarize([score_image(image, [metric]) for image in images])
    return {name: summary[name] for name in metric.figures()}


def perfect(**options):
    return pair(disks(), disks(), **options)


def worse(amount):
    """Nuclei missed, false, moved, of another class: the more the greater the amount."""
    truth = disks()
    prediction = np.roll(truth, amount, axis=1)
    prediction[np.isin(prediction, range(1, amount + 1))] = 0
    prediction[-6:-1, : 12 * amount] = 9  # a false one, in a free row
    wrong = range(1 + amount, 2 + 2 * amount)
    return pair(truth, prediction, sure=0.9, wrong=wrong)


@every_metric
def test_it_says_what_it_is(name):
    metric = METRICS[name]
    assert metric.name.startswith(name)
    assert metric.title
    assert set(metric.needs) <= set(NEEDS)
    assert metric.per_image or metric.pooled_as
    assert metric.figures() == list(dict.fromkeys(metric.figures()))
    assert (metric.best > metric.worst) == metric.higher_is_better or math.isnan(metric.worst)
    assert make([entry(metric)]) == (metric,)
    assert make([json.loads(json.dumps(entry(metric)))]) == (metric,)


def test_names_are_unique():
    figures = [figure for metric in METRICS.values() for figure in metric.figures(groups=True)]
    assert len(set(figures)) == len(figures)


@every_metric
def test_identical_maps_have_the_best_value(name):
    metric = METRICS[name]
    for figure, value in figures_of(metric, perfect(), perfect()).items():
        assert value == metric.best, figure


@every_metric
def test_a_worse_prediction_is_not_better(name):
    metric = METRICS[name]
    sign = 1 if metric.higher_is_better else -1
    steps = [perfect(), worse(1), worse(2), worse(3)]
    found = [figures_of(metric, image) for image in steps]
    for figure in metric.figures():
        values = [sign * each[figure] for each in found]
        assert values[0] > values[-1], figure
        assert not any(value > values[0] for value in values), figure


@every_metric
def test_permuted_ids_change_nothing(name):
    metric = METRICS[name]
    image = worse(2)
    truth, prediction = image.given.truth, image.given.prediction
    order = np.random.default_rng(0).permutation(np.arange(1, 10))
    renamed = np.append(0, order)[prediction]
    given = image.given.classes
    back = np.argsort(order)
    classes = Classes(NAMES, given.truth, given.prediction[back], given.probabilities[back])
    again = ImagePair.of(truth, renamed, scores=np.full(9, 0.9), classes=classes)
    before, after = figures_of(metric, image), figures_of(metric, again)
    assert after == pytest.approx(before, rel=1e-12)


@every_metric
def test_pooled_figures_of_one_image_are_its_own(name):
    metric = METRICS[name]
    for image in (perfect(), worse(1), worse(3)):
        own = figures_of(metric, image)
        twice = figures_of(metric, image, image)
        assert twice == pytest.approx(own, rel=1e-12)
        if metric.per_image and metric.pooled_as:
            assert own[f"{metric.name}_pooled"] == pytest.approx(
                own[f"{metric.name}_image_mean"], rel=1e-12
            )


@every_metric
@pytest.mark.parametrize("rule", ["skip", "nan", "one", "zero"])
def test_rules_for_empty_images(name, rule):
    metric = METRICS[name]
    conventions, nothing = Conventions(empty=rule), np.zeros((80, 80), np.int32)
    empty = score_image(pair(nothing, nothing, conventions), [metric])
    full = score_image(perfect(conventions=conventions), [metric])
    assert empty.empty
    summary = summarize([empty, full])
    assert summary["images_skipped"] == (rule == "skip")
    if metric.per_image:
        value = {"one": metric.best, "zero": metric.worst}.get(rule, math.nan)
        np.testing.assert_equal(empty.values[metric.name], value)
        mean = summary[f"{metric.name}_image_mean"]
        if rule == "nan":
            assert math.isnan(mean)
        elif math.isnan(value):
            assert mean == metric.best
        else:
            assert mean == (metric.best + value) / 2
    for aggregation in metric.pooled_as:  # whatever the rule
        assert summary[f"{metric.name}_{aggregation}"] == metric.best


@every_metric
def test_one_empty_side_is_no_error(name):
    metric, nothing = METRICS[name], np.zeros((80, 80), np.int32)
    for maps in ((disks(), nothing), (nothing, disks())):
        scores = score_image(pair(*maps), [metric])
        assert not scores.empty
        for value in (*scores.values.values(), *summarize([scores]).values()):
            assert not math.isinf(value)
        if metric.per_image and not math.isnan(metric.worst):
            value = scores.values[metric.name]
            assert math.isnan(value) or value == metric.worst


@every_metric
def test_what_it_needs_is_missed_by_name(name):
    metric = METRICS[name]
    whole = perfect()
    bare = ImagePair(whole.table)
    if not metric.needs:
        assert score_image(bare, [metric]).values[metric.name] == metric.best
        return
    with pytest.raises(ValueError, match=f"metric '{metric.name}': needs "):
        score_image(bare, [metric])
    left_out = score_image(bare, [metric], optional=True)
    assert set(left_out.unavailable) == {metric.name}
    assert set(summarize([left_out])) == {"images", "images_skipped"}
    with pytest.raises(ValueError, match="which this data set or network lacks"):
        choose([name], set(NEEDS) - set(metric.needs))


def test_files_hold_every_metric(tmp_path):
    metrics = choose((), NEEDS, "all")
    assert [type(metric) for metric in metrics] == [
        type(METRICS[name]) for name in [metric.name for metric in metrics] if name in METRICS
    ] or len(metrics) == len(METRICS)
    nothing = np.zeros((80, 80), np.int32)
    images = [worse(1), pair(nothing, nothing, tissue="colon"), worse(3), pair(disks(), nothing)]
    groups = [dict(image.groups) for image in images]
    scores = [score_image(image, metrics) for image in images]
    evaluation = Evaluation(list("abcd"), scores, groups)
    summary = evaluation.summary("tissue", level=0.95)
    evaluation.write(tmp_path, summary, {})
    again = Evaluation.read(tmp_path)
    for one, other in zip(again.scores, scores, strict=True):
        np.testing.assert_equal(one.values, other.values)
        np.testing.assert_equal(one.counts, other.counts)
    assert again.metrics == evaluation.metrics == metrics
    np.testing.assert_equal(dict(again.summary("tissue")), dict(evaluation.summary("tissue")))
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert set(report["definitions"]) == {metric.name for metric in metrics}
    figures = {figure for metric in metrics for figure in metric.figures(groups=True)}
    assert set(report["metrics"]) == figures | {"images", "images_skipped"}
    finite = {name for name in figures if math.isfinite(summary[name])}
    assert set(report["intervals"]) == finite
    undefined = {
        metric.name: sum(math.isnan(each.values[metric.name]) for each in scores if not each.empty)
        for metric in metrics
        if metric.per_image
    }
    assert report["undefined_images"] == {name: n for name, n in undefined.items() if n} | {
        name: 1 for name in summary.undefined if name.startswith("nucleus")
    }
    for name, interval in summary.intervals.items():
        assert interval.low <= interval.estimate <= interval.high or math.isnan(interval.low), name


def test_comparisons_hold_every_metric():
    metrics = choose((), NEEDS, "all")
    sides = []
    for amounts in ((1, 2, 1), (0, 1, 2)):
        images = [worse(k) if k else perfect() for k in amounts]
        scores = [score_image(image, metrics) for image in images]
        sides.append(Evaluation(list("abc"), scores, [{}] * 3))
    compared = sides[0].compare(sides[1], resamples=200)
    assert set(compared) == {figure for metric in metrics for figure in metric.figures()}
    for metric in metrics:
        for figure in metric.figures():
            found = compared[figure]
            assert found.higher_is_better == metric.higher_is_better
            assert ("lower is better" in str(found)) != metric.higher_is_better
            assert found.second == pytest.approx(sides[1].summary()[figure], rel=1e-12)


OUTSIDE = '''
"""A metric of somebody else."""
from jaxnuc.metrics import Metric as Base

class Metric(Base):
    title = "Difference of the numbers of nuclei"
    unit = "nuclei"
    higher_is_better = False
    best, worst = 0.0, float("nan")

    def value(self, image):
        return float(abs(len(image.table.truth_ids) - len(image.table.prediction_ids)))

class Other(Base):
    title = "Another"

class NoMetric:
    pass
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    (tmp_path / "their_metrics").mkdir()
    (tmp_path / "their_metrics" / "__init__.py").write_text("")
    (tmp_path / "their_metrics" / "count_error.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [n for n in sys.modules if n.startswith("their_metrics")]:
        del sys.modules[name]


@pytest.mark.usefixtures("outside")
def test_a_metric_from_outside(tmp_path):
    metrics = make(["pq", "their_metrics.count_error", "their_metrics.count_error.Other"])
    assert [metric.name for metric in metrics] == ["pq", "count_error", "other"]
    chosen = metrics[:2]
    scores = [score_image(image, chosen) for image in (perfect(), worse(2))]
    evaluation = Evaluation(["a", "b"], scores, [{}] * 2)
    summary = evaluation.summary(level=0.95)
    assert summary["count_error_image_mean"] == 0.5
    assert "count error (nuclei, lower is better)" in str(summary)
    evaluation.write(tmp_path, summary, {})
    again = Evaluation.read(tmp_path)
    assert again.metrics == chosen
    assert not again.compare(evaluation)["count_error_image_mean"].higher_is_better
    with pytest.raises(ValueError, match="NoMetric' is not derived"):
        make(["their_metrics.count_error.NoMetric"])
    with pytest.raises(ValueError, match=r"unknown metric 'pqq'.*did you mean 'pq'"):
        make(["pqq"])


def test_needs_and_names_are_checked():
    with pytest.raises(ValueError, match=r"unknown need of metric 'wrong' 'masks'.*mean 'maps'"):
        type("Wrong", (Metric,), {"title": "", "needs": ("masks",)})
    first, second = (type("Same", (Metric,), {"title": text})() for text in "ab")
    with pytest.raises(ValueError, match="two metrics are called 'same'"):
        make([first, second])


# ---- protocols ----


def states_of(protocol, *images):
    return [protocol.state(image) for image in images]


def dataset():
    scores = np.random.default_rng(0).random((len(TISSUES), 8))  # no two alike
    return [
        pair(truth, np.roll(truth, k, axis=0), tissue=tissue, wrong=[1], scores=scores[k])
        for k, tissue in enumerate(TISSUES)
        for truth in [disks(seed=k)]
    ]


@every_protocol
def test_a_protocol_says_what_its_figures_stand_for(name):
    (protocol,) = protocols.make([name])
    assert (protocol.name, bool(protocol.title)) == (name, True)
    assert set(protocol.needs) <= set(NEEDS)
    (result,) = protocols.results([protocol], [states_of(protocol, i) for i in dataset()], NAMES)
    names = [figure.name for figure in result.figures]
    assert len(set(names)) == len(names)
    assert all(figure.meaning for figure in result.figures)
    assert sum(len(row) for table in result.tables() for row in table) >= len(names)
    assert json.loads(json.dumps(result.json()))["figures"].keys() == set(names)
    assert protocol.title in str(result)


@every_protocol
def test_a_protocol_does_not_depend_on_the_order_of_images(name):
    (protocol,) = protocols.make([name])
    states = states_of(protocol, *dataset())
    before = {f.name: f.value for f in protocol.figures(states, NAMES)}
    after = {f.name: f.value for f in protocol.figures(states[::-1], NAMES)}
    assert after == pytest.approx(before, rel=1e-12, nan_ok=True)


@every_protocol
def test_a_protocol_refuses_what_it_cannot_score(name):
    (protocol,) = protocols.make([name])
    protocols.check([protocol], NEEDS, Conventions())
    if protocol.fixed:
        with pytest.raises(ValueError, match=f"protocol '{name}' scores whole images"):
            protocols.check([protocol], NEEDS, Conventions(border=0))
    for need in protocol.needs:
        with pytest.raises(ValueError, match=f"protocol '{name}' needs "):
            protocols.check([protocol], set(NEEDS) - {need}, Conventions())
    if "classes" in protocol.needs:
        with pytest.raises(Unavailable, match="needs classes"):
            protocol.state(ImagePair.of(disks(), disks()))
