"""Where a training starts from: published weights, another run, and what of it fits."""

import logging
import shutil

import jax
import numpy as np
import optax
import pytest

from jaxnuc import build, models, pretrained
from jaxnuc import config as configs
from jaxnuc.labels import LabelSet, LabelTree
from jaxnuc.run.checkpoints import Checkpoints, find
from jaxnuc.training import state
from jaxnuc.training.loop import train_and_evaluate
from jaxnuc.training.starting_point import create_from_weights

OPTIMIZER = optax.sgd(0.0)


def first_params(workdir, saved):
    """Parameters after one step with a learning rate of 0."""
    return {k: v for k, v in saved(workdir).items() if k.startswith("['params']")}


def flat(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    return {name(path): np.asarray(leaf) for path, leaf in leaves}


def classes(*names):
    tree = LabelTree.of({name: {} for name in names})
    return (LabelSet.of(tree, {name: [name] for name in names}),)


@pytest.fixture(scope="session")
def tiny(tiny):
    """Of two levels, as `uninterrupted`, and so that one can start fresh."""
    return lambda **changes: tiny(**{"model.layers": 2, **changes})


@pytest.fixture
def parts(tiny):
    """`parts(label_sets, **changes)`: a configuration, its network and its representation."""

    def make(label_sets=(), **changes):
        config = tiny(**changes, **({"classes": {"name": "groups"}} if label_sets else {}))
        representation = build.make_representation(config, label_sets)
        return config, build.make_model(config, representation), representation

    return make


@pytest.fixture
def run(parts, tmp_path):
    """`run(label_sets)`: a run of one checkpoint of random parameters, and its first state."""

    def make(label_sets=()):
        config, model, _ = parts(label_sets)
        first = state.create(model, OPTIMIZER, seed=7)
        # Statistics that no network starts with.
        first = first.replace(batch_stats=jax.tree.map(lambda x: x + 3, first.batch_stats))
        with Checkpoints(tmp_path / "first") as checkpoints:
            checkpoints.save(first, {}, configs.to_json(config), None, label_sets)
        return tmp_path / "first", first

    return make


def start(made, run, **patterns):
    """Variables that a run gives, by path."""
    config, model, representation = made
    config.weights.update({"file": str(run), **patterns})
    parts = state.initialization(model), representation, OPTIMIZER
    first, _ = create_from_weights(config, *parts, ema=True, teacher=True)
    for average in (first.ema, first.teacher):
        jax.tree.map(np.testing.assert_array_equal, average, first.params)
    return flat({"params": first.params, "batch_stats": first.batch_stats})


def assert_taken(found, weights, network, fresh):
    """To the bit: the fresh arrays are those of the seed, all others those of the weights."""
    seed = state.create(network, OPTIMIZER, seed=0)
    seed = flat({"params": seed.params, "batch_stats": seed.batch_stats})
    weights = flat({"params": weights.params, "batch_stats": weights.batch_stats})
    assert found.keys() == seed.keys()
    assert fresh < found.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, (seed if name in fresh else weights)[name], name)


def test_another_run(tiny, uninterrupted, saved, tmp_path):
    still = {"name": "sgd", "learning_rate": 0.0}
    changes = {"weights.file": str(uninterrupted), "duration": "1 steps", "optimizer": still}
    config = tiny(**changes, schedule={"name": "constant"})
    train_and_evaluate(config, tmp_path)
    found = first_params(tmp_path, saved)
    best = find(uninterrupted)  # its averaged parameters are those that are evaluated
    averaged = {k: v for k, v in saved(uninterrupted, int(best.name)).items() if "['ema']" in k}
    assert len(found) == len(averaged) > 0
    for key, value in averaged.items():
        np.testing.assert_array_equal(found[key.replace("['ema']", "['params']")], value)


def test_another_head(parts, run, caplog):
    workdir, weights = run()
    made = parts(representation={"name": "hover"})
    with caplog.at_level(logging.INFO):
        found = start(made, workdir)
    # The maps np and hv in place of mask and contour; all else is taken.
    fresh = {f"params/{m}_head/{array}" for m in ("hv", "np") for array in ("bias", "kernel")}
    assert_taken(found, weights, made[1], fresh)
    line = next(x for x in caplog.messages if "start fresh" in x)
    assert all(name.partition("/")[2] in line for name in fresh)
    assert f"{len(found) - 4} of {len(found)} arrays are those of {workdir}" in line

    more = start(made, workdir / "checkpoints" / "0", keep="down0/.*", drop=".*/mean")
    fresh |= {name for name in found if "/down0/" in name}
    fresh |= {name for name in found if name.endswith("/mean")}
    assert_taken(more, weights, made[1], fresh)


def test_other_classes(parts, run):
    """Their head starts fresh, also where they are as many; the same ones are taken."""
    workdir, weights = run(classes("small", "large"))
    head = {"params/class_head/bias", "params/class_head/kernel"}
    for names, fresh in (
        (("small", "large"), set()),
        (("large", "small"), head),
        (("a", "b", "c"), head),
    ):
        made = parts(classes(*names))
        assert_taken(start(made, workdir), weights, made[1], fresh)
    assert_taken(start(made := parts(), workdir), weights, made[1], set())


def test_a_published_layout(tiny, tmp_path):
    """The encoder comes from the file, the rest stays as the seed has it."""
    encoder = {"blocks": (1, 1, 1, 1), "base_width": 4, "features": 4, "low_features": 4}
    section = {"name": "deeplabv3_plus", "block": "basic", **encoder}
    network = models.create(outputs={"mask": 1}, **section)
    first, other = (state.create(network, OPTIMIZER, seed) for seed in (0, 2))
    exported = pretrained.export(
        {"params": other.params, "batch_stats": other.batch_stats}, "resnet"
    )
    np.savez(tmp_path / "resnet.npz", **exported)
    config = tiny(**{"model": section, "representation": {"name": "binary"}})
    made = (config, network, build.make_representation(config))
    found = start(made, tmp_path / "resnet.npz")
    assert_taken(found, other, network, {name for name in found if "/encoder/" not in name})
    kernels = [x.params["encoder"]["conv1"]["kernel"] for x in (first, other)]
    assert not np.array_equal(*kernels)


def test_what_does_not_fit_is_refused(tiny, parts, run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        train_and_evaluate(
            tiny(**{"weights.file": str(tmp_path / "nothing.safetensors")}), tmp_path
        )
    workdir, _ = run()
    with pytest.raises(ValueError, match="keep='x' is the path of no array of the network"):
        start(parts(), workdir, keep="x")
    with pytest.raises(ValueError, match="drop='x' is no name among those of the weights"):
        start(parts(), workdir, drop="x")
    made = parts()
    made[0].model.base_filters = 8
    wider = build.make_model(made[0], made[2])
    with pytest.raises(
        ValueError,
        match=r"a run of 'flexible_unet', for the network 'flexible_unet': no array fits",
    ):
        start((made[0], wider, made[2]), workdir)
    config = tiny(optimizer={"name": "sgd", "learning_rate": 1.0, "taken_rate": 0.1})
    with pytest.raises(ValueError, match=r"taken_rate and .* set weights\.file"):
        train_and_evaluate(config, tmp_path / "none")


def test_weights_are_not_needed_to_go_on(tiny, run, saved, tmp_path):
    """What is taken is held for two steps, after a restart too, and both ways end the same."""
    workdir, weights = run()
    weights = flat(weights.params)
    optimizer = {"name": "adamw", "learning_rate": 1e-2}
    optimizer |= {"taken_rate": 0.1, "taken_frozen_until": "2 steps"}
    changes = {"schedule": {"name": "constant"}, "optimizer": optimizer, "ema_decay": 0.5}
    changes |= {"weights.file": str(workdir), "representation": {"name": "hover"}}
    changes |= {"checkpoint_every": "1 steps", "evaluation.every": "3 steps"}
    train_and_evaluate(tiny(duration="3 steps", **changes), tmp_path / "whole")
    shutil.rmtree(workdir)
    states = {step: saved(tmp_path / "whole", step) for step in (2, 3)}
    (tmp_path / "run").mkdir()
    shutil.copy(tmp_path / "whole" / "config.json", tmp_path / "run")
    shutil.copytree(tmp_path / "whole/checkpoints/2", tmp_path / "run/checkpoints/2")
    train_and_evaluate(tiny(duration="3 steps", **changes), tmp_path / "run")
    again = saved(tmp_path / "run")
    assert again.keys() == states[3].keys()
    for name, array in again.items():
        np.testing.assert_array_equal(array, states[3][name], name)
        if name.startswith("['params']"):
            path = "/".join(name.strip("[']").split("']['")[1:])
            before = states[2][name]
            assert ("head" in path) != np.array_equal(before, weights.get(path)), path
            assert not np.array_equal(before, array), path
