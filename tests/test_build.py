"""From a configuration to a network and a representation that fit each other, or to a refusal."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from jaxnuc import build, labels
from jaxnuc import config as configs
from jaxnuc.data import sources
from jaxnuc.data.sources import synthetic
from jaxnuc.durations import TrainingLength
from jaxnuc.losses import schedules
from jaxnuc.representations import base, binary, stardist
from jaxnuc.run import checkpoints

CUT = labels.label_set("consep")


def config(**sections):
    """The default configuration with whole sections, or values, in place of its own."""
    values = configs.default().to_dict() | sections
    return configs.from_json(json.loads(json.dumps(values)))


def make(label_sets=(), **sections):
    given = config(**sections)
    representation = build.make_representation(given, label_sets)
    return build.make_model(given, representation), representation


def test_a_network_gets_the_maps_and_the_grid_of_its_representation():
    model, representation = make(
        [CUT],
        model={"name": "stardist", "base": 4},
        representation={"name": "stardist", "n_rays": 8, "grid": 2},
        classes={"name": "groups", "vote": "center"},
        compute_dtype="bfloat16",
    )
    assert dict(model.outputs) == {"prob": 1, "dist": 8, "class": 1 + len(CUT.groups)}
    assert (model.grid, model.base, model.dtype) == (2, 4, build.DTYPES["bfloat16"])
    assert model.outputs == representation.outputs
    assert representation.options.vote == "center"
    same, _ = make(
        model={"name": "stardist", "grid": 2}, representation={"name": "stardist", "grid": 2}
    )
    assert same.grid == 2


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"model": {"name": "unet"}, "representation": {"name": "stardist", "grid": 2}},
            r"representation.grid=2, but the maps of 'unet' .* take representation.grid=1, or a "
            "network with a grid, such as stardist",
        ),
        (
            {
                "model": {"name": "unet"},
                "representation": {"name": "stardist", "grid": 4},
                "classes": {"name": "groups"},
            },
            "representation.grid=4, but the maps of 'unet'",
        ),
        (
            {
                "model": {"name": "stardist", "grid": 1},
                "representation": {"name": "stardist", "grid": 2},
            },
            r"model.grid=1, but the representation 'stardist' has its maps on a grid of 2; leave "
            "model.grid out",
        ),
        (
            {"model": {"name": "stardist", "grid": 2}, "representation": {"name": "hover"}},
            "model.grid=2, but the representation 'hover' has its maps on a grid of 1; leave",
        ),
        ({"compute_dtype": "float16"}, "compute_dtype='float16'; known: float32, bfloat16"),
        (
            {"model": {"name": "unet", "outputs": {"mask": 1}}},
            "'outputs' of network 'unet' cannot be set here; "
            "the maps are those of the representation",
        ),
        (
            {"model": {"name": "unet", "dtype": "bfloat16"}},
            "'dtype' of network 'unet' cannot be set here; set compute_dtype",
        ),
        (
            {"model": {"name": "unet", "axis_name": "batch"}},
            "'axis_name' of network 'unet' cannot be set",
        ),
        (
            {"model": {"name": "unet", "width": 3}},
            "argument of network 'unet': 'width'.*mean 'widths'",
        ),
        (
            {"representation": {"name": "binary", "classes": "groups"}},
            "'classes' of representation 'binary' cannot be set here; set the section classes",
        ),
        (
            {"classes": {"name": "groups", "label_sets": []}},
            "'label_sets' of class map .* cannot be set here; the label sets are those of the data",
        ),
        (
            {"classes": {"name": "none", "vote": "mean"}},
            "argument of class map 'none': 'vote'; known: none",
        ),
        ({"classes": {"name": "group"}}, "unknown class map 'group'; known: groups, leaves, none"),
        (
            {"representation": {"name": "hover"}, "classes": {"name": "groups", "vote": "center"}},
            "vote='center' needs a representation that detects nuclei at points, such as stardist",
        ),
    ],
)
def test_what_does_not_fit_is_refused(sections, message):
    with pytest.raises(ValueError, match=message):
        make([CUT], **sections)


@dataclass(frozen=True)
class OtherForeground(binary.Representation):
    foreground = "inside"


class OtherMaps(base.MapLoss):
    maps = ("mask", "depth")

    def of_map(self, name, output, batch):
        raise NotImplementedError


OTHER_MAPS = OtherMaps()


@dataclass(frozen=True)
class OtherLoss(binary.Representation):
    loss: base.MapLoss = OTHER_MAPS


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (OtherForeground, "unknown foreground of representation .*: 'inside'; known: mask"),
        (OtherLoss, "unknown map in the loss of representation .*: 'depth'; known: mask"),
    ],
)
def test_maps_that_a_representation_names_are_among_its_outputs(kind, message):
    name = f"{kind.__module__}.{kind.__qualname__}"
    with pytest.raises(ValueError, match=message):
        build.make_representation(config(representation={"name": name}))


def test_classes_need_a_source_with_classes():
    without = sources.create("synthetic", size=32)
    assert build.label_sets_of(without) == ()
    with pytest.raises(ValueError, match=r"'groups' needs a data set with classes; .*'none'"):
        make(build.label_sets_of(without), classes={"name": "groups"})
    make(build.label_sets_of(without), classes={"name": "none"})


def test_the_label_sets_of_a_source():
    class One(synthetic.Source):
        label_set = CUT

    class Several(synthetic.Source):
        label_sets = (CUT, labels.label_set("pannuke"))

    assert build.label_sets_of(One()) == (CUT,)
    assert build.label_sets_of(Several()) == Several.label_sets


@pytest.mark.parametrize(
    ("section", "representation", "missing"),
    [
        ({"name": "self_scheduled"}, {"name": "binary"}, "boundary"),
        ({"name": "self_scheduled"}, {"name": "contour"}, "boundary"),
        ({"name": "self_scheduled"}, {"name": "stardist"}, "boundary"),
        ({"name": "self_scheduled"}, {"name": "binary", "loss": {"name": "dice_boundary"}}, None),
        ({"name": "side_steps", "every": "5 steps"}, {"name": "distance"}, None),
        ({"name": "side_decay", "every": "5 steps"}, {"name": "hover"}, None),
        ({"name": "constant"}, {"name": "hover"}, None),
    ],
)
@pytest.mark.parametrize("classes", ["none", "groups"])
def test_factors_of_a_loss_schedule_are_those_of_the_loss(
    section, representation, missing, classes
):
    given = config(representation=representation, classes={"name": classes})
    made = build.make_representation(given, [CUT])
    schedule = schedules.make(section, TrainingLength(1000, per_epoch=10))
    check = lambda: build.check_schedule(schedule, made, section["name"])
    if missing is None:
        check()
        return
    message = rf"'self_scheduled' sets the factor '{missing}', but .* has side; .* has a boundary"
    with pytest.raises(ValueError, match=message):
        check()


@pytest.mark.parametrize("classes", ["none", "groups"])
def test_stored_thresholds_replace_those_of_the_representation(tmp_path, classes):
    given = config(representation={"name": "stardist", "n_rays": 8}, classes={"name": classes})
    before = build.make_representation(given, [CUT])
    assert (before.label_set is not None) == (classes == "groups")
    assert checkpoints.read_thresholds(tmp_path) == {}
    assert before.with_thresholds({}) == before

    values = {"prob_thresh": 0.65, "nms_thresh": 0.2}
    checkpoints.write_thresholds(tmp_path, values, accuracy=0.7)
    after = before.with_thresholds(checkpoints.read_thresholds(tmp_path))
    decoder = stardist.Suppression(**values)
    assert after.without_classes == stardist.Representation(n_rays=8, decoder=decoder)
    assert after.thresholds == values
    assert after.outputs == before.outputs
    assert before.thresholds == {"prob_thresh": 0.5, "nms_thresh": 0.4}

    maps = {"prob": np.full((8, 8, 1), 0.4), "dist": np.full((8, 8, 8), 3.0)}  # a sigmoid of 0.6
    maps["class"] = np.zeros((8, 8, 1 + len(CUT.groups)))
    assert before.decode(maps).instances.any()
    assert not after.decode(maps).instances.any()
