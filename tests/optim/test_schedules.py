"""Schedules against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnuc import optim
from jaxnuc.durations import TrainingLength

LENGTH = TrainingLength(100)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"name": "constant"}, lambda s: 2.0),
        (
            {"name": "constant", "warmup": "10 steps"},
            lambda s: 2.0 * min(s / 10, 1),
        ),
        (
            {"name": "cosine", "warmup": "20 steps", "final": 0.1},
            lambda s: (
                2 * s / 20 if s < 20 else 2 * (0.1 + 0.9 * (1 + np.cos(np.pi * (s - 20) / 80)) / 2)
            ),
        ),
        (
            {"name": "step", "every": "30 steps", "factor": 0.5, "warmup": "5 steps"},
            lambda s: 2 * s / 5 if s < 5 else 2 * 0.5 ** (s // 30),
        ),
        (
            {"name": "step", "every": "20 steps", "factor": 0.5, "restart": "50 steps"},
            lambda s: 2 * 0.5 ** ((s if s < 50 else s - 50) // 20),
        ),
    ],
)
def test_schedules(section, expected):
    schedule = optim.SCHEDULES.build(section).rate(2.0, LENGTH)
    steps = range(100)
    found = [float(schedule(s)) for s in steps]
    np.testing.assert_allclose(found, [expected(s) for s in steps], rtol=1e-5, atol=1e-7)


def test_plateau_lowers_the_rate_when_nothing_gets_better():
    section = {"name": "plateau", "factor": 0.5, "patience": 1, "smallest": 0.2}
    schedule = optim.SCHEDULES.build(section)
    method = {"name": "sgd", "learning_rate": 1.0, "momentum": 0.0}
    optimizer = optim.make(method, lambda s: 1.0, LENGTH, plateau=True)
    state = optimizer.init(jnp.ones(()))
    scales = []
    for value in (0.1, 0.2, 0.2, 0.1, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1):
        state = schedule.observe(state, value)
        scales.append(float(optim.current_scale(state)))
        assert optim.current_rate(state, lambda s: 2.0 + s, 3) == 5 * scales[-1]
    # the patience of one evaluation passes, the next one without a better figure lowers
    np.testing.assert_allclose(
        scales, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2], rtol=1e-6
    )
    updates, after = jax.jit(optimizer.update)(jnp.ones(()), state, jnp.ones(()))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    np.testing.assert_allclose(updates, -0.2, rtol=1e-6)
    other = optim.make({"name": "sgd", "learning_rate": 1.0}, lambda s: 1.0, LENGTH)
    unchanged = other.init(jnp.ones(()))
    assert optim.SCHEDULES.build({"name": "constant"}).observe(unchanged, 0.0) is unchanged
    assert optim.current_scale(unchanged) == 1


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "cosin"}, "did you mean 'cosine'"),
        ({"name": "step", "every": "0 steps"}, "schedule.every='0 steps' must be at least one"),
        ({"name": "step", "every": "1 steps", "restart": "0 steps"}, "schedule.restart='0 steps'"),
    ],
)
def test_errors(section, message):
    with pytest.raises(ValueError, match=message):
        optim.SCHEDULES.build(section).rate(1, TrainingLength(10))


def test_a_warmup_as_long_as_the_training_is_a_tenth_of_it(caplog):
    with caplog.at_level("INFO"):
        rates = [
            optim.SCHEDULES.build({"name": "cosine", "warmup": warmup}).rate(1, TrainingLength(20))
            for warmup in ("20 steps", "2 steps")
        ]
    assert caplog.messages == [
        "schedule.warmup='20 steps' is 20 steps of 20 in all; shortened to 2"
    ]
    for step in range(21):
        assert rates[0](step) == rates[1](step)
