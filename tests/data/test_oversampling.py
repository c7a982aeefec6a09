import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxnuc import labels
from jaxnuc.data.oversampling import class_counts, image_weights, rare_weights, sqrt_weights
from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.sources import mixture

CUT = labels.label_set("superclasses")
COUNTS = arrays(
    np.int64, st.tuples(st.integers(1, 12), st.integers(1, 6)), elements=st.integers(0, 9)
)


class Dots(Source):
    """Image i has `counts[i, k]` nuclei of class k + 1, two pixels each; the rest is ignored."""

    name, label_set = "dots", CUT

    def __init__(self, counts):
        self.counts = np.asarray(counts)

    def __len__(self):
        return len(self.counts)

    def __getitem__(self, index):
        classes = np.repeat(np.arange(1, 5), self.counts[index])
        instances = np.zeros((len(classes) + 1, 4), np.int32)
        instances[:, :2] = np.arange(len(classes) + 1)[::-1, None] * 3 + 3
        class_map = np.zeros_like(instances)
        class_map[:-1, :2] = classes[:, None]
        class_map[-1, :2] = -1
        image = np.zeros((*instances.shape, 3), np.uint8)
        return Sample(image, instances, class_map, {"name": str(index), "mpp": 0.25})


def test_counts_nuclei_by_class():
    counts = [[3, 0, 1, 0], [0, 0, 0, 0], [1, 7, 0, 2]]
    np.testing.assert_array_equal(class_counts(Dots(counts)), counts)


@settings(max_examples=60, deadline=None)
@given(COUNTS)
def test_sqrt_weights_by_the_definition(counts):
    totals = counts.sum(axis=0)
    weights = sqrt_weights(counts)
    for row, weight in zip(counts, weights, strict=True):
        own = [np.sqrt(totals.sum() / totals[k]) for k in range(len(totals)) if row[k]]
        everything = [np.sqrt(totals.sum() / t) for t in totals if t]
        np.testing.assert_allclose(weight, max(own) if own else min(everything, default=1))


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.integers(1, 4), st.floats(0, 3))
def test_rare_weights_by_the_definition(counts, rarest, extra):
    n, totals = len(counts), counts.sum(axis=0)
    # Additional draws, class by class; ties among classes go to the first.
    rare = sorted((k for k in range(len(totals)) if totals[k]), key=lambda k: totals[k])[:rarest]
    expected = np.ones(n)
    shares = {k: np.sqrt(1 / totals[k]) for k in rare}
    for k in rare:
        limit = np.quantile([c for c in counts[:, k] if c], 0.99)
        squares = np.array([min(c, limit) ** 2 for c in counts[:, k]])
        expected += extra * n * shares[k] / sum(shares.values()) * squares / squares.sum()
    weights = rare_weights(counts, rarest, extra)
    np.testing.assert_allclose(weights, expected, rtol=1e-9)
    np.testing.assert_allclose(weights.sum(), n * (1 + extra) if rare else n)


def test_a_balanced_stream_sees_rare_classes_as_often_as_weighed():
    counts = np.zeros((40, 4), int)
    counts[:, 0], counts[3, 1] = 10, 4
    source = mixture.Source([Dots(counts)], balance=["sqrt"], seed=2)
    drawn = np.bincount([int(source[i].meta["name"]) for i in range(40 * 50)], minlength=40)
    weights = np.where(np.arange(40) == 3, np.sqrt(404 / 4), np.sqrt(404 / 400))
    # An epoch holds each image as often as its share of 40 draws, rounded.
    share = 40 * weights / weights.sum()
    assert (np.abs(drawn - 50 * share) <= 5 * 0.5 * np.sqrt(50)).all()
    assert drawn[3] >= 50 * np.floor(share[3])
    rare = mixture.Source([Dots(counts)], balance=[{"name": "rare", "rarest": 1, "extra": 0.5}])
    drawn = np.bincount([int(rare[i].meta["name"]) for i in range(40 * 50)], minlength=40)
    assert abs(drawn[3] - 50 * 40 * 21 / 60) <= 5 * 0.5 * np.sqrt(50)


def test_by_name():
    dots = Dots([[1, 0, 0, 0], [1, 1, 0, 0]])
    np.testing.assert_allclose(image_weights(dots, "sqrt"), [np.sqrt(1.5), np.sqrt(3)])
    by_mapping = image_weights(dots, {"name": "rare", "extra": 0.0})
    np.testing.assert_array_equal(by_mapping, [1, 1])


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        ("squareroot", "unknown balance 'squareroot'; known: rare, sqrt"),
        ({"extra": 2.0}, "a balance needs a 'name'"),
        (2, "balance=2: a name or a mapping is expected"),
        ({"name": "rare", "rare": 2}, "did you mean 'rarest'"),
        ({"name": "sqrt", "extra": 2}, "unknown argument of balance 'sqrt'"),
        ({"name": "rare", "rarest": 0}, "rarest=0"),
        ({"name": "rare", "extra": -1}, "extra=-1"),
    ],
)
def test_refuses(balance, message):
    with pytest.raises(ValueError, match=message):
        image_weights(Dots([[1, 1, 0, 0]]), balance)


def test_refuses_sources_without_classes_or_end():
    class Bare(Dots):
        label_set = None

    class Endless(Dots):
        endless = True

    class Forgotten(Dots):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return Sample(sample.image, sample.instances, None, sample.meta)

    for kind, message in (
        (Bare, "no classes to balance"),
        (Endless, "endless"),
        (Forgotten, "image '0' has no classes"),
    ):
        with pytest.raises(ValueError, match=message):
            class_counts(kind([[1, 0, 0, 0]]))
