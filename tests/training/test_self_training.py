"""Self-training: its step against a literal one, its teacher, restarts, devices, and refusals."""

from collections.abc import Mapping

import jax
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax.core import FrozenDict
from ml_collections import ConfigDict
from PIL import Image

from jaxnuc import representations
from jaxnuc.losses import consistency
from jaxnuc.models import Network
from jaxnuc.representations.symmetries import ALL
from jaxnuc.training import loop, state
from jaxnuc.training.loop import train_and_evaluate
from jaxnuc.training.reporting import Reporter
from jaxnuc.training.self_training import SelfTraining
from jaxnuc.training.step import make_train_step

SIDE = 12
KEY = jax.random.key(3)


class Net(Network):
    """Two convolutions, of which the second is without padding."""

    margin = 2
    outputs: Mapping[str, int] = FrozenDict({"prob": 1, "dist": 4})
    norm: bool = False

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Conv(4, (3, 3))(images)
        if self.norm:
            x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        x = nn.tanh(x)
        channels = {"prob": 1, "dist": 4}
        return {k: nn.Conv(c, (3, 3), padding="VALID", name=k)(x) for k, c in channels.items()}


STARDIST = representations.create("stardist", n_rays=4)


def batch(count=2):
    rng = np.random.default_rng(0)
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[2:8, 3:9] = 1
    encoded = STARDIST.encode(labels)
    image = lambda: rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    return {
        "image": image(),
        "targets": {k: np.stack([v] * count) for k, v in encoded.items()},
        "unlabeled": {"image": image(), "student": image()},
    }


def trained(self_training, steps=1, norm=False, rate=0.1):
    """The states before and after each step, and the metrics of each."""
    model, optimizer = Net(norm=norm), optax.sgd(rate)
    teacher = self_training is not None
    states = [state.create(model, optimizer, seed=0, teacher=teacher)]
    step = jax.jit(make_train_step(model, STARDIST, optimizer, self_training=self_training))
    metrics, given = [], batch()
    if not teacher:
        del given["unlabeled"]
    for _ in range(steps):
        after, values = step(states[-1], given, KEY)
        states.append(after)
        metrics.append(values)
    return states, metrics


def test_the_teacher_is_an_average_in_closed_form():
    states, _ = trained(SelfTraining(STARDIST, decay=0.4), steps=6)
    expected = jax.tree.map(np.asarray, states[0].params)
    for number, current in enumerate(states[1:]):
        decay = min(0.4, (1 + number) / (10 + number))
        mix = lambda old, new, d=decay: d * old + (1 - d) * np.asarray(new)
        expected = jax.tree.map(mix, expected, current.params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
            current.teacher,
            expected,
        )


def turned(images, k):
    images = images[:, :, ::-1] if k >= 4 else images
    return np.rot90(images, k % 4, axes=(1, 2))


def turned_back(images, k):
    images = np.rot90(images, -(k % 4), axes=(1, 2))
    return images[:, :, ::-1] if k >= 4 else images


def literally(params, teacher, k, confidence):
    """The consistency under symmetry k and the share of confident pixels, turned by NumPy."""
    seen = {name: x / np.float32(255) for name, x in batch()["unlabeled"].items()}
    maps = Net().apply({"params": params}, turned(seen["student"], k))
    maps = {name: turned_back(np.asarray(m), k) for name, m in maps.items()}
    maps["dist"] = np.stack([STARDIST.output_maps["dist"].undo(m, k) for m in maps["dist"]])
    taught = Net().apply({"params": teacher}, seen["image"])
    return consistency(maps, taught, {"prob": "logits", "dist": "directions"}, confidence)


@pytest.mark.parametrize("k", [0, 3, 5])
def test_the_loss_has_the_difference_from_the_teacher(k):
    rule = SelfTraining(STARDIST, weight=3.0, warmup=4, confidence=0.4, symmetries=(k,))
    states, metrics = trained(rule, steps=3)
    for number, (before, values) in enumerate(zip(states, metrics, strict=False)):
        expected, share = literally(before.params, before.teacher, k, 0.4)
        np.testing.assert_allclose(values["consistency"], expected, rtol=1e-4)
        np.testing.assert_allclose(values["confident"], share, rtol=1e-5)
        labeled = values["prob/bce"] + 0.2 * values["dist/mae"]
        total = labeled + 3.0 * (number + 1) / 4 * expected
        np.testing.assert_allclose(values["loss"], total, rtol=1e-4)


def test_each_step_draws_a_symmetry():
    states, metrics = trained(SelfTraining(STARDIST, confidence=0.4, symmetries=ALL), 12, rate=0.0)
    (params, teacher) = states[0].params, states[0].teacher
    possible = np.array([literally(params, teacher, k, 0.4)[0] for k in ALL])
    distances = np.abs([values["consistency"] - possible for values in metrics])
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-5)
    assert len({*distances.argmin(axis=1)}) > 3


def test_batch_statistics_are_those_of_both_domains_and_the_teacher_takes_the_running_ones():
    (before, after), (values,) = trained(SelfTraining(STARDIST, confidence=0.0), norm=True)
    given = batch()
    images = np.concatenate([given["image"], given["unlabeled"]["student"]]) / np.float32(255)
    variables = {"params": before.params, "batch_stats": before.batch_stats}
    maps, updated = Net(norm=True).apply(variables, images, train=True, mutable=["batch_stats"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        after.batch_stats,
        updated["batch_stats"],
    )
    taught = Net(norm=True).apply(variables, given["unlabeled"]["image"] / np.float32(255))
    student = {name: m[2:] for name, m in maps.items()}
    expected, _ = consistency(student, taught, {"prob": "logits", "dist": "directions"}, 0.0)
    np.testing.assert_allclose(values["consistency"], expected, rtol=1e-4)


def test_without_weight_it_is_the_training_without():
    """Of a network whose images do not see each other."""
    off, _ = trained(None, steps=4)
    on, _ = trained(SelfTraining(STARDIST, weight=0.0), steps=4)
    assert off[-1].teacher is None
    assert len(jax.tree.leaves(on[-1])) == len(jax.tree.leaves(off[-1])) + len(
        jax.tree.leaves(off[-1].params)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        on[-1].params,
        off[-1].params,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1.0}, "weight=-1.0 must not be negative"),
        ({"decay": 1.5}, "decay 1.5 is not within"),
        ({"confidence": 2.0}, "confidence 2.0 is not within"),
        ({"symmetries": (0, 8)}, r"self_training.symmetries: .* some of 0\.\.7"),
        ({"n_rays": 6, "symmetries": (0, 1)}, "does not lead from rays to rays if they are 6"),
        ({"grid": 2, "symmetries": (0, 4)}, r"on a grid of 2 .*; take \(0,\)"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    own = {name: arguments.pop(name) for name in ("n_rays", "grid") if name in arguments}
    representation = representations.create("stardist", **own)
    with pytest.raises(ValueError, match=message):
        SelfTraining(representation, **arguments)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((10, 10), r"\(12, 12\) pixels, self_training.transforms of \(10, 10\)"), ((12, 8), "")],
)
def test_crops_have_the_size_of_the_labeled_ones(shape, message):
    rule, given = SelfTraining(STARDIST, symmetries=ALL), batch()
    cut = lambda x: x[:, : shape[0], : shape[1]]
    given["unlabeled"] = {name: cut(x) for name, x in given["unlabeled"].items()}
    if not message:  # both have these sides
        given["image"] = cut(given["image"])
        given["targets"] = {name: cut(x) for name, x in given["targets"].items()}
        message = r"\(12, 8\) pixels cannot make a quarter turn"
    current = state.create(Net(), optax.sgd(0.1), seed=0, teacher=True)
    step = make_train_step(Net(), STARDIST, optax.sgd(0.1), self_training=rule)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(step, current, given, KEY)


# --- whole trainings


@pytest.fixture(scope="session")
def unlabeled(tmp_path_factory):
    """Dark discs on a bright ground, without label images."""
    root = tmp_path_factory.mktemp("unlabeled")
    rng = np.random.default_rng(1)
    for number in range(5):
        Image.fromarray(rng.integers(100, 250, (32, 32, 3), np.uint8)).save(root / f"{number}.png")
    return root


@pytest.fixture
def config(tiny, unlabeled):
    return tiny(
        optimizer={"name": "sgd", "learning_rate": 0.01},
        checkpoint_every="3 steps",
        **{
            "self_training.source": {"name": "folder", "images": ".", "labels": ""},
            "self_training.root": str(unlabeled),
            "self_training.split": "all",
            "self_training.transforms": ("flip_turn()",),
            "self_training.batch_size": 2,
            "self_training.warmup": "4 steps",
            "self_training.confidence": 0.5,
        },
    )


def test_a_run_that_breaks_off_ends_as_if_it_had_not(tmp_path, config, same_run, lines, saved):
    train_and_evaluate(config, tmp_path / "whole")
    log = Reporter.log

    def interrupt(self, step, values):
        log(self, step, values)
        if step == 5:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Reporter, "log", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_and_evaluate(config, tmp_path / "broken")
    train_and_evaluate(config, tmp_path / "broken")
    same_run(tmp_path / "whole", tmp_path / "broken")

    (first, *_) = lines(tmp_path / "whole")
    assert first["train/consistency"] > 0
    assert first["train/confident"] == 1  # of two probabilities the larger is at least 0.5
    arrays = saved(tmp_path / "whole")
    moved = [k for k in arrays if "teacher" in k]
    assert moved
    assert any((arrays[k] != arrays[k.replace("teacher", "params")]).any() for k in moved)


def test_two_devices_are_one(tmp_path, config, start, finish, lines, same_curve):
    config.duration = "5 steps"
    train_and_evaluate(config, tmp_path / "one")
    finish(start(config, tmp_path / "two", devices=2))
    same_curve(lines(tmp_path / "one"), lines(tmp_path / "two"))


def test_a_source_of_the_same_name_is_below_the_same_root(config):
    config.self_training.source = ConfigDict({"name": "folder"})
    config.self_training.update(root="", split="val")
    (batches,) = loop.build_parts(config).batches.values()
    first = next(batches)["unlabeled"]["image"]
    batches.close()
    config.self_training.root = config.data.root
    (batches,) = loop.build_parts(config).batches.values()
    np.testing.assert_array_equal(next(batches)["unlabeled"]["image"], first)
    batches.close()


def test_wrong_configurations(tmp_path, config, monkeypatch):
    def refused(message, **changes):
        changed = config.copy_and_resolve_references()
        for key, value in changes.items():
            changed.self_training[key] = value
        with pytest.raises(ValueError, match=message):
            train_and_evaluate(changed, tmp_path / "never")
        assert not (tmp_path / "never").exists()

    refused("self_training.warmup='soon'", warmup="soon")
    refused("self_training.confidence 3.0", confidence=3.0)
    refused("unknown transform 'blurr'", student_transforms=("blurr()",))
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    refused("self_training.batch_size 2 does not divide over 4 devices", batch_size=2)
