import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnuc.labels import NUCLEI, Label, LabelSet, LabelTree, consep, label_set, lizard

SETS = ["pannuke", "monusac", "consep", "lizard", "nucls", "superclasses", "leaves"]


def leaves_named(label_set: LabelSet) -> list[set[str]]:
    return [{NUCLEI.leaves[k - 1] for k in leaves} for leaves in label_set.leaves]


@pytest.mark.parametrize("name", ["pannuke", "monusac", "consep", "leaves"])
def test_matrices_and_group_sums_are_those_of_the_reference(golden, name):
    arrays, _ = golden("losses")
    np.testing.assert_array_equal(label_set(name).matrix, arrays[f"grouped__{name}__G"])
    logits = arrays["grouped__logits"].astype(np.float64)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = arrays[f"grouped__{name}__prob"]
    np.testing.assert_allclose(label_set(name).from_probabilities(softmax), expected, rtol=1e-12)


def test_the_tree_has_eleven_leaves_in_four_super_classes():
    assert len(NUCLEI.leaves) == 11
    assert label_set("superclasses").groups == ("epithelial", "immune", "stromal", "other")
    assert label_set("superclasses").leaves == ((1, 2), (3, 4, 5, 6), (7, 8, 9, 10), (11,))
    np.testing.assert_array_equal(label_set("leaves").matrix, np.eye(12, dtype=np.uint8))


def test_native_numbers_and_ignored_classes():
    assert label_set("monusac").from_native([0, 1, 2, 3, 4, 5, -1]).tolist() == [
        0,
        1,
        2,
        3,
        4,
        -1,
        -1,
    ]
    assert consep().from_native(np.arange(8, dtype=np.uint8)).tolist() == list(range(8))
    ignoring = consep(other="ignore")
    assert ignoring.from_native(np.arange(8)).tolist() == [0, -1, 1, 2, 3, 4, 5, 6]
    assert ignoring.matrix.shape == (7, 12)


def test_consep_merged_and_its_class_other():
    merged = consep(merge=True)
    assert merged.from_native(np.arange(8)).tolist() == [0, 1, 2, 3, 3, 4, 4, 4]
    assert consep().to(merged).tolist() == [0, 1, 2, 3, 3, 4, 4, 4, -1]
    unspecific = leaves_named(consep(other="unspecific"))
    assert unspecific[0] == {"other immune", "other connective", "necrotic"}
    assert unspecific[1] == {"lymphocyte", "macrophage", "neutrophil"}
    with pytest.raises(ValueError, match="meaning of CoNSeP's class other 'dead'"):
        consep(other="dead")


def test_plasma_and_eosinophil_collide_unless_the_tree_tells_them_apart():
    assert lizard().groups[3] == "plasma/eosinophil"
    assert lizard().from_native([1, 2, 3, 4, 5, 6]).tolist() == [1, 2, 3, 4, 4, 5]
    with pytest.raises(ValueError, match="unknown node of the label tree 'plasma'"):
        lizard(separate=True)
    finer = LabelTree(
        tuple(
            path + tail
            for path in NUCLEI.paths
            for tail in ([("plasma",), ("eosinophil",)] if path[-1] == "other immune" else [()])
        )
    )
    assert lizard(separate=True, tree=finer).from_native(np.arange(7)).tolist() == [*range(7)]
    # Cuts that name nodes hold for the finer tree, too.
    assert label_set("pannuke", tree=finer).leaves[1] == (3, 4, 5, 6, 7)
    assert lizard(separate=True, tree=finer).to(lizard(tree=finer)).tolist() == [
        *(0, 1, 2, 3, 4, 4, 5, -1)
    ]


@pytest.mark.parametrize("name", SETS)
def test_a_cut_survives_json(name):
    written = json.loads(json.dumps(label_set(name).to_json()))
    assert LabelSet.from_json(written) == label_set(name)


@pytest.mark.parametrize("name", SETS)
def test_leaves_read_at_a_cut_are_the_rows_of_its_matrix(name):
    groups = label_set(name).from_leaves(np.arange(12))
    for leaf, group in enumerate(groups):
        column = label_set(name).matrix[:, leaf]
        assert column.sum() <= 1
        assert group == (column.argmax() if column.any() else 0)
    outside = label_set(name).from_leaves(np.arange(-1, 12), outside=-1)
    assert outside[0] == -1
    assert ((outside[1:] == -1) == ~label_set(name).matrix.any(axis=0)).all()


def test_classes_of_any_shape_and_layout():
    classes = np.arange(24, dtype=np.uint16).reshape(4, 6)[::2, ::3] % 12
    classes.flags.writeable = False
    read = label_set("superclasses").from_leaves(classes)
    assert read.shape == classes.shape
    assert read.dtype == np.int32
    assert label_set("leaves").from_leaves(np.zeros((0, 3))).shape == (0, 3)


def test_coarser_cuts():
    to_super = label_set("leaves").to(label_set("superclasses"))
    assert to_super.tolist() == [0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, -1]
    assert label_set("leaves").to(label_set("monusac"), outside=-1)[[7, 11]].tolist() == [-1, -1]
    assert label_set("consep").to(label_set("pannuke")).tolist() == [0, 4, 2, 5, 1, 3, 3, 3, -1]


@pytest.mark.parametrize(
    ("fine", "coarse", "message"),
    [
        ("superclasses", "pannuke", "'epithelial' into 'non-neoplastic epithelial', 'neoplastic'"),
        ("pannuke", "monusac", "'inflammatory' into 'Lymphocyte', 'Macrophage', 'Neutrophil', no"),
        ("pannuke", "consep", "'connective' into 'muscle', 'fibroblast', 'endothelial', no class"),
    ],
)
def test_split_classes_are_named(fine, coarse, message):
    with pytest.raises(ValueError, match=message):
        label_set(fine).to(label_set(coarse))


def test_cuts_of_different_trees_are_kept_apart():
    other = LabelTree.of({"cell": {}}).level()
    with pytest.raises(ValueError, match="two different label trees"):
        other.to(label_set("leaves"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: label_set("panuke"), "unknown label set 'panuke'.*did you mean 'pannuke'"),
        (lambda: NUCLEI.numbers("stroma"), "node of the label tree 'stroma'.*'stromal'"),
        (lambda: NUCLEI.level(0), "depth 0"),
        (lambda: LabelTree(()), "at least one leaf"),
        (lambda: LabelTree((("a", "b"), ("c", "b"))), "two nodes of the name 'b'"),
        (lambda: LabelTree((("a", "b"), ("a",))), "'a' occurs twice"),
        (lambda: LabelTree((("a",), ("a",))), "'a' occurs twice"),
        (
            lambda: LabelSet.of(NUCLEI, {"x": ["immune"], "y": ["lymphocyte", "necrotic"]}),
            "'x' and 'y' share 'lymphocyte', and neither holds the other",
        ),
        (lambda: LabelSet.of(NUCLEI, {"x": []}), "no class of this label set"),
        (lambda: LabelSet(NUCLEI, ()), "no class of this label set"),
        (lambda: LabelSet(NUCLEI, (Label(0, "x", ("immune",)),)), r"numbers \[0\]"),
        (lambda: LabelSet(NUCLEI, 2 * (Label(1, "x", ("immune",)),)), r"numbers \[1, 1\]"),
        (lambda: label_set("pannuke").from_native([6]), "6 is no class of the data set; known"),
        (lambda: label_set("pannuke").from_leaves([12]), "12 is no leaf of the tree"),
        (lambda: label_set("pannuke").from_leaves([-2]), "-2 is no leaf"),
        (lambda: label_set("pannuke").from_leaves([1.0]), "must be integers, got float64"),
        (lambda: LabelSet(NUCLEI, (Label(3, "x", ("immune",)),)).from_native([1]), "1 is no class"),
        (lambda: label_set("consep").from_probabilities(np.ones((2, 11))), r"shape \(2, 11\)"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


NESTED = st.recursive(
    st.just({}), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=12
)


def _named(shape, prefix="n") -> dict:
    return {f"{prefix}{k}": _named(inner, f"{prefix}{k}.") for k, inner in enumerate(shape)}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(NESTED, min_size=1, max_size=3))
def test_levels_of_any_tree_partition_its_leaves_and_get_coarser_outwards(shape):
    tree = LabelTree.of(_named(shape))
    depth = max(map(len, tree.paths))
    levels = [tree.level(k) for k in range(1, depth + 1)]
    assert levels[-1].leaves == tree.level().leaves
    for level in levels:
        assert sorted(sum(level.leaves, ())) == list(range(1, len(tree.leaves) + 1))
        assert LabelSet.from_json(level.to_json()) == level
    leaves = np.arange(-1, len(tree.leaves) + 1)
    for outer, inner in itertools.pairwise(levels):
        two_steps = inner.to(outer)[inner.from_leaves(leaves)]
        np.testing.assert_array_equal(two_steps, outer.from_leaves(leaves))


LEVELS = LabelSet.of(
    NUCLEI,
    {
        "epithelial": ["epithelial"],
        "tumor": ["tumoral epithelial"],
        "immune": ["immune"],
        "granular": ["macrophage", "neutrophil"],
        "neutrophil": ["neutrophil"],
        "stroma": ["stromal"],
        "unclear": [],
    },
)


def test_nuclei_may_be_labeled_at_several_levels():
    assert LEVELS.finest.groups == ("tumor", "neutrophil", "stroma")
    assert LEVELS.finest.finest == LEVELS.finest
    assert [LabelSet.finest.func(label_set(name)) for name in SETS] == list(map(label_set, SETS))
    assert LEVELS.from_native([0, 1, 2, 3, 4, 5, 6, 7]).tolist() == [0, 1, 2, 3, 4, 5, 6, -1]
    assert LabelSet.from_json(LEVELS.to_json()) == LEVELS
    # Leaves have the smallest group that holds them.
    names = ["background", *LEVELS.groups]
    leaves = dict(zip(NUCLEI.leaves, LEVELS.from_leaves(np.arange(1, 12)), strict=True))
    assert {leaf: names[group] for leaf, group in leaves.items()} == {
        "normal epithelial": "epithelial",
        "tumoral epithelial": "tumor",
        "lymphocyte": "immune",
        "macrophage": "granular",
        "neutrophil": "neutrophil",
        "other immune": "immune",
        "muscle": "stroma",
        "fibroblast": "stroma",
        "endothelial": "stroma",
        "other connective": "stroma",
        "necrotic": "background",
    }


def test_nuclei_at_several_levels_are_read_at_other_label_sets():
    # At the finest groups, what is coarser is unknown.
    assert LEVELS.to(LEVELS.finest).tolist() == [0, -1, 1, -1, -1, 2, 3, -1]
    assert LEVELS.to(LEVELS).tolist() == [0, 1, 2, 3, 4, 5, 6, -1]
    assert LEVELS.to(label_set("superclasses")).tolist() == [0, 1, 1, 2, 2, 2, 3, -1]
    # Granular holds neutrophil and is split; stroma is a single level, outside of all.
    monusac = LEVELS.to(label_set("monusac"), outside=-1)
    assert monusac.tolist() == [0, 1, 1, -1, -1, 4, -1, -1]
    with pytest.raises(ValueError, match="split: 'stroma' into 'muscle', 'fibroblast'"):
        LEVELS.to(label_set("consep"))
    # From one level to several: each group the smallest that holds all of it.
    assert label_set("pannuke").to(LEVELS).tolist() == [0, 2, 3, 6, 0, 1, -1]


def test_nucls_parts_the_leaves_into_tumour_and_the_rest():
    nucls = label_set("nucls")
    assert [(label.native, label.name) for label in nucls.labels] == [
        (1, "Non-Tumor"),
        (2, "Tumor"),
    ]
    tumour = NUCLEI.leaves.index("tumoral epithelial") + 1
    expected = [2 if leaf == tumour else 1 for leaf in range(1, len(NUCLEI.leaves) + 1)]
    assert nucls.from_leaves(range(1, len(NUCLEI.leaves) + 1)).tolist() == expected
    finer = LabelTree.of({"epithelial": {"tumoral epithelial": {"a": {}, "b": {}}}, "rest": {}})
    assert label_set("nucls", tree=finer).leaves == ((3,), (1, 2))
