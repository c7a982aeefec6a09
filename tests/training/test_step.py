"""One step: targets of networks without padding, what a step tells an optimizer."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax.core import FrozenDict

from jaxnuc import representations
from jaxnuc.durations import TrainingLength
from jaxnuc.losses import schedules
from jaxnuc.models import Network
from jaxnuc.training import state
from jaxnuc.training.step import central, make_train_step


class Unpadded(Network):
    margin = 4
    outputs: Mapping[str, int] = FrozenDict({"mask": 1})

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Conv(4, (3, 3), padding="VALID")(images)
        return {"mask": nn.Conv(1, (3, 3), padding="VALID")(x)}


def batch(side=20):
    labels = np.zeros((side, side), np.int32)
    labels[3:9, 4:12], labels[11:18, 10:17] = 1, 2
    image = np.where(labels[..., None] > 0, 200, 20).astype(np.uint8).repeat(3, axis=-1)
    targets = representations.create("binary").encode(labels)
    return {"image": image[None], "targets": {k: v[None] for k, v in targets.items()}}


def test_targets_are_cropped_to_the_center():
    x = np.arange(2 * 10 * 12).reshape(2, 10, 12, 1)
    found = central({"mask": x, "label_set": np.array([0, 1])}, 5)
    np.testing.assert_array_equal(found["mask"], x[:, 2:7, 2:9])
    np.testing.assert_array_equal(found["label_set"], [0, 1])


def test_an_unpadded_network_learns_its_center():
    binary = representations.create("binary", loss={"name": "bce"})
    optimizer = optax.adam(0.05)
    current = state.create(Unpadded(), optimizer, seed=0)
    step = jax.jit(make_train_step(Unpadded(), binary, optimizer))
    losses = []
    for _ in range(40):
        current, metrics = step(current, batch(), jax.random.key(0))
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.2 * losses[0]
    maps = Unpadded().apply(current.variables(), batch()["image"] / np.float32(255))
    np.testing.assert_array_equal(maps["mask"][0] > 0, batch()["targets"]["mask"][0, 2:-2, 2:-2])


def test_side_maps_must_be_there_to_be_weighed():
    binary, optimizer = representations.create("binary"), optax.sgd(0.1)
    section = {"name": "side_decay", "every": "1 steps"}
    schedule = schedules.make(section, TrainingLength(10))
    current = state.create(Unpadded(), optimizer, seed=0, loss_schedule=schedule)
    step = make_train_step(Unpadded(), binary, optimizer, loss_schedule=schedule)
    with pytest.raises(ValueError, match="weighs side maps, but the network gives none"):
        jax.eval_shape(step, current, batch(), jax.random.key(0))


def spy():
    """An optimizer that keeps what it is told beside the gradients."""

    def update(updates, state, params=None, *, value, ready=None, **_):
        ready = jnp.bool_(False) if ready is None else ready
        return jax.tree.map(jnp.zeros_like, updates), {"value": value, "ready": ready}

    start = {"value": jnp.float32(0), "ready": jnp.bool_(False)}
    return optax.GradientTransformationExtraArgs(lambda params: start, update)


def test_an_optimizer_is_told_the_loss_and_the_stage():
    binary = representations.create("binary", loss={"name": "dice_boundary"})
    schedule = schedules.SelfScheduled(
        watch="mask/dice",
        smoothing="1 steps",
        window="1 steps",
        improvement=0.5,
        earliest="3 steps",
        latest=1.0,
        ramp="2 steps",
        final=0.4,
    ).start(TrainingLength(10))
    current = state.create(Unpadded(), spy(), seed=0, loss_schedule=schedule)
    step = jax.jit(make_train_step(Unpadded(), binary, spy(), loss_schedule=schedule))
    ready, factors = [], []
    for _ in range(6):
        current, metrics = step(current, batch(), jax.random.key(0))
        ready.append(bool(current.opt_state["ready"]))
        factors.append(float(metrics["boundary_factor"]))
        np.testing.assert_array_equal(current.opt_state["value"], metrics["loss"])
    assert ready == [False, False, True, True, True, True]
    np.testing.assert_allclose(factors, [0, 0, 0, 0, 0.2, 0.4], atol=1e-6)
    terms = {k: float(metrics[f"mask/{k}"]) for k in ("dice", "band", "gradient")}
    expected = 0.6 * terms["dice"] + 0.4 * (terms["band"] + terms["gradient"])
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)
