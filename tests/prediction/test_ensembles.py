"""Several networks as one: their maps averaged, and what does not fit together refused."""

import json
from dataclasses import replace

import numpy as np
import optax
import pytest
from ml_collections import ConfigDict
from scipy import special

import jaxnuc
from jaxnuc import build, labels
from jaxnuc.evaluation.checkpoint import Data, evaluate_checkpoint
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.labels import LabelSet, LabelTree
from jaxnuc.prediction.batches import BatchRunner
from jaxnuc.run import checkpoints
from jaxnuc.run.checkpoints import Checkpoints
from jaxnuc.training import state

TREE = LabelTree((("tumour",), ("immune", "lymphocyte"), ("immune", "plasma")))
CUTS = (LabelSet.of(TREE, {"tumour": ["tumour"], "immune": ["immune"]}),)
CLASSES = {"classes": {"name": "groups"}}


def configured(representation="contour", **changes):
    config = jaxnuc.config.default()
    sizes = {"variant": "small", "layers": 1, "base_filters": 2}
    config.model = ConfigDict({"name": "flexible_unet", **sizes})
    config.representation = ConfigDict(
        {"name": representation} if isinstance(representation, str) else representation
    )
    for key, value in changes.items():
        config[key].update(value)
    return config


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """`checkpoint(seed, **changes)`: the workdir of a network that was not trained."""
    made = {}

    def make(seed=0, label_sets=(), **changes):
        key = repr((seed, label_sets, changes))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("run")
            config = configured(**changes)
            model = build.make_model(config, build.make_representation(config, label_sets))
            current = state.create(model, optax.sgd(0.1), seed)
            with Checkpoints(made[key]) as checkpoints:
                checkpoints.save(current, {}, jaxnuc.config.to_json(config), None, label_sets)
        return made[key]

    return make


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)


def probabilities(maps):
    return {
        name: special.expit(m) if m.shape[-1] == 1 else special.softmax(m, axis=-1)
        for name, m in maps.items()
    }


def same(found, expected, atol=1e-5):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert np.ptp(values) > 1e-3
        np.testing.assert_allclose(found[name], values, atol=atol, rtol=1e-4)


def test_a_network_and_itself_are_the_network(checkpoint, image):
    workdir = checkpoint(label_sets=CUTS, **CLASSES)
    alone, twice = jaxnuc.load(workdir), jaxnuc.load([workdir, str(workdir)])
    same(probabilities(twice.maps(image)), probabilities(alone.maps(image)), 1e-6)
    np.testing.assert_array_equal(twice(image).instances, alone(image).instances)


@pytest.mark.parametrize("symmetries", [(0,), tuple(range(8))])
def test_maps_are_the_mean_over_networks_and_symmetries(checkpoint, image, symmetries):
    one = checkpoint(0, CUTS, **CLASSES)
    other = checkpoint(1, CUTS, model={"base_filters": 3}, **CLASSES)
    each = [probabilities(jaxnuc.load(w, symmetries=symmetries).maps(image)) for w in (one, other)]
    expected = {name: np.mean([m[name] for m in each], axis=0) for name in each[0]}
    assert expected["class"].shape == (50, 60, 3)
    found = jaxnuc.load([one, other], symmetries=symmetries).maps(image)
    same(probabilities(found), expected)


def test_maps_that_are_no_logits_are_averaged_as_they_are(checkpoint, image):
    stardist = {"representation": "stardist"}
    workdirs = [checkpoint(0, **stardist), checkpoint(1, **stardist)]
    expected = np.mean([jaxnuc.load(w).maps(image)["dist"] for w in workdirs], axis=0)
    same({"dist": jaxnuc.load(workdirs).maps(image)["dist"]}, {"dist": expected})


@pytest.mark.parametrize("symmetries", [(0,), (3, 6, 1)])
def test_batches_give_what_single_images_give(checkpoint, symmetries):
    workdirs = [checkpoint(0), checkpoint(1, model={"base_filters": 3})]
    predictor = jaxnuc.load(workdirs, symmetries=symmetries, agreement=True)
    rng = np.random.default_rng(0)
    tiles = [(i, rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for i in range(5)]
    found = list(BatchRunner(predictor, size=2)(iter(tiles)))
    assert [number for number, _, _ in found] == [0, 1, 2, 3, 4]
    for (_, maps, members), (_, pixels) in zip(found, tiles, strict=True):
        same(maps, predictor.maps(pixels), 1e-4)
        expected = predictor.members(pixels)
        assert len(members) == len(expected) == 2 * len(symmetries)
        for one, other in zip(members, expected, strict=True):
            same(one, other, 1e-4)
    silent = BatchRunner(replace(predictor, agreement=False), size=2)
    assert [members for _, _, members in silent(iter(tiles))] == [()] * 5


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ({}, {"representation": "binary"}, "representation is 'contour' in .* and 'binary'"),
        ({}, {"representation": {"name": "contour", "channels": 2}}, "channels is 1 in .* and 2"),
        ({}, {"data": {"mpp": 0.5}}, r"data\.mpp is 0\.0 in .* and 0\.5 in"),
        ({"data": {"normalize": "percentile"}}, {}, "normalize is 'percentile' in .* and 'none'"),
        ({}, {"label_sets": CUTS, **CLASSES}, "classes is 'none' in .* and 'groups'"),
        (
            {
                "label_sets": (LabelSet.of(TREE, {"immune": ["immune"], "tumour": ["tumour"]}),),
                **CLASSES,
            },
            {"label_sets": CUTS, **CLASSES},
            r"classes\.leaves is \(\(2, 3\), \(1,\)\) in .* and \(\(1,\), \(2, 3\)\)",
        ),
    ],
)
def test_networks_whose_maps_differ_in_meaning_are_refused(checkpoint, one, other, message):
    workdirs = [checkpoint(**one), checkpoint(**other)]
    with pytest.raises(ValueError, match=message) as error:
        jaxnuc.load(workdirs)
    assert all(str(workdir) in str(error.value) for workdir in workdirs)


def test_thresholds_are_those_of_the_first(checkpoint):
    stardist = {"representation": "stardist"}
    one, other = checkpoint(0, **stardist), checkpoint(2, **stardist)
    chosen = {"prob_thresh": 0.625, "nms_thresh": 0.25}
    checkpoints.write_thresholds(other / "checkpoints" / "0", chosen, accuracy=0.5)
    assert jaxnuc.load([other, one]).representation.thresholds == chosen
    assert jaxnuc.load([one, other]).representation.thresholds != chosen


def test_classes_are_read_at_a_label_set(checkpoint, image):
    settings = {
        "classes": {"name": "leaves"},
        "representation": {"name": "binary", "decoder": {"threshold": 0.01}},
    }
    workdir = checkpoint(0, (labels.label_set("pannuke"),), **settings)
    own, named = jaxnuc.load(workdir), jaxnuc.load(workdir, label_set="consep")
    assert named.decode.class_names == ("background", *labels.label_set("consep").groups)
    merged = labels.label_set("consep", merge=True)
    given = jaxnuc.load([workdir, workdir], label_set=merged)
    assert given.decode.class_names == ("background", *merged.groups)
    found = own(image).class_probabilities
    assert len(found)
    for predictor, label_set in ((named, labels.label_set("consep")), (given, merged)):
        expected = label_set.from_probabilities(found)
        read = predictor(image)
        np.testing.assert_allclose(read.class_probabilities, expected, atol=1e-5)
        np.testing.assert_array_equal(read.classes, 1 + expected[:, 1:].argmax(axis=1))
    with pytest.raises(ValueError, match="unknown label set 'conseb'; known: consep, leaves"):
        jaxnuc.load(workdir, label_set="conseb")
    with pytest.raises(ValueError, match="unknown node of the label tree"):
        jaxnuc.load(checkpoint(label_sets=CUTS, **CLASSES), label_set="consep")  # of another tree
    with pytest.raises(ValueError, match="be split: 'immune' into 'lymphocyte', 'plasma'"):
        jaxnuc.load(checkpoint(label_sets=CUTS, **CLASSES), label_set="leaves")
    with pytest.raises(ValueError, match="predicts no classes"):
        jaxnuc.load(checkpoint(0), label_set="consep")


def test_nothing_to_load_and_nothing_to_agree(checkpoint):
    with pytest.raises(ValueError, match="one workdir or several"):
        jaxnuc.load([])
    with pytest.raises(ValueError, match=r"take several checkpoints, or symmetries=range\(8\)"):
        jaxnuc.load(checkpoint(), agreement=True)


@pytest.mark.usefixtures("blank_charts")
def test_an_ensemble_is_evaluated(checkpoint, tmp_path):
    workdirs = [checkpoint(0), checkpoint(1)]
    with pytest.raises(ValueError, match="ensemble of 2 workdirs has no folder of its own"):
        evaluate_checkpoint(workdirs, data=Data("val"))
    figures, folder = evaluate_checkpoint(
        workdirs,
        output=tmp_path,
        data=Data("val"),
        options=EvaluationOptions(overlays=0, progress=False),
    )
    assert folder == tmp_path
    assert figures["images"] > 0
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert [name in str(content) for name in map(str, workdirs)] == [True, True]
