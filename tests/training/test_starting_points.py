"""Where a training starts from: published weights, another run."""

import shutil

import jax
import numpy as np
import optax
import pytest

from jaxnuc import models, pretrained
from jaxnuc.run.checkpoints import find
from jaxnuc.training import state
from jaxnuc.training.loop import train_and_evaluate
from jaxnuc.training.starting_point import with_weights


def first_params(workdir, saved):
    """Parameters after one step with a learning rate of 0."""
    return {k: v for k, v in saved(workdir).items() if k.startswith("['params']")}


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


def test_a_published_layout(tiny, tmp_path):
    """The encoder comes from the file, the rest stays as the seed has it."""
    encoder = {"blocks": (1, 1, 1, 1), "base_width": 4, "features": 4, "low_features": 4}
    model = {"name": "deeplabv3_plus", "block": "basic", **encoder}
    network = models.create(outputs={"mask": 1}, **model)
    first, other = (
        state.create(network, optax.sgd(0.0), seed, ema=True, teacher=True) for seed in (1, 2)
    )
    exported = pretrained.export(
        {"params": other.params, "batch_stats": other.batch_stats}, "resnet"
    )
    np.savez(tmp_path / "resnet.npz", **exported)
    section = tiny(**{"weights.file": str(tmp_path / "resnet.npz")}).weights
    found = with_weights(first, network, section)
    for params in (found.params, found.ema, found.teacher):
        for part, tree in params.items():
            expected = other.params if part == "encoder" else first.params
            jax.tree.map(np.testing.assert_array_equal, tree, expected[part])
    encoders = [x.params["encoder"]["conv1"]["kernel"] for x in (first, other)]
    assert not np.array_equal(*encoders)


def test_what_does_not_fit_is_refused(tiny, uninterrupted, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        train_and_evaluate(
            tiny(**{"weights.file": str(tmp_path / "nothing.safetensors")}), tmp_path
        )
    config = tiny(**{"weights.file": str(uninterrupted), "weights.keep": "x.*"})
    with pytest.raises(ValueError, match="are for published files"):
        train_and_evaluate(config, tmp_path / "c")


def test_a_run_of_another_model_is_refused(tiny, uninterrupted, tmp_path):
    config = tiny(**{"weights.file": str(uninterrupted)})
    config.model.base_filters = 8
    with pytest.raises(
        ValueError, match=r"of another model: .* is \(4,\) in the checkpoint, and \(8,\) in"
    ):
        train_and_evaluate(config, tmp_path / "wider")
    config = tiny(**{"weights.file": str(uninterrupted), "representation": {"name": "hover"}})
    with pytest.raises(ValueError, match=r"of another model: .* is missing in the checkpoint"):
        train_and_evaluate(config, tmp_path / "hover")


def test_weights_are_not_needed_to_go_on(tiny, uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path / "first")
    changes = {"weights.file": str(tmp_path / "first"), "schedule": {"name": "constant"}}
    train_and_evaluate(tiny(duration="1 steps", **changes), tmp_path / "run")
    shutil.rmtree(tmp_path / "first")
    train_and_evaluate(tiny(duration="2 steps", **changes), tmp_path / "run")
    assert find(tmp_path / "run", "latest").name == "2"
