"""The number of devices and of processes does not change a training."""

import socket

import pytest
from ml_collections import ConfigDict

from jaxnuc.run.checkpoints import find, read_thresholds
from jaxnuc.training.loop import train_and_evaluate


@pytest.fixture
def config(tiny):
    # Batch normalization, a Dice pooled over the batch, and dropout.
    # SGD: Adam's division makes rounding of tiny gradients as large as the gradients.
    config = tiny(
        duration="6 steps",
        optimizer={"name": "sgd", "learning_rate": 0.01},
        **{"evaluation.every": "3 steps"},
    )
    config.model.update(layers=2, dropout_rate=0.4)  # the first level drops nothing
    return config


def two_processes(config, workdir, start):
    """Starts a training in two processes of two devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = []
    for index in range(2):
        shared = config.copy_and_resolve_references()
        shared.distributed.update(processes=2, index=index, coordinator=f"localhost:{port}")
        processes.append(start(shared, workdir, devices=2))
    return processes


def test_devices_and_processes_as_one(tmp_path, config, start, finish, lines, same_curve):
    train_and_evaluate(config, tmp_path / "one")
    finish(start(config, tmp_path / "four", devices=4))
    same_curve(lines(tmp_path / "one"), lines(tmp_path / "four"))

    for process in two_processes(config, tmp_path / "two", start):
        finish(process)
    same_curve(lines(tmp_path / "one"), lines(tmp_path / "two"))

    # What two processes saved goes on in one.
    config.duration = "8 steps"
    for run in ("one", "two"):
        train_and_evaluate(config, tmp_path / run)
    assert lines(tmp_path / "two")[-1]["step"] == 8
    same_curve(lines(tmp_path / "one"), lines(tmp_path / "two"))


def test_two_processes_choose_thresholds(tmp_path, config, start, finish):
    config.representation = ConfigDict({"name": "stardist", "n_rays": 8})
    config.evaluation.optimize_thresholds = True
    config.duration = "3 steps"
    for process in two_processes(config, tmp_path, start):
        finish(process)
    assert {*read_thresholds(find(tmp_path))} == {"prob_thresh", "nms_thresh"}


@pytest.mark.parametrize(
    ("distributed", "message"),
    [
        ({"processes": 2, "index": 0, "coordinator": ""}, "needs distributed.coordinator"),
        ({"processes": 2, "index": 2, "coordinator": "localhost:1"}, "not one of 2 processes"),
    ],
)
def test_incomplete_descriptions_of_several_processes(tmp_path, tiny, distributed, message):
    with pytest.raises(ValueError, match=message):
        train_and_evaluate(tiny(distributed=distributed), tmp_path)
