"""Loss schedules against literal versions, jitted, interrupted and restored."""

import jax
import numpy as np
import pytest

from jaxnuc.durations import TrainingLength
from jaxnuc.losses import schedules

RULE = {
    "watch": "mask/dice",
    "smoothing": 4,
    "window": 5,
    "improvement": 0.05,
    "earliest": 12,
    "latest": 60,
    "ramp": 8,
    "final": 0.5,
}


def literal(values, *, smoothing, window, improvement, earliest, latest, ramp, final, watch):
    """Step of the switch, and the factor that each step's loss is given."""
    decay = np.exp(-1 / smoothing)
    mean, reference, switched, factors = values[0], None, None, []
    for step, value in enumerate(values, 1):
        if switched is None:
            factors.append(0.0)
        else:
            factors.append(final * min((step - 1 - switched) / ramp, 1))
        mean = decay * mean + (1 - decay) * value
        stalled = False
        if step % window == 0:
            stalled = reference is not None and (reference - mean) / reference < improvement
            reference = mean
        if switched is None and ((stalled and step >= earliest) or step >= latest):
            switched = step
    return switched, factors


def self_scheduled(latest, **rule):
    """With all lengths in steps, of a training of 100."""
    lengths = ("smoothing", "window", "earliest", "ramp")
    given = {key: f"{value} steps" if key in lengths else value for key, value in rule.items()}
    return schedules.SelfScheduled(latest=latest / 100, **given).start(TrainingLength(100))


def run(values, stop=None, **rule):
    schedule = self_scheduled(**rule)
    update = jax.jit(schedule.update)
    state, factors = schedule.init(), []
    for step, value in enumerate(values, 1):
        factors.append(float(state["factors"]["boundary"]))
        state = update({"mask/dice": np.float32(value)}, state)
        if step == stop:  # as a checkpoint would
            state = jax.tree.map(np.asarray, jax.device_get(state))
    return int(state["switched_at"]), factors


def curve(kind):
    steps = np.arange(100)
    if kind == "plateau":
        return 0.1 + 0.9 * np.exp(-steps / 6)
    return 1 / (1 + 0.5 * steps) if kind == "falling" else np.full(100, 0.7)


@pytest.mark.parametrize("kind", ["plateau", "falling", "flat"])
def test_self_scheduled_loss_equals_its_rule(kind):
    values = curve(kind)
    switched, factors = literal(values, **RULE)
    found, given = run(values, **RULE)
    assert found == switched
    np.testing.assert_allclose(given, factors, atol=1e-6)
    assert max(given) == 0.5


def test_what_switches_it():
    assert run(curve("flat"), **RULE)[0] == 15  # the first window that ends at or after 12
    assert run(curve("falling"), **RULE | {"latest": 30})[0] == 30
    assert run(curve("flat"), **RULE | {"earliest": 0})[0] == 10  # two windows are needed
    assert run(curve("falling")[:20], **RULE)[0] == -1


def test_there_is_no_way_back():
    values = np.concatenate([np.full(40, 0.5), np.linspace(0.5, 0.01, 60)])
    _, factors = run(values, **RULE)
    assert (np.diff(factors) >= 0).all()


def test_a_restored_state_goes_on_alike():
    values = curve("plateau")
    for stop in (3, 17, 31):
        assert run(values, stop=stop, **RULE) == run(values, **RULE)


LENGTH = TrainingLength(100, per_epoch=1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("side_steps", [1, 1, 1, 0.1, 0.1, 0.1, 0.01]),
        ("side_decay", [1, 1, 1, 1 / 2, 1 / 2, 1 / 2, 1 / 3]),
    ],
)
def test_weights_of_side_maps_by_time(name, expected):
    schedule = schedules.make({"name": name, "every": "3 steps"}, LENGTH)
    assert schedule.factors == ("side",)
    state, found = schedule.init(), []
    for _ in expected:
        found.append(float(state["factors"]["side"]))
        state = jax.jit(schedule.update)({}, state)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "self-scheduled"}, "unknown loss schedule.*did you mean 'self_scheduled'"),
        ({"name": "constant", "final": 1}, "unknown argument of loss schedule 'constant': 'final'"),
        ({"name": "self_scheduled", "final": 2.0}, r"final=2.0 is not in \[0, 1\]"),
        ({"name": "self_scheduled", "latest": 0.0}, "latest=0.0 is a share"),
        ({"name": "self_scheduled", "latest": 0.05}, "step 10, is after the latest, 5"),
        ({"name": "self_scheduled", "window": "0 epochs"}, "window=0"),
        ({"name": "side_steps", "every": "0 steps"}, "at least one step"),
    ],
)
def test_bad_sections(section, message):
    with pytest.raises(ValueError, match=message):
        schedules.make(section, LENGTH)


def test_an_unknown_part_is_named():
    schedule = self_scheduled(**RULE | {"watch": "mask/iou"})
    with pytest.raises(ValueError, match=r"watch='mask/iou' is no part.*\['mask/dice'\]"):
        schedule.update({"mask/dice": 1.0}, schedule.init())
