"""Mixtures: frequencies, epochs, classes, magnification; and that a position fixes a sample."""

import json
from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxnuc import labels
from jaxnuc.data import splits
from jaxnuc.data.orders import Epochs, Shares
from jaxnuc.data.pipeline import batches
from jaxnuc.data.resolution import SetMpp
from jaxnuc.data.sample import MappedSource, Sample, Source
from jaxnuc.data.sources import mixture
from jaxnuc.data.splits import open_split
from jaxnuc.data.transforms import parse
from jaxnuc.data.windows import Windows
from jaxnuc.labels import LabelTree

CHAIN = parse(["random_crop(12)", "flip_turn()", "color_jitter()"])


def painted(name="a", length=5, *, label_set=None, mpp=0.25, side=16, endless=False):
    """A source of which image i has the value i, and one nucleus of each class k > 0 if k <= i."""

    class Painted(Source):  # local, so that it travels to worker processes by value
        def __init__(self):
            self.name, self.endless, self.mpp = name, endless, mpp
            if label_set is not None:
                self.label_set = label_set

        def __len__(self):
            return length

        def __getitem__(self, index):
            if not 0 <= index < length:
                raise IndexError(index)
            image = np.full((side, side + 2, 3), index % 256, np.uint8)
            instances = np.zeros((side, side + 2), np.int32)
            count = 1 if label_set is None else len(label_set.groups)
            for k in range(1, min(index, count) + 1):
                instances[2 * k : 2 * k + 2, 3:8] = 10 * k
            classes = None if label_set is None else instances // 10
            value = self.mpp[index] if isinstance(self.mpp, dict) else self.mpp
            return Sample(image, instances, classes, {"name": f"image {index}", "mpp": value})

    return Painted()


def encode(instances, classes, ignore=None, covered=None):
    return {"mask": (instances > 0)[..., None].astype(np.uint8)}


def number(sample):
    """The source and the image of a sample of `painted`."""
    return sample.meta["source"], int(sample.image[0, 0, 0])


def read(source, count, start=0):
    return [number(source[i]) for i in range(start, start + count)]


def assert_same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])
        np.testing.assert_array_equal(a["targets"]["mask"], b["targets"]["mask"])


# Orders -----------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.integers(1, 40).map(lambda k: k / 8), min_size=1, max_size=5),
    seed=st.integers(0, 2**32),
)
def test_shares_hold_in_every_stretch_and_count_each_part_without_gaps(weights, seed):
    shares = Shares(weights, seed)
    seen = [0] * len(weights)
    for position in range(600):
        part, turn = shares(position)
        assert turn == seen[part]
        seen[part] += 1
        if position % 50 == 49:
            # A block, and one more at each of its ends by rounding.
            block = sum(weights) / min(weights) + 1
            expected = np.array(weights) / sum(weights) * (position + 1)
            assert (np.abs(seen - expected) <= block).all()


def test_shares_are_exact_far_out():
    """In integers: at 2**60 a float could not tell neighbors apart."""
    shares = Shares([0.3, 0.7], 1)
    turns = [shares(2**60 + i) for i in range(2000)]
    parts = Counter(part for part, _ in turns)
    assert abs(parts[0] - 600) <= 3
    for k in (0, 1):
        own = [turn for part, turn in turns if part == k]
        assert own == list(range(own[0], own[0] + len(own)))
    # Before 2**60 there are 0.3 * 2**60 of part 0, to within a block (4) and rounding.
    first = next(turn for part, turn in turns if part == 0)
    assert abs(first - 3 * 2**60 // 10) <= 5


def test_simple_shares_are_exact_in_each_block():
    parts = [Shares([2, 1], 3)(i)[0] for i in range(300)]
    blocks = [tuple(parts[i : i + 3]) for i in range(0, 300, 3)]
    assert all(block.count(0) == 2 for block in blocks)
    assert set(blocks) == {(0, 0, 1), (0, 1, 0), (1, 0, 0)}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**40), st.booleans())
def test_each_epoch_is_a_permutation_also_by_equal_weights(count, epoch, weighted):
    order = Epochs(count, (0, 1), np.full(count, 0.1) if weighted else None)
    drawn = [order(epoch * count + i) for i in range(count)]
    assert sorted(drawn) == list(range(count))


def test_epochs_differ_and_are_found_in_any_order():
    order = Epochs(20, (5, 1))
    forward = [order(i) for i in range(100)]
    fresh = Epochs(20, (5, 1))
    backward = [fresh(i) for i in reversed(range(100))][::-1]
    assert forward == backward
    assert len({tuple(forward[i : i + 20]) for i in range(0, 100, 20)}) == 5
    assert forward != [Epochs(20, (6, 1))(i) for i in range(100)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.01, 10), min_size=1, max_size=30), st.integers(0, 2**20)
)  # fmt: skip
def test_weighted_epochs_round_the_expected_draws(weights, epoch):
    count, order = len(weights), Epochs(len(weights), (1, 2), np.array(weights))
    drawn = Counter(order(epoch * count + i) for i in range(count))
    for i, weight in enumerate(weights):
        expected = count * weight / sum(weights)
        assert np.floor(expected - 1e-9) <= drawn[i] <= np.ceil(expected + 1e-9)


def test_weighted_epochs_have_the_expected_mean():
    weights, epochs = np.array([1.0, 2.5, 0.25, 4.0]), 2000
    order = Epochs(4, (0, 1), weights)
    drawn = np.bincount([order(i) for i in range(4 * epochs)])
    # The rounding of each epoch is a Bernoulli draw, of standard deviation at most a half.
    bound = 5 * 0.5 * np.sqrt(epochs)
    assert (np.abs(drawn - 4 * epochs * weights / weights.sum()) < bound).all()


def test_neighbors_of_a_weighted_epoch_are_drawn_independently():
    """Of ten alike and one that takes half of the draws, not every second one in turn."""
    weights = np.array([1.0] * 10 + [10.0])
    order = Epochs(11, (0, 1), weights)
    drawn = [{order(11 * e + i) for i in range(11)} for e in range(300)]
    both = sum({0, 1} <= epoch for epoch in drawn)
    # Each with probability 0.55; both with 0 or 0.55 if they were in step or in turn.
    assert 45 < both < 135


# The stream -------------------------------------------------------------------------------------


def test_frequencies_and_epochs_of_a_mixture():
    source = mixture.Source([painted("a", 7), painted("b", 4)], weights=[3, 1])
    assert source.endless
    assert source.name == "a+b"
    seen = read(source, 4 * 28)
    for part, length in (("a", 7), ("b", 4)):
        own = [image for name, image in seen if name == part]
        assert len(own) == {"a": 84, "b": 28}[part]
        epochs = [own[i : i + length] for i in range(0, len(own), length)]
        assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_stream_depends_on_seed_and_position_alone():
    def make(seed):
        return mixture.Source([painted("a"), painted("b", 9)], weights=[0.4, 0.6], seed=seed)

    source, expected = make(1), read(make(1), 60)
    assert [number(source[i]) for i in reversed(range(60))][::-1] == expected
    assert read(make(2), 60) != expected


def test_some_of_the_data_sets_of_a_mixture():
    parts = [painted("a", 3), painted("b", 2), painted("a", 4)]
    source = mixture.Source(parts, weights=[2, 1, 1], seed=2)
    assert list(source.sets) == ["a-1", "b", "a-2"]
    alone = source.only(["b"])
    assert [alone[i].meta["name"] for i in range(4)] == [
        f"b/{parts[1][source._orders['b'](i)].meta['name']}" for i in range(4)
    ]
    two = source.only(["a-2", "a-1"])  # in proportion to their weights
    assert list(two.sets) == ["a-1", "a-2"]
    names = Counter(two[i].meta["name"].split("/")[0] for i in range(36))
    assert names == {"a-1": 24, "a-2": 12}
    assert list(source.sets) == ["a-1", "b", "a-2"]  # as it was
    finite = mixture.Source(parts, stream=False).only(["b"])
    assert read(finite, 2) == [("b", 0), ("b", 1)]
    assert len(finite) == 2
    with pytest.raises(ValueError, match="unknown data set of the mixture 'a'; known: a-1, a-2, b"):
        source.only(["a"])


def test_data_sets_of_a_mixture_are_whole_and_have_label_sets_of_their_own():
    consep, nucls = labels.label_set("consep"), labels.label_set("nucls")
    parts = [painted("a", 8, label_set=consep), painted("b"), painted("c", 3, label_set=nucls)]
    for stream in (True, False):
        sets = mixture.Source(parts, label_set="own", stream=stream).sets
        assert [s.label_set for s in sets.values()] == [consep, None, nucls]
        for part, own in zip(parts, sets.values(), strict=True):
            images = [int(sample.image[0, 0, 0]) for sample in own]
            assert images == list(range(len(part)))
        assert [s.meta["label_set"] for s in (sets["a"][0], sets["b"][0], sets["c"][0])] == [
            0,
            0,
            1,
        ]
        np.testing.assert_array_equal(sets["a"][7].classes, parts[0][7].classes)
    common = mixture.Source(parts[:2], label_set="superclasses").sets
    assert common["a"].label_set == labels.label_set("superclasses")
    mapped = MappedSource(mixture.Source(parts, label_set="own"), SetMpp(0.5)).sets["c"]
    assert (mapped.label_set, mapped[2].meta["mpp"]) == (nucls, 0.5)


def test_an_endless_source_goes_on_within_a_mixture():
    parts = [painted("a", 3), painted("b", 100, endless=True)]
    seen = [image for name, image in read(mixture.Source(parts), 40) if name == "b"]
    assert seen == list(range(20))


def test_outside_of_training_all_images_come_once_under_names_of_their_own():
    source = mixture.Source([painted("a", 3), painted("b", 2), painted("a", 1)], split="val")
    assert not source.endless
    assert len(source) == 6
    assert read(source, 6) == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("a", 0)]
    names = [source[i].meta["name"] for i in range(6)]
    assert names[0] == "a-1/image 0"
    assert names[3] == "b/image 0"
    assert len(set(names)) == 6
    with pytest.raises(IndexError, match="index 6"):
        source[6]
    assert len(list(source)) == 6
    assert len(mixture.Source([painted("a", 3), painted()], stream=False)) == 8


# Classes ----------------------------------------------------------------------------------------


def test_classes_are_read_in_a_common_label_set():
    consep, monusac = labels.label_set("consep"), labels.label_set("monusac")
    parts = [
        painted("consep", 8, label_set=consep),
        painted("monusac", 5, label_set=monusac),
        painted("x", 5),
    ]
    source = mixture.Source(parts, label_set="superclasses", split="val")
    superclasses = ("epithelial", "immune", "stromal", "other")
    assert source.label_set.groups == superclasses
    by_hand = {
        "consep": ["other", "immune", "epithelial", "epithelial", "stromal", "stromal", "stromal"],
        "monusac": ["epithelial", "immune", "immune", "immune"],
    }
    for index, part, groups in ((7, 0, "consep"), (12, 1, "monusac")):
        sample = source[index]
        instances = parts[part][len(parts[part]) - 1].instances
        for k, name in enumerate(by_hand[groups], 1):
            assert set(sample.classes[instances == 10 * k]) == {superclasses.index(name) + 1}
        assert (sample.classes[instances == 0] == 0).all()
    # A source without classes: nuclei of an ignored class.
    without = source[17]
    np.testing.assert_array_equal(without.classes, np.where(without.instances > 0, -1, 0))
    assert without.classes.dtype == np.int32


def test_nuclei_of_no_class_of_the_cut_are_ignored_and_ignored_ones_stay():
    pannuke, monusac = labels.label_set("pannuke"), labels.label_set("lizard")
    part = painted("lizard", 7, label_set=monusac)
    only = labels.NUCLEI
    common = type(pannuke).of(only, {"immune": ["immune"]})
    sample = mixture.Source([part], label_set=common, split="val")[6]
    groups = {k: set(sample.classes[sample.instances == 10 * k]) for k in range(1, 6)}
    assert groups == {1: {1}, 2: {-1}, 3: {1}, 4: {1}, 5: {-1}}
    minus = replace(part[6], classes=np.where(part[6].instances > 0, -1, 0).astype(np.int32))
    assert set(np.unique(mixture._ReadAt((0, 1, 2, -1))(minus).classes)) == {-1, 0}


def test_each_source_keeps_its_own_classes():
    consep, nucls = labels.label_set("consep"), labels.label_set("nucls")
    sources = [painted("a", label_set=consep), painted("b"), painted("c", label_set=nucls)]
    mixed = mixture.Source(sources, label_set="own", stream=False)
    assert mixed.label_sets == (consep, nucls)
    assert mixed.label_set is None
    samples = [mixed[i] for i in range(15)]
    assert [s.meta["label_set"] for s in samples] == [0] * 5 + [0] * 5 + [1] * 5
    np.testing.assert_array_equal(np.unique(samples[4].classes), [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(np.unique(samples[9].classes), [-1, 0])  # has no classes
    np.testing.assert_array_equal(np.unique(samples[14].classes), [0, 1, 2])


def test_a_batch_says_whose_classes_each_example_has():
    sources = [
        painted("a", label_set=labels.label_set("consep")),
        painted("c", label_set=labels.label_set("nucls")),
    ]
    mixed = mixture.Source(sources, label_set="own", seed=3)
    stream = batches(mixed, CHAIN, encode, 6, seed=0)
    expected = [mixed[i].meta["label_set"] for i in range(12)]
    found = np.concatenate([next(stream)["targets"]["label_set"] for _ in range(2)])
    stream.close()
    np.testing.assert_array_equal(found, expected)
    assert set(found) == {0, 1}
    assert found.dtype == np.int32


def test_several_label_sets_within_a_mixture_are_refused():
    both = [painted(label_set=labels.label_set(name)) for name in ("nucls", "consep")]
    inner = mixture.Source(both, label_set="own")
    with pytest.raises(ValueError, match="list its sources in the outer one"):
        mixture.Source([inner, painted()], label_set="own")


def test_own_classes_need_one_tree_and_some_classes():
    with pytest.raises(ValueError, match="label_set='own', but no source"):
        mixture.Source([painted()], label_set="own")
    tree = LabelTree.of({"x": {}})
    with pytest.raises(ValueError, match="another label tree"):
        mixture.Source(
            [painted(label_set=labels.label_set("nucls")), painted(label_set=tree.level())],
            label_set="own",
        )


def test_classes_can_be_dropped_or_agree():
    consep = labels.label_set("consep")
    parts = [painted("a", 8, label_set=consep), painted("b")]
    dropped = mixture.Source(parts, label_set="none", split="val")
    assert dropped.label_set is None
    assert all(sample.classes is None for sample in dropped)
    merged = {"name": "consep", "merge": True}
    assert mixture.Source(parts, label_set=merged).label_set == labels.label_set(
        "consep", merge=True
    )
    same = mixture.Source(
        [painted("a", label_set=consep), painted("b", label_set=labels.label_set("consep"))]
    )
    assert same.label_set == consep


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sources", "arguments", "message"),
    [
        ([], {}, "at least one source"),
        ([painted(), painted("b", 0)], {}, "'b' of a mixture is empty"),
        ([painted()], {"weights": [1, 2]}, "2 weights for the 1 sources"),
        ([painted()], {"balance": []}, "0 balance for the 1 sources"),
        ([painted()], {"weights": [0]}, r"weights \[0\]: positive"),
        ([painted()], {"weights": ["2"]}, "positive numbers"),
        ([painted()] * 2, {"weights": [1, 1e-7]}, "1e-07 of their sum"),
        ([painted(endless=True)], {"split": "val"}, "'a' is endless"),
        ([painted(), painted("b", mpp=0.5)], {}, "'a'.*0.25 microns.*'b'.*has 0.5; give data.mpp"),
        ([painted(mpp=None), painted("b")], {}, "'b'.*has 0.25.*'a'.*unknown; give \"mpp\""),
        (
            [
                painted(label_set=labels.label_set("consep")),
                painted("b", label_set=labels.label_set("pannuke")),
            ],
            {},
            "'a' has classes.*malignant.*'b' has classes.*neoplastic.*superclasses",
        ),
        (
            [painted(label_set=labels.label_set("consep")), painted("b")],
            {},
            "'b' has no classes; give",
        ),
        ([painted()], {"label_set": "superclasses"}, "no source of the mixture has classes"),
        (
            [painted(label_set=labels.label_set("consep"))],
            {"label_set": "superclass"},
            "did you mean 'supercl",
        ),
        (
            [painted(label_set=labels.label_set("consep"))],
            {"label_set": {"merge": True}},
            "needs a 'name'",
        ),
        (
            [painted(label_set=labels.label_set("monusac"))],
            {"label_set": "consep"},
            "classes of 'a' in the label set.*'Epithelial' into 'healthy', 'malignant'",
        ),
        ([painted()], {"balance": ["sqrt"]}, "'a' has no classes to balance"),
        ([painted()], {"seed": -1}, "seed=-1"),
        ([painted()], {"seed": 1.5}, r"seed=1\.5"),
    ],
)
def test_refuses(sources, arguments, message):
    with pytest.raises(ValueError, match=message):
        mixture.Source(sources, **arguments)


def test_magnification_within_ten_percent_passes_and_one_in_between_is_found_on_reading():
    mixture.Source([painted(), painted("b", mpp=0.27)])
    mixture.Source([painted(mpp=None), painted("b", mpp=None)])
    odd = painted("odd", 3, mpp={0: 0.25, 1: 0.5, 2: 0.25})
    source = mixture.Source([painted(), odd], split="val")
    with pytest.raises(ValueError, match=r"'odd' .image 'odd/image 1'. has 0\.5"):
        source[6]


# From a configuration ---------------------------------------------------------------------------


@pytest.fixture
def roots(tmp_path):
    """Two folders of images and label images, of 6 and 4 images."""
    rng = np.random.default_rng(0)
    for name, count, side in (("first", 6, 20), ("second", 4, 30)):
        for kind in ("images", "labels"):
            (tmp_path / name / kind).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 256, (side, side + i, 3), np.uint8)
            labels = np.kron(rng.integers(0, 9, (4, 5)), np.ones((5, 5)))[:side, :side]
            labels = np.pad(labels, [(0, side - 20), (0, side + i - labels.shape[1])])
            Image.fromarray(image).save(tmp_path / name / "images" / f"{i}.png")
            Image.fromarray(labels.astype(np.uint8)).save(tmp_path / name / "labels" / f"{i}.png")
    return tmp_path


def section(roots, **arguments):
    """3 + 1 + 2 and 2 + 1 + 1 images; the second set is read in windows."""
    common = {"name": "folder", "fractions": (0.5, 0.25, 0.25)}
    sources = [
        {**common, "root": str(roots / "first"), "mpp": 0.25, "weight": 2.0},
        {**common, "root": str(roots / "second"), "mpp": 0.5, "windows": 16},
    ]
    return {"name": "mixture", "sources": sources, **arguments}


def test_open_split_opens_a_mixture(roots):
    train = open_split(section(roots, seed=3), "", "train", mpp=0.4)
    assert train.endless
    names = [sample.meta["source"] for sample in islice(train, 30)]
    assert Counter(names) == {"first": 20, "second": 10}
    assert {train[i].meta["mpp"] for i in range(9)} == {0.4}
    first, second = train.sets.values()
    # 30 x (30..33) pixels of 0.5 are 38 x (38..41) of 0.4: 3 x 3 windows.
    assert (len(first), len(second)) == (3, 2 * 9)
    assert len(open_split(section(roots), "", "val", mpp=0.4)) == 1 + 1
    test = open_split(section(roots), "", "test", mpp=0.4)
    assert [s.meta["source"] for s in test] == ["first", "first", "second"]
    assert test[2].instances.shape[0] == 38
    again = open_split(section(roots, seed=3), "", "train", mpp=0.4, stream=False)
    assert len(again) == 3 + 2


def test_a_seed_from_outside_yields_to_that_of_the_section(roots):
    def names(*arguments, **options):
        source = open_split(section(roots, **options), "", "train", 0.5, *arguments)
        return [sample.meta["name"] for sample in islice(source, 12)]

    assert names(4) == names(seed=4)
    assert names(4, seed=5) == names(seed=5) != names(4)


def test_roots_of_a_mixture(roots, monkeypatch):
    bare = {"name": "mixture", "sources": [{"name": "folder"}, {"name": "synthetic", "size": 16}]}
    (roots / "first").rename(roots / "folder")
    assert open_split(bare, str(roots), "train").name == "folder+synthetic"
    monkeypatch.setenv(splits.ROOT, str(roots))
    assert open_split(bare, "", "train").name == "folder+synthetic"
    assert open_split({"name": "folder", "root": str(roots / "second")}, "", "all").name == "second"
    inner = {"name": "mixture", "sources": [bare, {"name": "folder", "root": roots / "second"}]}
    nested = open_split(inner, str(roots), "train")
    assert Counter(s.meta["source"] for s in islice(nested, 40)) == {
        "second": 20, "folder": 10, "synthetic": 10}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "a mixture needs sources"),
        ({"sources": []}, "a mixture needs sources"),
        ({"sources": [{"weight": 1}]}, r"sources\[0\] of a mixture has no 'name'"),
        (
            {"sources": [{"name": "synthetic", "size": 8, "mp": 1}]},
            "mp.*did you mean 'mpp'",
        ),
        ({"sources": [{"name": "synthetic"}], "label_st": 3}, "did you mean 'label_set'"),
        ({"sources": [{"name": "synthetic", "root": "x"}]}, "reads no files"),
        ({"sources": [{"name": "synthetic", "mpp": -1.0}]}, "mpp=-1.0"),
        ({"sources": [{"name": "synthetic", "windows": 8}]}, "endless: it cannot be cut"),
        ({"sources": [{"name": "synthetic", "split": "val"}]}, "split='val'.*leave it out"),
    ],
)
def test_open_split_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        open_split({"name": "mixture", **values}, "", "train")


# Determinism ------------------------------------------------------------------------------------

CUT = labels.label_set("consep", merge=True)


def everything(mpp=0.25):
    """Weights, balance and common classes at once."""
    parts = [
        painted("a", 9, label_set=CUT, mpp=mpp),
        painted("b", 7, label_set=CUT, mpp=mpp),
        painted("c", 5, mpp=mpp),
    ]
    return mixture.Source(
        parts, [2, 1, 0.5], ["sqrt", "rare", None], label_set="superclasses", seed=7
    )


KINDS = {
    "weights": lambda roots: mixture.Source([painted("a"), painted("b", 3)], [0.7, 0.3], seed=5),
    "some": lambda roots: mixture.Source([painted("a"), painted("b", 3)]).only(["b"]),
    "balance": lambda roots: everything(),
    "windows and resampled": lambda roots: open_split(section(roots), "", "train", mpp=0.4),
    "windows alone": lambda roots: open_split(
        {"name": "folder", "root": roots / "second", "windows": {"size": 16, "stride": 9}},
        "",
        "train",
    ),
}


def stream(source, **arguments):
    return batches(source, CHAIN, encode, 4, 11, **arguments)


def take(count, iterator):
    result = [next(iterator) for _ in range(count)]
    iterator.close()
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_a_restart_and_two_processes_give_the_same_stream(kind, roots):
    whole = take(8, stream(KINDS[kind](roots)))
    run = stream(KINDS[kind](roots))
    for _ in range(3):
        next(run)
    state = json.loads(json.dumps(run.get_state()))
    run.close()
    fresh = stream(KINDS[kind](roots))
    fresh.set_state(state)
    assert_same(take(5, fresh), whole[3:])
    parts = [take(8, stream(KINDS[kind](roots), process=(p, 2))) for p in range(2)]
    for k, batch in enumerate(whole):
        union = np.concatenate([part[k]["image"] for part in parts])
        assert sorted(x.tobytes() for x in union) == sorted(x.tobytes() for x in batch["image"])


@pytest.mark.slow
def test_workers_give_the_same_batches(roots):
    inner = everything(mpp=0.4), open_split(section(roots), "", "train", mpp=0.4)
    source = mixture.Source(inner, label_set="none")
    expected = take(6, stream(source))
    for workers in (1, 2):
        assert_same(take(6, stream(source, workers=workers)), expected)


def test_regions_to_ignore_are_announced_by_everything_that_wraps_a_source():
    partly, whole = painted("partly"), painted("whole")
    partly.ignores = True
    assert MappedSource(partly, SetMpp(0.5)).ignores
    assert Windows(partly, 4).ignores
    assert mixture.Source([whole, partly]).ignores
    assert not mixture.Source([whole, painted("other")]).ignores
