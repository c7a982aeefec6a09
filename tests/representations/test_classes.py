"""The class map beside any representation: label sets, votes, losses of mixed batches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnuc import labels, losses, representations
from jaxnuc.labels import LabelSet, LabelTree
from jaxnuc.metrics.class_counts import class_counts
from jaxnuc.representations import binary
from jaxnuc.representations.class_map import ClassMap, Groups

TREE = LabelTree.of({"immune": {"lymphocyte": {}, "plasma": {}}, "tumour": {}})
FINE = TREE.level()
COARSE = LabelSet.of(TREE, {"inflammatory": ["immune"], "malignant": ["tumour"]})
LEVELS = LabelSet.of(TREE, {"immune": ["immune"], "plasma": ["plasma"]})


def nuclei(shape=(12, 20)):
    labels = np.zeros(shape, np.int32)
    labels[1:6, 1:7], labels[7:11, 2:9], labels[2:9, 11:18] = 1, 2, 3
    return labels


def of_nuclei(labels, classes):
    return np.array([0, *classes], np.int32)[labels]


def make(base="binary", name="leaves", label_sets=(FINE,), **arguments):
    options = arguments.pop("base_arguments", {})
    return representations.create(base, {"name": name, **arguments}, label_sets, **options)


def terms(*names, **weighted):
    """A list of terms of the loss; `cross_entropy` is only among them if it is named."""
    return [{"name": name} for name in names] + [
        {"name": name, **({"weight": w} if isinstance(w, float) else w)}
        for name, w in weighted.items()
    ]


def test_outputs_are_those_of_the_base_and_the_classes():
    assert make("contour").outputs == {"mask": 1, "contour": 1, "class": 4}
    assert make("hover", "groups", (COARSE,)).outputs == {"np": 2, "hv": 2, "class": 3}
    merged = labels.label_set("consep", merge=True)
    assert make("hover", "groups", (merged,)).outputs["class"] == 5  # HoVer-Net's five types
    assert make("stardist", label_sets=(labels.label_set("pannuke"),)).outputs["class"] == 12
    assert representations.create("binary", {"name": "none"}, (FINE,)).outputs == {"mask": 1}


def test_targets_leave_out_what_is_ignored_and_unknown():
    labels = nuclei()
    classes = of_nuclei(labels, [1, -1, 2])
    ignore = np.zeros(labels.shape, bool)
    ignore[:, 15:] = True
    targets = make().encode(labels, classes, ignore)
    expected = np.where(ignore, -1, classes)
    np.testing.assert_array_equal(targets["class"][..., 0], expected)
    assert targets["class"].dtype == np.int8
    np.testing.assert_array_equal(targets["valid"][..., 0], ~ignore)
    unknown = make().encode(labels)["class"][..., 0]
    np.testing.assert_array_equal(unknown, np.where(labels > 0, -1, 0))


def test_a_filled_hole_has_the_class_of_its_nucleus():
    labels = nuclei()
    labels[3, 3], labels[8:10, 5] = 0, 0
    classes = of_nuclei(labels, [2, -1, 1])
    filled = make("stardist").encode(labels, classes)["class"][..., 0]
    np.testing.assert_array_equal(filled, of_nuclei(nuclei(), [2, -1, 1]))
    left = make("stardist", base_arguments={"fill_holes": False}).encode(labels, classes)
    np.testing.assert_array_equal(left["class"][..., 0], classes)


def perfect(representation, labels, leaves):
    """Logits of the base's mask and of the right leaves."""
    targets = representation.encode(labels, of_nuclei(labels, leaves))
    channels = representation.outputs["class"]
    return {
        "mask": np.where(targets["mask"] > 0, 9.0, -9.0),
        "class": 20.0 * np.eye(channels)[np.maximum(targets["class"][..., 0], 0)],
    }


@pytest.mark.parametrize("vote", ["majority", "mean"])
def test_decode_is_the_inverse_of_encode(vote):
    representation = make(vote=vote)
    labels = nuclei()
    found = representation.decode(perfect(representation, labels, [3, 1, 2]))
    counts = class_counts(labels, found.instances, of_nuclei(labels, [3, 1, 2]), found.classes, 3)
    np.testing.assert_array_equal(counts.tp, [1, 1, 1])
    np.testing.assert_allclose(found.class_probabilities.sum(axis=1), 1, atol=1e-5)


def test_votes_equal_their_definitions():
    rng = np.random.default_rng(0)
    labels = nuclei()
    logits = rng.normal(0, 2, (*labels.shape, 4))
    maps = {"mask": np.where(labels > 0, 9.0, -9.0)[..., None], "class": logits}
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for vote in ("majority", "mean"):
        found = make(vote=vote).decode(maps)
        for number, (chosen, shares) in enumerate(
            zip(found.classes, found.class_probabilities, strict=True), 1
        ):
            inside = found.instances == number
            if vote == "mean":
                expected = p[inside].mean(axis=0)
            else:
                expected = np.bincount(p[inside].argmax(-1), minlength=4) / inside.sum()
            np.testing.assert_allclose(shares, expected, atol=1e-6)
            assert chosen == 1 + expected[1:].argmax()


def test_a_nucleus_all_of_whose_pixels_vote_for_background_has_no_class():
    labels = nuclei()
    logits = np.zeros((*labels.shape, 4))
    logits[..., 0] = 5
    maps = {"mask": np.where(labels > 0, 9.0, -9.0)[..., None], "class": logits}
    np.testing.assert_array_equal(make(vote="majority").decode(maps).classes, [0, 0, 0])
    assert (make(vote="mean").decode(maps).classes > 0).all()  # the most probable of them


def test_leaves_are_read_at_any_cut():
    representation = make(vote="mean")
    labels = nuclei()
    logits = np.zeros((*labels.shape, 4))
    # lymphocyte .3, plasma .3, tumour .4: a tumour cell among leaves, immune among super-classes
    logits[:] = np.log([1e-9, 0.3, 0.3, 0.4])
    maps = {"mask": np.where(labels > 0, 9.0, -9.0)[..., None], "class": logits}
    found = representation.decode(maps)
    np.testing.assert_array_equal(found.classes, [3, 3, 3])
    partial = LabelSet.of(TREE, {"plasma": ["plasma"]})
    for label_set, classes, shares in (
        (FINE, [3, 3, 3], [0, 0.3, 0.3, 0.4]),
        (COARSE, [1, 1, 1], [0, 0.6, 0.4]),
        (partial, [1, 1, 1], [0, 0.3]),  # the rest belongs to no group
    ):
        read = representation.read_at(found, label_set)
        np.testing.assert_array_equal(read.classes, classes)
        np.testing.assert_allclose(read.class_probabilities, [shares] * 3, atol=1e-6)
        assert read.class_probabilities.dtype == np.float32
        np.testing.assert_array_equal(read.instances, found.instances)


def test_of_a_larger_group_what_is_left_is_no_class():
    """Against the rule in words: the most probable group decides, each leaf in its smallest one."""
    levels = LabelSet.of(TREE, {"immune": ["immune"], "lymphocyte": ["lymphocyte"]})
    shares = np.random.default_rng(0).dirichlet(np.ones(4), 50).astype(np.float32)
    nuclei = representations.Nuclei(np.zeros((1, 1)), np.ones(50), np.ones(50), shares)
    for label_set, sums in (
        (levels, {"lymphocyte": ["lymphocyte"], "": ["plasma"]}),
        (
            LabelSet.of(TREE, {x: [x] for x in ("tumour", "immune", "plasma")}),
            {"tumour": ["tumour"], "plasma": ["plasma"], "": ["lymphocyte"]},
        ),
    ):
        read = make(vote="mean").read_at(nuclei, label_set)
        names = ["", *label_set.finest.groups]
        leaves = ["background", *TREE.leaves]
        for row, found, own in zip(shares, read.classes, read.class_probabilities, strict=True):
            share = {name: sum(row[leaves.index(x)] for x in of) for name, of in sums.items()}
            assert names[found] == max(share, key=share.get)
            np.testing.assert_allclose(own, [row[0], *map(share.get, names[1:])], atol=1e-6)
        assert {*read.classes} == {*range(len(names))}


def test_rounded_probabilities_stay_probabilities():
    representation = make("binary", label_sets=(labels.label_set("leaves"),))
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(12), 500).astype(np.float32)
    shares[:, 0] = 0
    shares /= shares.sum(axis=1, keepdims=True)
    found = representations.Nuclei(np.zeros((1, 1)), np.ones(500), np.ones(500), shares)
    everything = LabelSet.of(labels.NUCLEI, {"any": ["epithelial", "immune", "stromal", "other"]})
    assert (shares.astype(float).sum(axis=1) > 1 + 1e-8).any()
    read = representation.read_at(found, everything).class_probabilities
    np.testing.assert_allclose(read[:, 1], 1, atol=1e-6)
    assert read.max() <= 1
    read = representation.read_at(found, labels.label_set("monusac")).class_probabilities
    expected = labels.label_set("monusac").from_probabilities(shares.astype(float))
    np.testing.assert_allclose(read, expected, atol=1e-7)


def test_groups_cannot_be_read_at_a_finer_cut():
    representation = make(name="groups", label_sets=(COARSE,))
    labels = nuclei()
    found = representation.decode(perfect(representation, labels, [1, 2, 2]))
    read = representation.read_at(found, COARSE)
    np.testing.assert_array_equal(read.classes, found.classes)
    np.testing.assert_array_equal(read.class_probabilities, found.class_probabilities)
    with pytest.raises(ValueError, match="be split: 'inflammatory'"):
        representation.read_at(found, FINE)


def batch(representation, leaves_of, label_sets):
    """Two examples, each with the classes and the number of its label set."""
    labels = nuclei()
    each = [representation.encode(labels, of_nuclei(labels, leaves)) for leaves in leaves_of]
    targets = {name: np.stack([t[name] for t in each]) for name in each[0]}
    return targets | {"label_set": np.array(label_sets, np.int32)}


def test_each_example_has_the_loss_of_its_own_label_set():
    representation = make(label_sets=(FINE, COARSE), loss=terms("cross_entropy", "focal_tversky"))
    targets = batch(representation, ([1, 2, 3], [1, 1, 2]), (0, 1))
    logits = np.random.default_rng(1).normal(0, 1, (2, 12, 20, 4)).astype(np.float32)
    maps = {"mask": np.zeros((2, 12, 20, 1), np.float32), "class": logits}
    _, parts = jax.jit(representation.loss)(maps, targets)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    fine = np.take_along_axis(p[0], targets["class"][0].astype(int), axis=-1)
    grouped = np.stack([p[1, ..., 0], p[1, ..., 1] + p[1, ..., 2], p[1, ..., 3]], axis=-1)
    coarse = np.take_along_axis(grouped, targets["class"][1].astype(int), axis=-1)
    expected = -np.log(np.stack([fine, coarse])).mean()
    np.testing.assert_allclose(parts["class/cross_entropy"], expected, rtol=1e-5)
    assert parts["class/focal_tversky"] > 0


def test_parts_are_weighted_and_added_to_those_of_the_base():
    weights = {"cross_entropy": 2.0, "dice": 0.5, "tversky": 0.25, "focal": 0.125}
    representation = make(loss=terms(**weights))
    targets = batch(representation, ([1, 2, 3], [1, 1, 2]), (0, 0))
    rng = np.random.default_rng(1)
    maps = {
        name: rng.normal(0, 1, (2, 12, 20, channels)).astype(np.float32)
        for name, channels in representation.outputs.items()
    }
    total, parts = jax.jit(representation.loss)(maps, targets)
    base, _ = jax.jit(representation.base.loss)(maps, targets)
    own = {k.removeprefix("class/"): v for k, v in parts.items() if k.startswith("class/")}
    assert own.keys() == weights.keys()
    expected = base + sum(weights[k] * v for k, v in own.items())
    np.testing.assert_allclose(total, expected, rtol=1e-6)


def test_side_maps_of_classes_are_supervised():
    representation = make(side_weight=0.5)
    targets = batch(representation, ([1, 2, 3], [1, 1, 2]), (0, 0))
    maps = {
        name: jnp.ones((2, 12, 20, channels)) for name, channels in representation.outputs.items()
    }
    total, parts = representation.loss(maps, targets)
    with_side, more = representation.loss(maps | {"side": {"class": [maps["class"]] * 2}}, targets)
    np.testing.assert_allclose(with_side - total, parts["class/cross_entropy"], rtol=1e-6)
    np.testing.assert_allclose(more["side"], parts["class/cross_entropy"], rtol=1e-6)
    halved, _ = representation.loss(
        maps | {"side": {"class": [maps["class"]] * 2}}, targets, None, {"side": 0.5}
    )
    np.testing.assert_allclose(halved - total, parts["class/cross_entropy"] / 2, rtol=1e-6)


@functools.cache
def with_every_term():
    """A representation, and `(maps, targets) -> (loss, gradients)`."""
    every = terms("cross_entropy", "dice", "tversky", "focal", focal_tversky={"gamma": 0.75})
    representation = make(loss=every)
    loss = lambda maps, targets: representation.loss(maps, targets)[0]
    return representation, jax.jit(jax.value_and_grad(loss))


@pytest.mark.parametrize("case", ["empty", "full", "one pixel", "all ignored"])
def test_gradients_are_finite(case):
    labels = np.zeros((12, 20), np.int32)
    if case == "full":
        labels[:] = 1
    elif case != "empty":
        labels[5, 5] = 1
    classes = -(labels > 0).astype(np.int32) if case == "all ignored" else labels.copy()
    ignore = np.full(labels.shape, case == "all ignored")
    representation, differentiate = with_every_term()
    targets = representation.encode(labels, classes, ignore)
    targets = {name: m[None] for name, m in targets.items()}
    maps = {n: jnp.full((1, 12, 20, c), 30.0) for n, c in representation.outputs.items()}
    value, gradients = differentiate(maps, targets)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "leafs"}, "leafs.*known: groups, leaves"),
        ({"label_sets": ()}, "needs a data set with classes"),
        ({"name": "groups", "label_sets": (FINE, COARSE)}, "different ones.*'leaves'"),
        ({"name": "groups", "label_sets": (LEVELS,)}, "one holds another.*name='leaves'"),
        ({"label_sets": (FINE, labels.label_set("consep"))}, "different label trees"),
        ({"vote": "middle"}, "known: majority, mean, center"),
        ({"votes": "mean"}, "did you mean 'vote'"),
        ({"loss": terms("tverski")}, "did you mean 'tversky'"),
        ({"loss": []}, "classes.loss is empty; give a term"),
        ({"loss": {"name": "dice"}}, "loss of class map 'leaves' must be a list of sections"),
        ({"loss": terms(cross_entropy=0.0)}, "weight=0.0 of a class loss must be above 0"),
        ({"loss": terms(cross_entropy={"gamma": 0.75})}, "class loss 'cross_entropy': 'gamma'"),
        ({"loss": terms(focal_tversky={"form": "eq4"})}, "known: elementwise, paper"),
        ({"loss": terms(tversky={"alpha": 1.5})}, r"alpha 1.5 is not within \[0, 1\]"),
        ({"loss": terms(focal_tversky={"gamma": 0.0})}, "gamma=0.0 .* must be above 0"),
        ({"loss": terms(focal={"gamma": -1.0})}, "gamma=-1.0 .* must be 0 or more"),
        ({"vote": "center"}, "detects nuclei at points"),
        ({"vote": "center", "base": "hover"}, "detects nuclei at points"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize("grid", [1, 2])
def test_votes_on_a_grid(grid):
    """Nuclei have a class each in the middle and another one around it, which has more pixels."""
    arguments = {"n_rays": 8, "grid": grid}
    labels = np.zeros((61, 66), np.int32)
    labels[6:26, 8:30], labels[32:54, 36:58] = 1, 2
    classes = of_nuclei(labels, [1, 2])
    classes[10:22, 12:26] = classes[36:50, 40:54] = 3
    expected = {"center": [3, 3], "majority": [1, 2], "mean": [1, 2]}
    for vote, chosen in expected.items():
        representation = make("stardist", vote=vote, base_arguments=arguments)
        targets = representation.encode(labels, classes)
        assert targets["class"].shape[:2] == targets["prob"].shape[:2]
        maps = {
            "prob": np.where(targets["prob"] > 0.9, 9 * targets["prob"], -9.0),
            "dist": targets["dist"],
            "class": 20.0 * np.eye(4)[targets["class"][..., 0]],
        }
        found = representation.decode(maps, shape=labels.shape)
        order = np.argsort(found.points[:, 0])
        np.testing.assert_array_equal(found.classes[order], chosen)


@pytest.mark.parametrize("vote", ["majority", "mean"])
def test_a_nucleus_without_a_pixel_of_its_own_has_no_class(vote):
    instances = np.array([[0, 2, 2, 3]], np.int32)  # the first of three lies under the others
    three = representations.Nuclei(instances, None, np.ones(3, np.float32))

    class Three(binary.Representation):
        def decode(self, maps, shape=None):
            return three

    representation = ClassMap(Three(), (FINE,), FINE, Groups(vote=vote))
    logits = 20.0 * np.eye(4)[None, [0, 1, 1, 3]]
    found = representation.decode({"class": logits})
    np.testing.assert_array_equal(found.classes, [0, 1, 3])
    np.testing.assert_array_equal(found.class_probabilities[0], 0)
    np.testing.assert_array_equal(representation.read_at(found, COARSE).classes, [0, 1, 2])


def test_the_table_is_that_of_the_losses():
    representation = make(label_sets=(FINE, COARSE))
    expected = losses.group_table([FINE.matrix, COARSE.matrix])
    np.testing.assert_array_equal(representation.table, expected)
